from __future__ import annotations

from typing import Any

import pytest

from stream.cli.replay_options import SpecOptions, replay_spec
from stream.errors import ConfigError
from stream.settings.configuration import SETTING_TREE, ModelSpec, Settings, parse_settings
from stream.settings.environment import read_overrides

DAY = 86_400_000


def settings(model: dict[str, Any] | None = None, **sections: Any) -> Settings:
    return parse_settings(
        {
            "kafka": {"bootstrap.servers": "127.0.0.1:9092"},
            "redis": {"url": "redis://127.0.0.1:6379/0"},
            "models": {"m": {"references": ["m.json"], **(model or {})}},
            **sections,
        }
    )


def spec(model: dict[str, Any] | None = None, **sections: Any) -> ModelSpec:
    return settings(model, **sections).model_spec("m")


def test_labels_are_joined_within_three_days_and_all_of_them() -> None:
    labels = spec().labels
    assert (labels.horizon_ms, labels.sample, labels.negative_after_ms) == (3 * DAY, 1.0, None)


def test_a_model_says_only_what_is_other_than_the_defaults() -> None:
    found = spec(
        {"labels": {"sample": 0.1}}, defaults={"labels": {"horizon": "7d", "negative_after": "5d"}}
    ).labels
    assert (found.horizon_ms, found.sample, found.negative_after_ms) == (7 * DAY, 0.1, 5 * DAY)


@pytest.mark.parametrize("section", [{"model": {"labels": {"negative_after": "4d"}}}, {}])
def test_silence_is_an_answer_within_the_horizon_only(section: dict[str, Any]) -> None:
    given = section or {"defaults": {"labels": {"negative_after": "4d"}}}
    place = "models.m.labels" if section else "defaults.labels"
    with pytest.raises(ConfigError, match=rf"negative_after 4d of m is beyond.* 3d; raise {place}.horizon"):
        spec(**given)


@pytest.mark.parametrize("labels", [{"sample": 0}, {"sample": 1.5}, {"horizon": "0s"}, {"horizont": "3d"}])
def test_labels_that_make_no_sense_are_refused(labels: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"models\.m\.labels"):
        spec({"labels": labels})


def test_segments_and_variants_are_lists_of_values() -> None:
    found = spec(
        {"segments": {"region": ["eu", "us"], "tier": [1, 2], "shop": "a, b"}, "variants": ["shadow"]}
    )
    assert found.segments == {"region": ("eu", "us"), "tier": ("1", "2"), "shop": ("a", "b")}
    assert found.variants == ("shadow",)


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        ({"segments": {"region": []}}, r"models\.m\.segments\.region names no value"),
        ({"segments": {"region": ["eu", "other"]}}, "names 'other'"),
        ({"segments": {"region": ["eu", "eu"]}}, "twice"),
        ({"segments": {'re"gion': ["eu"]}}, "without quotes"),
        ({"segments": ["eu"]}, "mapping"),
        ({"variants": ["none"]}, "names 'none'"),
        (
            {"segments": {"a": [str(i) for i in range(200)], "b": [str(i) for i in range(200)]}},
            "81608 combinations",
        ),
    ],
)
def test_segments_that_cannot_be_told_apart_are_refused(model: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        spec(model)


def test_the_environment_names_segments_as_json() -> None:
    values = {"models": {"m": {"references": ["m.json"]}}}
    environ = {
        "DRIFTSTREAM_MODELS__M__SEGMENTS": '{"region": ["eu", "us"]}',
        "DRIFTSTREAM_MODELS__M__LABELS__HORIZON": "1d",
    }
    given = {item.path: item.value for item in read_overrides(environ, SETTING_TREE, values)}
    found = spec(
        {
            "segments": given["models", "m", "segments"],
            "labels": {"horizon": given["models", "m", "labels", "horizon"]},
        }
    )
    assert (dict(found.segments), found.labels.horizon_ms) == ({"region": ("eu", "us")}, DAY)
    with pytest.raises(ConfigError, match="must be JSON"):
        spec({"segments": "region=eu"})


def test_the_key_of_ids_is_a_secret() -> None:
    held = settings(privacy={"id_key": "pepper"}).privacy.id_key
    assert held is not None
    assert held.get_secret_value() == "pepper"
    assert "pepper" not in repr(settings(privacy={"id_key": "pepper"}))
    with pytest.raises(ConfigError, match="at most 64 bytes") as raised:
        settings(privacy={"id_key": "pepper" * 20})
    assert "pepper" not in str(raised.value)


def test_a_replay_waits_for_labels_as_the_configuration_says() -> None:
    given = settings({"labels": {"horizon": "2h"}}, defaults={"labels": {"sample": 0.5}})
    labels = replay_spec(SpecOptions(), given, model="m").labels
    assert (labels.horizon_ms, labels.sample) == (7_200_000, 0.5)
    assert replay_spec(SpecOptions(), None, model=None).labels.horizon_ms == 3 * DAY
    told = SpecOptions(label_horizon="30d")
    assert replay_spec(told, given, model="m").labels.horizon_ms == 30 * DAY
