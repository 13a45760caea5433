"""Fields with a rule: what is kept of them, and that drift is seen all the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectors import Reference
from stream.cli import main
from stream.codec import Engine, JsonInferenceDecoder, Limits
from stream.codec.private import PrivateInferenceDecoder
from stream.errors import ConfigError
from stream.learning.building import LearnSpec, learn
from stream.learning.reference_building import EventColumns, build_named
from stream.learning.sample import EventSample
from stream.plans import sources_of
from stream.privacy import MASKED, NO_RULES, FieldPrivacy, FieldRule, Pseudonyms, bucketed
from stream.settings.configuration import parse_settings

SEED = int(os.environ.get("TEST_SEED", "20261121"))
KEY, OLD_KEY = b"the key of now", b"the key of last year"
RULES = {"zip": "hash", "code": "hash", "mail": "mask", "income": "bucket 1000", "name": "drop"}
N = 600


def privacy(*keys: bytes, **rules: str) -> FieldPrivacy:
    return FieldPrivacy(
        {name: FieldRule.parse(rule) for name, rule in (rules or RULES).items()},
        Pseudonyms.of(keys or (KEY,)),
    )


def values() -> dict[str, list[Any]]:
    print(f"TEST_SEED={SEED}")
    rng = np.random.default_rng(SEED)
    return {
        "zip": rng.choice(["10115", "80331", "50667"], size=N, p=[0.6, 0.3, 0.1]).tolist(),
        "code": rng.choice([7, 8.5, 12], size=N).tolist(),
        "mail": [f"user{i}@example.org" if i % 10 else None for i in range(N)],
        "income": rng.normal(40_000, 9_000, size=N).tolist(),
        "name": [f"Ada {i}" for i in range(N)],
        "age": rng.integers(18, 80, size=N).astype(float).tolist(),
    }


def built(
    rules: FieldPrivacy | None, *, names: tuple[str, ...] = ("zip", "code", "mail", "income", "name", "age")
) -> Reference:
    given: dict[str, Any] = {name: column for name, column in values().items() if name in names}
    columns = EventColumns(features=given)
    return build_named(
        columns,
        window_rows=50,
        times_ms=None,
        categorical=("code",) if "code" in names else (),
        privacy=rules or NO_RULES,
        model="m",
        version="1",
    )


def events(rows: dict[str, list[Any]]) -> list[bytes]:
    return [
        json.dumps(
            {
                "prediction_id": f"p{i}",
                "model": "m",
                "version": "1",
                "ts": 1_700_000_000_000,
                "features": dict(zip(rows, row, strict=True)),
            }
        ).encode()
        for i, row in enumerate(zip(*rows.values(), strict=True))
    ]


def counted(reference: Reference, decoder: Any, records: list[bytes]) -> Any:
    (block,) = decoder.decode(records, [-1] * len(records)).blocks
    return reference.binning.count(dict(block.columns))[0]


def test_a_reference_holds_nothing_that_a_rule_changes() -> None:
    text = built(privacy()).to_json()
    given = values()
    for raw in {*given["zip"], *(mail for mail in given["mail"] if mail), *given["name"]}:
        assert raw not in text
    assert MASKED in text
    reference = built(privacy())
    assert set(reference.names) == {"zip", "code", "mail", "income", "age"}
    assert all(name is None or name.startswith("#") for name in reference.binning.lookup("zip"))
    plain = FieldPrivacy({}, Pseudonyms({}))
    assert built(plain).to_json() == built(None).to_json()


def test_what_is_learned_from_the_stream_is_learned_by_the_rules() -> None:
    given = values()
    sample = EventSample(rows=N, slide_ms=60_000)
    sample.add(np.arange(N, dtype=np.uint64), 1_700_000_000_000 + 1_000 * np.arange(N), events(given))
    reference = learn(
        sample,
        LearnSpec(model="m", version="1", privacy=privacy(), categorical=frozenset({"code", "name"})),
    )
    privacy().require({("m", "1"): reference})
    text = reference.to_json()
    assert not any(raw in text for raw in ("10115", "example.org", "Ada"))
    assert "name" not in reference.names
    assert dict(zip(reference.names, reference.kinds, strict=True))["income"] == "numeric"


def test_live_events_fall_into_the_cells_that_they_were_built_from() -> None:
    rules, given = privacy(), values()
    reference = built(rules)
    decoder = PrivateInferenceDecoder({("m", "1"): reference}, Limits(), {}, privacy=rules)
    cells = counted(reference, decoder, events(given))
    raw = built(None, names=("zip", "code", "age"))
    plain = counted(raw, JsonInferenceDecoder({("m", "1"): raw}), events(given))
    for name in ("zip", "code", "age"):
        mine, theirs = (
            np.sort(found[each.names.index(name)]) for each, found in ((reference, cells), (raw, plain))
        )
        assert mine[mine > 0].tolist() == theirs[theirs > 0].tolist(), name
    assert np.array_equal(cells, reference.counts.cells)


@pytest.mark.parametrize("engine", ["auto", "python"])
def test_buckets_need_no_names_and_any_decoder_will_do(engine: Engine) -> None:
    rules, given = privacy(income="bucket 1000"), values()
    reference = built(rules, names=("income", "age", "zip"))
    decoder = PrivateInferenceDecoder({("m", "1"): reference}, Limits(), {}, privacy=rules, engine=engine)
    assert np.array_equal(counted(reference, decoder, events(given)), reference.counts.cells)


def test_new_missing_and_wrong_values_are_told_apart_and_a_name_is_no_way_in() -> None:
    rules = privacy()
    reference = built(rules)
    name = next(name for name in reference.binning.lookup("zip") if name)
    rows: dict[str, list[Any]] = {
        "zip": ["10115", "99999", None, {"a": 1}, name],
        "code": [7.0, 7, "7", True, "12"],
        "mail": ["x", 3, None, [], MASKED],
        "income": [999.99, 1000, None, "much", 1e999],
        "name": ["Ada"] * 5,
        "age": [20] * 5,
    }
    decoder = PrivateInferenceDecoder({("m", "1"): reference}, Limits(), {}, privacy=rules)
    records = [record.replace(b"Infinity", b"1e999") for record in events(rows)]
    (block,) = decoder.decode(records, [-1] * 5).blocks
    zips = block.columns["zip"].tolist()
    assert zips[0] >= 0
    assert zips[1:] == [-2, -1, -3, -2]
    codes = block.columns["code"].tolist()
    assert codes[0] == codes[1] == codes[2] >= 0
    assert codes[3] == -2
    assert codes[4] not in (-2, codes[0])
    assert block.columns["mail"].tolist() == [0, 0, -1, -3, 0]
    assert block.columns["income"].tolist()[:2] == [0.0, 1000.0]
    assert np.isnan(block.columns["income"][2])
    assert np.isinf(block.columns["income"][3:]).all()
    assert "name" not in block.columns


def test_a_former_key_goes_on_until_the_reference_is_built_anew_and_a_lost_one_is_refused() -> None:
    reference = {("m", "1"): built(privacy(OLD_KEY, zip="hash"), names=("zip", "age"))}
    rotated = privacy(KEY, OLD_KEY, zip="hash")
    rotated.require(reference)
    decoder = PrivateInferenceDecoder(reference, Limits(), {}, privacy=rotated)
    cells = counted(reference["m", "1"], decoder, events({"zip": values()["zip"]}))
    assert cells[0, :3].sum() == N
    with pytest.raises(ConfigError, match=r"fields.zip is hash, and the reference of m 1 names categories"):
        privacy(KEY, zip="hash").require(reference)


def test_one_value_has_another_name_in_every_model_and_field() -> None:
    pseudonyms = Pseudonyms.of([KEY])
    names = {pseudonyms.name(model, field, "10115") for model in "ab" for field in ("zip", "city")}
    assert len(names) == 4
    assert pseudonyms.name("a", "zip", "10115") == pseudonyms.name("a", "zip", "10115")
    assert KEY.decode() not in repr(pseudonyms)


@pytest.mark.parametrize(("name", "rule"), [*RULES.items(), ("age", "mask"), ("zip", "bucket 10")])
def test_a_reference_that_was_built_without_the_rule_is_refused(name: str, rule: str) -> None:
    settings = parse_settings(
        {
            "kafka": {"bootstrap.servers": "127.0.0.1"},
            "redis": {"url": "redis://127.0.0.1"},
            "privacy": {"id_key": "k", "fields": {name: rule}},
            "models": {"m": {"learn": "24h"}},
        }
    )
    said = rf"privacy.fields.{name} is {rule.split(maxsplit=1)[0]}, and the reference of m 1"
    with pytest.raises(ConfigError, match=said):
        sources_of(settings, {("m", "1"): built(None)}, {})


@pytest.mark.parametrize(
    "rule", ["", "hide", "bucket", "bucket 0", "bucket -1", "bucket nan", "hash 3", "bucket 1e400"]
)
def test_a_rule_that_cannot_be_read_is_told(rule: str) -> None:
    with pytest.raises(ConfigError, match=r"privacy.fields.x"):
        parse_settings(
            {
                "kafka": {"bootstrap.servers": "h"},
                "redis": {"url": "redis://h"},
                "privacy": {"id_key": "k", "fields": {"x": rule}},
            }
        )


def test_a_hash_needs_a_key() -> None:
    with pytest.raises(ConfigError, match=r"fields.zip: hash, which needs id_key"):
        parse_settings(
            {
                "kafka": {"bootstrap.servers": "h"},
                "redis": {"url": "redis://h"},
                "privacy": {"fields": {"zip": "hash"}},
            }
        )


def test_buckets_are_left_closed() -> None:
    assert bucketed(np.array([-0.5, 0, 999.9, np.nan]), 500.0).tolist()[:3] == [-500.0, 0.0, 500.0]


def test_a_reference_file_is_built_by_the_rules_of_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, config, output = tmp_path / "rows.jsonl", tmp_path / "c.yaml", tmp_path / "r.json"
    given = values()
    rows.write_text(
        "\n".join(json.dumps(dict(zip(given, row, strict=True))) for row in zip(*given.values(), strict=True))
    )
    config.write_text(
        "kafka: {bootstrap.servers: 127.0.0.1}\nredis: {url: redis://127.0.0.1}\n"
        "privacy: {id_key: k, fields: {zip: hash, code: hash, mail: mask, income: bucket 1000, name: drop}}\n"
        "models: {m: {references: [r.json]}}\n"
    )
    argv = [
        "reference",
        "build",
        "--input",
        str(rows),
        "--model",
        "m",
        "--model-version",
        "1",
        "--output",
        str(output),
    ]
    assert main([*argv, "--window-rows", "50", "--categorical", "code"]) == 0
    assert main(["config", "validate", "--config", str(config)]) == 2
    assert "build it again with --config" in capsys.readouterr().err
    assert main([*argv, "--window-rows", "50", "--categorical", "code", "--config", str(config)]) == 0
    assert main(["config", "validate", "--config", str(config)]) == 0
    assert "10115" not in output.read_text() + capsys.readouterr().out
