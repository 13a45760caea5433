"""docker-compose.yml and what it mounts: no container engine, so the compose schema and rules stand in."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml

from detectors import Reference
from stream.cli import app
from stream.settings.configuration import load_settings

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IMAGES = [service["image"] for service in SERVICES.values() if "build" not in service]
BASES = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+(-\w+)*")


def test_it_fits_the_compose_schema() -> None:
    package = importlib.util.find_spec("check_jsonschema")
    assert package is not None
    assert package.origin is not None
    vendored = Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(vendored.read_text())
    validator = jsonschema.validators.validator_for(schema)
    assert [error.message for error in validator(schema).iter_errors(COMPOSE)] == []
    misspelt = {**COMPOSE, "services": {"worker": {"imagge": "x"}}}
    assert list(validator(schema).iter_errors(misspelt))


def test_all_parts_are_there() -> None:
    assert set(SERVICES) == {
        "kafka",
        "redis",
        "reference",
        "topics",
        "worker",
        "traffic",
        "prometheus",
        "grafana",
    }


@pytest.mark.parametrize("image", [*IMAGES, *BASES])
def test_images_are_pinned_to_a_full_version(image: str) -> None:
    assert PINNED.fullmatch(image)


def test_ports_are_bound_to_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_what_it_needs(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        needed = SERVICES[other]
        if how["condition"] == "service_healthy":
            assert needed["healthcheck"]["test"][0] == "CMD"
            assert needed["restart"] == "unless-stopped"
        else:
            assert how["condition"] == "service_completed_successfully"
            assert needed["restart"].startswith("on-failure")


@pytest.mark.parametrize("name", SERVICES)
def test_mounted_files_exist_and_volumes_are_declared(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert volume.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_redis_writes_ahead_and_evicts_nothing() -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "build" in service])
def test_our_containers_have_no_privileges(name: str) -> None:
    assert SERVICES[name]["read_only"]
    assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_the_image_runs_as_a_user_from_the_lock_file() -> None:
    last_stage = DOCKERFILE.rpartition("FROM ")[2]
    assert re.search(r"^USER (?!root)\w+$", last_stage, re.MULTILINE)
    assert "uv sync --locked --no-dev" in DOCKERFILE
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()
    }
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied - {"./"} <= allowed | {"/app/deploy/compose"}


def test_the_configuration_names_the_services() -> None:
    settings = load_settings(ROOT / "deploy/compose/driftstream.yaml")
    assert settings.kafka.bootstrap_servers == "kafka:29092"
    assert settings.metrics.port == 9464
    assert "INSIDE://kafka:29092" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert [(each["job_name"], each["static_configs"]) for each in scraped] == [
        ("driftstream", [{"targets": ["worker:9464"]}])
    ]


def commands() -> list[list[str]]:
    """The driftstream commands of the compose file and of its scripts, as lists of words."""
    words = [
        service["command"] for service in SERVICES.values() if "build" in service and "command" in service
    ]
    for script in sorted((ROOT / "deploy/compose").glob("*.sh")):
        text = script.read_text().replace("\\\n", " ")
        lines = [line.strip() for line in text.splitlines() if line.strip().startswith("driftstream ")]
        words += [shlex.split(re.sub(r"\$\([^)]*\)|\$\w+", "x", line))[1:] for line in lines]
    return words


@pytest.mark.parametrize("words", commands(), ids=lambda words: words[0])
def test_the_commands_are_ours(words: list[str]) -> None:
    command = typer.main.get_command(app)
    context = command.make_context("driftstream", list(words), resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        _, command, words = command.resolve_command(context, list(words))
        context = command.make_context(words[0] if words else "", list(words), parent=context)


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("references")
    script = ROOT / "deploy/compose/build-reference.sh"
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    subprocess.run(
        [str(script), str(directory)], check=True, timeout=120, capture_output=True, env={"PATH": path}
    )
    return directory


def test_the_reference_that_is_built_is_the_one_configured(references: Path) -> None:
    settings = load_settings(ROOT / "deploy/compose/driftstream.yaml")
    configured = settings.models["shuttle"].references
    reference = Reference.from_json((references / Path(configured[0]).name).read_text())
    assert (reference.model, reference.version) == ("shuttle", "1")
    assert reference.names == (*(f"f{number}" for number in range(1, 10)), "label")


def test_the_traffic_holds_a_drift_to_be_found(references: Path) -> None:
    with (references / "traffic.csv").open() as file:
        rows = list(csv.DictReader(file))
    half = len(rows) // 2
    mean = [sum(int(row["f7"]) for row in part) / half for part in (rows[:half], rows[half:])]
    assert len(rows) == 24_000
    assert mean[1] - mean[0] > 10
