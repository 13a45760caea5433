"""The committed files of deploy/ and docs/runbooks/, without any service."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.alerts import KINDS
from stream.learning.sightings import LearningMetrics
from stream.metrics import Metrics

ROOT = Path(__file__).parents[1]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
RUNBOOKS = ROOT / "docs" / "runbooks"
ALERT_KINDS = (*KINDS, "unknown_model")
RUNBOOK_PARTS = ("## Symptom", "## What it means", "## First actions", "## How to silence")
METRIC = re.compile(r"(?:\w+:)?driftstream_\w+(?::\w+)*|\bprocess_\w+|\bup\b")
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))


def rules(kind: str) -> list[dict[str, Any]]:
    files = sorted((PROMETHEUS / "rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def exported() -> set[str]:
    metrics = Metrics(models=["m"], topics=["t"])
    LearningMetrics(metrics.registry, models=("m",), topics=("t",))
    names: set[str] = {"up"}
    for family in metrics.registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
    return names


def dashboards() -> list[Any]:
    return [pytest.param(json.loads(path.read_text()), id=path.stem) for path in DASHBOARDS]


def panels() -> list[Any]:
    return [
        pytest.param(panel, id=f"{path.stem}-{panel['title']}")
        for path in DASHBOARDS
        for panel in json.loads(path.read_text())["panels"]
    ]


# Prometheus


def test_every_recording_rule_reads_what_exists() -> None:
    known = exported() | {rule["record"] for rule in rules("record")}
    for rule in (*rules("record"), *rules("alert")):
        assert set(METRIC.findall(rule["expr"])) - known == set(), rule


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_it_is_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("Driftstream")
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    for kind in ALERT_KINDS if "{{ $labels.kind }}" in rule["annotations"]["runbook_url"] else ("",):
        page = rule["annotations"]["runbook_url"].replace("{{ $labels.kind }}", kind)
        assert (ROOT / page).is_file(), page


def test_every_alert_is_tested_firing_and_not_firing() -> None:
    seen: dict[str, set[bool]] = {rule["alert"]: set() for rule in rules("alert")}
    for file in (PROMETHEUS / "tests").glob("*.yml"):
        for case in yaml.safe_load(file.read_text())["tests"]:
            for check in case["alert_rule_test"]:
                seen[check["alertname"]].add(bool(check["exp_alerts"]))
    assert {name for name, both in seen.items() if both != {True, False}} == set()


@pytest.mark.services
@pytest.mark.parametrize(
    "command",
    [
        ["check", "config", str(PROMETHEUS / "prometheus.yml")],
        ["check", "rules", *map(str, sorted((PROMETHEUS / "rules").glob("*.yml")))],
        ["test", "rules", *map(str, sorted((PROMETHEUS / "tests").glob("*.yml")))],
    ],
    ids=["config", "rules", "tests"],
)
def test_promtool(promtool: str, command: list[str]) -> None:
    ran = subprocess.run([promtool, *command], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


# Grafana


def test_the_dashboards_are_those_that_are_built() -> None:
    spec = importlib.util.spec_from_file_location("grafana_build", GRAFANA / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    built = module.build()
    assert sorted(built) == DASHBOARDS
    for path, text in built.items():
        assert path.read_text() == text, f"{path} is not what deploy/grafana/build.py writes: run it"


def test_there_are_the_three_dashboards() -> None:
    assert [path.stem for path in DASHBOARDS] == ["fleet", "model", "pipeline"]


@pytest.mark.parametrize("dashboard", dashboards())
def test_a_dashboard_can_be_provisioned(dashboard: dict[str, Any]) -> None:
    assert dashboard["uid"].startswith("driftstream-")
    assert dashboard["schemaVersion"] >= 39
    assert "id" not in dashboard
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("dashboard", dashboards())
def test_no_two_panels_overlap(dashboard: dict[str, Any]) -> None:
    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        return set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))

    taken = [cells(panel) for panel in dashboard["panels"]]
    assert sum(map(len, taken)) == len(set().union(*taken))


@pytest.mark.parametrize("dashboard", dashboards())
def test_every_variable_is_declared_and_used(dashboard: dict[str, Any]) -> None:
    declared = {variable["name"] for variable in dashboard["templating"]["list"]}
    text = json.dumps([dashboard["panels"], dashboard["templating"]])
    used = set(re.findall(r"\$(\w+)", text)) - {"__all", "__url_time_range"}
    assert used == declared


@pytest.mark.parametrize("panel", panels())
def test_every_panel_explains_itself(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "driftstream-prometheus"
    if panel["type"] in {"timeseries", "state-timeline"}:
        assert panel["options"]["legend"]["showLegend"]
    for target in panel["targets"]:
        assert target["legendFormat"]
        assert target["datasource"]["uid"] == "driftstream-prometheus"
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references)


@pytest.mark.parametrize("panel", panels())
def test_no_panel_asks_for_what_is_not_exported(panel: dict[str, Any]) -> None:
    known = exported() | {rule["record"] for rule in rules("record")}
    for target in panel["targets"]:
        asked = set(METRIC.findall(target["expr"]))
        assert asked, target["expr"]
        assert asked - known == set()


def test_the_data_source_is_the_one_the_dashboards_name() -> None:
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    assert [each["uid"] for each in source["datasources"]] == ["driftstream-prometheus"]


def test_the_dashboards_are_mounted_where_the_provider_looks() -> None:
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/driftstream.yml").read_text())["providers"][
        0
    ]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    mounts = compose["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in mounts


# Runbooks


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_every_runbook_has_its_parts(page: Path) -> None:
    text = page.read_text()
    if page.stem == "README":
        listed = set(re.findall(r"\((\w+\.md)\)", text))
        assert listed == {each.name for each in RUNBOOKS.glob("*.md")} - {"README.md"}
        return
    places = [text.find(f"\n{part}\n") for part in RUNBOOK_PARTS]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("kind", ALERT_KINDS)
def test_every_alert_kind_has_its_page(kind: str) -> None:
    assert (RUNBOOKS / f"{kind}.md").is_file()


def test_every_alert_of_prometheus_is_named_on_its_page() -> None:
    for rule in rules("alert"):
        url = rule["annotations"]["runbook_url"]
        if "$labels" not in url:
            assert rule["alert"] in (ROOT / url).read_text(), f"{rule['alert']} is not on {url}"


def test_runbooks_link_only_to_pages_that_exist() -> None:
    for page in RUNBOOKS.glob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#\w+)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
