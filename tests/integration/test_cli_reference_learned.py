"""``driftstream reference show|export|forget MODEL`` and ``explain``: what workers have learned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from redis import Redis
from typer.testing import CliRunner, Result

from detectors import Reference
from stream.cli import app
from stream.learning.store import Learned, LearningStore, Sighting

pytestmark = pytest.mark.services
T0 = 1_577_836_800_000


@pytest.fixture
def store(redis_url: str) -> Iterator[LearningStore]:
    with Redis.from_url(redis_url) as client:
        yield LearningStore(client, prefix="ds")


@pytest.fixture
def config(tmp_path: Path, redis_url: str) -> Path:
    built = reference("f1", model="filed")
    (tmp_path / "filed.json").write_text(built.to_json())
    document = {
        "kafka": {"bootstrap.servers": "127.0.0.1:1"},
        "redis": {"url": redis_url},
        "models": {"m": {"learn": "24h"}, "filed": {"references": ["filed.json"]}},
    }
    (tmp_path / "driftstream.yaml").write_text(yaml.safe_dump(document))
    return tmp_path / "driftstream.yaml"


def reference(version: str, *, model: str = "m", seed: int = 1) -> Reference:
    x = np.random.default_rng(seed).normal(size=2_000)
    return Reference.build({"x": x}, window_rows=50, model=model, version=version)


def run(config: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments), "--config", str(config)])


def test_the_newest_version_is_shown_unless_one_is_named(config: Path, store: LearningStore) -> None:
    for i, version in enumerate(("b", "a")):
        learned = Learned(version, T0 + i, reference(version, seed=i))
        store.publish("m", learned, Sighting(version=version, first_ms=T0 + i))
    newest = json.loads(run(config, "reference", "show", "m", "--output", "json").stdout)
    assert newest["version"] == "a"
    named = run(config, "reference", "show", "m", "--model-version", "b")
    assert f"m b ({reference('b', seed=0).fingerprint})" in named.stdout
    assert "known: b, a" in str(run(config, "reference", "show", "m", "--model-version", "zzz").exception)
    explained = run(config, "explain", "--model", "m", "--output", "json")
    assert json.loads(explained.stdout)["version"] == "a"


def test_an_exported_reference_is_a_file_like_any_other(
    config: Path, store: LearningStore, tmp_path: Path
) -> None:
    store.publish("m", Learned("v1", T0, reference("v1")), Sighting(version="v1", first_ms=T0))
    out = tmp_path / "m-v1.json"
    assert run(config, "reference", "export", "m", "--output", out).exit_code == 0
    assert Reference.from_json(out.read_text()) == reference("v1")


def test_a_forgotten_reference_is_gone_and_told_to_the_workers(config: Path, store: LearningStore) -> None:
    for version in ("v1", "v2"):
        store.publish("m", Learned(version, T0, reference(version)), Sighting(version=version, first_ms=T0))
    forgotten = run(config, "reference", "forget", "m", "--model-version", "v1")
    assert "m v1" in forgotten.stdout
    assert "warms up again" in forgotten.stdout
    assert [each.version for each in store.references("m")] == ["v2"]
    assert store.revisions(["m"]) == {"m": 3}


def test_a_model_that_warms_up_says_until_when(config: Path, store: LearningStore) -> None:
    refused = str(run(config, "reference", "show", "m").exception)
    assert refused == "m has no reference yet: no worker has seen an event of it"
    store.saw("m", [("v1", 0, T0, 17)])
    store.postpone("m", "v1", spans=2, reason="too_few_rows")
    refused = str(run(config, "reference", "export", "m", "--output", "x.json").exception)
    until = "2020-01-03T00:00:00.000Z (too_few_rows)"
    assert refused == f"m has no reference yet: it is warming up until its events reach {until}"


def test_a_model_of_files_and_an_unknown_one_are_refused(config: Path) -> None:
    refused = str(run(config, "reference", "show", "filed").exception)
    assert refused.endswith("filed learns no references: it names files")
    assert "no model 'nobody'" in str(run(config, "reference", "show", "nobody").exception)


def test_a_redis_that_is_away_is_told(config: Path) -> None:
    document = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**document, "redis": {"url": "redis://127.0.0.1:1/0"}}))
    assert "Redis at redis://127.0.0.1:1/0 cannot be used" in str(
        run(config, "reference", "show", "m").exception
    )


def test_check_and_validate_name_models_that_learn(config: Path) -> None:
    assert "references: filed f1, m learns" in run(config, "config", "validate").stdout
