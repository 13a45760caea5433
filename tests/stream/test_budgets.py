"""Budgets people can say: false alarms per period, and the smallest change that matters per column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml

from detectors import Monitor, Reference
from stream.alerts import Alert
from stream.cli import main
from stream.cli.replay_options import SpecOptions, replay_spec
from stream.errors import ConfigError
from stream.evaluate import ModelEvaluation
from stream.plans import model_plans
from stream.series import ClosedWindow, SeriesKey
from stream.settings.budget import AlarmBudget, alarms_per
from stream.settings.configuration import ModelSpec, Settings, load_settings
from stream.settings.reference_page import configuration_schema

HEAD = """\
kafka: {bootstrap.servers: "b:9092"}
redis: {url: "redis://h/0"}
"""
DAY_MS = 86_400_000


def settings_of(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "driftstream.yaml"
    path.write_text(HEAD + text)
    return load_settings(path, environ)


def spec_of(tmp_path: Path, model: str, defaults: str = "{}", **environ: str) -> ModelSpec:
    text = f"defaults: {defaults}\nmodels: {{m: {{references: [r.json], {model}}}}}\n"
    return settings_of(tmp_path, text, **environ).model_spec("m")


def error_of(tmp_path: Path, text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as error:
        settings_of(tmp_path, text, **environ)
    return str(error.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("written", "slide_ms", "arl"),
    [
        ("1 per 30d", 60_000, 43_200),
        ("2 per 7d", 60_000, 5_040),
        (" 1  per 1h30m ", 300_000, 18),
        ("7 per 1h", 60_000, 8),
        ("60 per 1h", 60_000, 1),
    ],
)
def test_a_budget_is_a_run_length_in_slides(written: str, slide_ms: int, arl: int) -> None:
    budget = AlarmBudget.parse(written)
    assert budget.arl(slide_ms) == arl
    assert alarms_per(budget.per_ms, arl=arl, slide_ms=slide_ms) >= budget.alarms
    assert AlarmBudget.parse(str(budget)) == budget


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1, "must be a number of alarms per period, such as 1 per 30d or 2 per 7d"),
        ("1 in 30d", "must be a number of alarms per period"),
        ("0.5 per 30d", "must be a number of alarms per period"),
        ("-1 per 30d", "must be a number of alarms per period"),
        ("0 per 30d", "must allow at least 1 alarm: for fewer, make its period longer"),
        ("1 per 30", "its period must be a duration"),
        ("1 per 0s", "must have a period longer than 0s"),
        ("1 per 20000d", "its period must be at most 3650d"),
    ],
)
def test_what_is_no_budget_is_told_how_one_is_written(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AlarmBudget.parse(value)


@pytest.mark.parametrize(
    ("defaults", "model", "arl", "said"),
    [
        ("{}", "window: 5m", 10_000, None),
        ("{}", "false_alarms: 1 per 30d", 43_200, "1 per 30d"),
        ("{}", "false_alarms: 1 per 30d, slide: 5m", 8_640, "1 per 30d"),
        ("{false_alarms: 2 per 7d}", "window: 5m", 5_040, "2 per 7d"),
        ("{false_alarms: 2 per 7d}", "window: 10s", 30_240, "2 per 7d"),
        ("{false_alarms: 2 per 7d}", "arl: 77", 77, None),
        ("{false_alarms: 2 per 7d}", "false_alarms: 1 per 30d", 43_200, "1 per 30d"),
        ("{arl: 500}", "false_alarms: 1 per 30d", 43_200, "1 per 30d"),
    ],
)
def test_what_a_model_says_goes_before_the_defaults(
    tmp_path: Path, defaults: str, model: str, arl: int, said: str | None
) -> None:
    spec = spec_of(tmp_path, model, defaults)
    assert spec.arl == arl
    assert (None if spec.false_alarms is None else str(spec.false_alarms)) == said


def test_the_environment_says_it_too(tmp_path: Path) -> None:
    model = "false_alarms: 1 per 30d, features: {age: {min_effect: 0.1}}"
    spec = spec_of(
        tmp_path,
        model,
        DRIFTSTREAM_MODELS__M__FALSE_ALARMS="1 per 60d",
        DRIFTSTREAM_MODELS__M__FEATURES__AGE__MIN_EFFECT="0.3",
    )
    assert (spec.arl, spec.min_effects) == (86_400, {"age": 0.3})
    assert spec_of(tmp_path, model, DRIFTSTREAM_MODELS__M__FALSE_ALARMS="").arl == 10_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "defaults:\n  false_alarms: 1 per 30d\n  arl: 500\n",
            "driftstream.yaml:4: defaults.false_alarms is '1 per 30d' beside arl 500: both say how often it "
            "may alarm for nothing; keep one of them",
        ),
        (
            "models:\n  m:\n    references: [r.json]\n    arl: 9\n    false_alarms: 2 per 7d\n",
            "driftstream.yaml:7: models.m.false_alarms is '2 per 7d' beside arl 9: both say how often it "
            "may alarm for nothing; keep one of them",
        ),
        (
            "models:\n  m:\n    references: [r.json]\n    false_alarms: 61 per 1h\n",
            "driftstream.yaml:6: models.m.false_alarms is '61 per 1h': more than one in a slide of 1m; "
            "allow fewer, such as 1 per 30d",
        ),
        (
            "defaults: {false_alarms: 1 per 1m, slide: 5m}\nmodels: {m: {references: [r.json]}}\n",
            "driftstream.yaml:3: defaults.false_alarms is '1 per 1m': more than one in a slide of 5m; "
            "allow fewer, such as 1 per 30d",
        ),
        (
            "defaults: {false_alarms: 30}\n",
            "driftstream.yaml:3: defaults.false_alarms is 30: must be a number of alarms per period, such as "
            "1 per 30d or 2 per 7d",
        ),
        (
            "models: {m: {references: [r.json], features: {age: {min_efect: 1}}}}\n",
            "driftstream.yaml:3: unknown key 'min_efect' in models.m.features.age, "
            "did you mean 'min_effect'?",
        ),
        (
            "models: {m: {references: [r.json], features: {age: {min_effect: 2}}}}\n",
            "driftstream.yaml:3: models.m.features.age.min_effect is 2: must be less than or equal to 1",
        ),
    ],
)
def test_an_error_names_the_place_the_value_and_the_remedy(tmp_path: Path, text: str, message: str) -> None:
    assert error_of(tmp_path, text) == message


def test_the_schema_knows_budgets_and_columns() -> None:
    schema = json.loads(configuration_schema())
    model = {"references": ["r.json"], "false_alarms": "1 per 30d", "features": {"age": {"min_effect": 0.1}}}
    values = {**yaml.safe_load(HEAD), "models": {"m": model}}
    jsonschema.validate(values, schema)
    model["false_alarms"] = "often"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, schema)


def test_what_is_shown_says_the_budget_once_and_can_be_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "defaults: {false_alarms: 2 per 7d}\nmodels: {m: {references: [r.json]}}\n"
    settings = settings_of(tmp_path, text)
    path = str(tmp_path / "driftstream.yaml")
    assert main(["config", "show", "-c", path]) == 0
    out = capsys.readouterr().out
    assert out.endswith(
        f"# m: at most one false alarm in 5040 slides of 1m on average, 8.57 in 30d "
        f"(false_alarms 2 per 7d, {path}:3)\n"
    )
    (tmp_path / "driftstream.yaml").write_text(out)
    assert load_settings(tmp_path / "driftstream.yaml", {}).model_dump() == settings.model_dump()
    assert main(["config", "show", "-c", path, "-o", "json"]) == 0
    (budget,) = json.loads(capsys.readouterr().out)["budgets"]
    assert (budget["model"], budget["arl"], budget["slide"]) == ("m", 5040, "1m")


def test_a_replay_has_the_budget_of_its_own_slide(tmp_path: Path) -> None:
    text = (
        "models: {m: {references: [r.json], false_alarms: 1 per 30d, features: {age: {min_effect: 0.4}}}}\n"
    )
    settings = settings_of(tmp_path, text)
    configured = replay_spec(SpecOptions(), settings, model="m")
    assert (configured.arl, configured.min_effects) == (43_200, {"age": 0.4})
    assert replay_spec(SpecOptions(window="1h"), settings, model="m").arl == 720
    assert replay_spec(SpecOptions(arl=9), settings, model="m").arl == 9


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(11)
    columns = {"age": rng.normal(40, 10, 6000), "plan": ["free", "paid", "free"] * 2000}
    return Reference.build({**columns, "score": rng.random(6000)}, window_rows=200)


def slices(count: int, shift: float) -> list[dict[str, object]]:
    rng = np.random.default_rng(12)
    return [
        {
            "age": rng.normal(40 + 10 * shift, 10, 200),
            "plan": ["free", "paid"] * 100,
            "score": rng.random(200),
        }
        for _ in range(count)
    ]


def test_without_effects_of_columns_a_monitor_is_what_it_was(reference: Reference) -> None:
    plain, mapped = Monitor(reference), Monitor(reference, min_effects={})
    told = Monitor(reference, min_effects={"age": 0.05, "plan": 0.05, "score": 0.02})
    for each in slices(6, 0.2):
        verdict = plain.update(each)
        assert mapped.update(each) == verdict
        assert told.update(each) == verdict
    assert plain.to_bytes() == mapped.to_bytes() == told.to_bytes()


def test_a_column_with_an_effect_of_its_own_is_judged_by_it(reference: Reference) -> None:
    monitors = [Monitor(reference), Monitor(reference, min_effects={"age": 1.0, "score": 0.3})]
    assert [monitor.min_effects for monitor in monitors] == [
        {"age": 0.05, "plan": 0.05, "score": 0.02},
        {"age": 1.0, "plan": 0.05, "score": 0.3},
    ]
    (shifted,) = slices(1, 0.8)
    assert ["age" in monitor.update(shifted).drifted_names for monitor in monitors] == [True, False]
    before, after = (monitor.smallest_shifts(rows=200) for monitor in monitors)
    assert after["age"] == pytest.approx(before["age"] + 0.95, abs=1e-3)
    assert after["plan"] == before["plan"]


@pytest.mark.parametrize(
    ("effects", "message"),
    [
        ({"aeg": 0.1}, "does not have: aeg"),
        ({"age": -0.1}, "at least 0"),
        ({"age": float("nan")}, "at least 0"),
    ],
)
def test_effects_of_columns_are_checked(
    reference: Reference, effects: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Monitor(reference, min_effects=effects)


@pytest.fixture(scope="module")
def settings(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    directory = tmp_path_factory.mktemp("budgets")
    content = json.loads(reference.to_json()) | {"model": "m", "version": "v1"}
    (directory / "r.json").write_text(json.dumps(content))
    model = "{references: [r.json], window: 1m, features: {age: {min_effect: 0.3}, score: {min_effect: 0.2}}}"
    return settings_of(directory, f"models: {{m: {model}}}\n")


def test_the_plan_of_a_model_gives_its_monitors_the_effects_of_columns(settings: Settings) -> None:
    plan = model_plans(settings, settings.references())["m"]
    options = plan.monitor_options(SeriesKey("inference", "v1"))
    assert options["min_effects"] == {"age": 0.3, "score": 0.2}
    assert options["arl"] == 10_000


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("aeg", ", did you mean 'age'?"),
        ("AGE", ", did you mean 'age'?"),
        ("zzz", "; its columns are age, plan, score"),
    ],
)
def test_settings_of_a_column_that_no_reference_has_are_refused(
    settings: Settings, written: str, remedy: str
) -> None:
    directory = settings.models["m"].references[0].parent
    text = f"models:\n  m:\n    references: [r.json]\n    features: {{{written}: {{min_effect: 0.1}}}}\n"
    wrong = settings_of(directory, text)
    with pytest.raises(ConfigError) as error:
        wrong.references()
    message = str(error.value).replace(f"{directory}/", "")
    assert message == f"driftstream.yaml:6: no reference of m has a column {written!r}{remedy}"


def alerts_of(settings: Settings, shift: float) -> list[Alert]:
    plan = model_plans(settings, settings.references())["m"]
    key = SeriesKey("inference", "v1")
    counted = plan.references[key]
    evaluation = ModelEvaluation(plan)
    alerts: list[Alert] = []
    for index, columns in enumerate(slices(3, shift)):
        counts = counted.count(columns)
        window = ClosedWindow(end_ms=DAY_MS + (index + 1) * 60_000, newest=counts, whole=counts)
        alerts += evaluation.evaluate(key, window)[1]
    return alerts


def test_the_evidence_of_an_alert_says_what_could_be_seen(settings: Settings) -> None:
    alerts = alerts_of(settings, 1.5)
    evidence: dict[str, Any] = {each["name"]: each for each in alerts[0].evidence["features"]}
    visible = evidence["age"]["smallest_visible"]
    assert list(visible) == ["1", "10"]
    assert 0.3 < visible["10"] < visible["1"] < abs(evidence["age"]["effect"])
    monitor = Monitor(settings.references()["m", "v1"], min_effects={"age": 0.3, "score": 0.2})
    assert visible == {
        str(count): monitor.smallest_shifts(rows=200, slices=count)["age"] for count in (1, 10)
    }
    assert [alert.body("x") for alert in alerts] == [alert.body("x") for alert in alerts_of(settings, 1.5)]


def test_a_window_without_drift_says_nothing_of_it(settings: Settings) -> None:
    plan = model_plans(settings, settings.references())["m"]
    key = SeriesKey("inference", "v1")
    counts = plan.references[key].count(slices(1, 0.0)[0] | {"plan": ["free", "paid", "free", "free"] * 50})
    window = ClosedWindow(end_ms=DAY_MS, newest=counts, whole=counts)
    record, _ = ModelEvaluation(plan).evaluate(key, window)
    assert record.drifted == []
    assert all("smallest_visible" not in feature for feature in record.features.values())
