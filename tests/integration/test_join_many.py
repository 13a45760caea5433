"""Rows of many models are joined together, under the strata of a store that may lose or renumber them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import numpy as np
import pytest
import redis

from stream.codec import Declared
from stream.outcomes.intake import JoinedModel
from stream.outcomes.join import Labels, Predictions
from stream.outcomes.join_memory import MemoryJoin
from stream.outcomes.join_redis import ROWS_PER_CALL, ROWS_PER_PIPELINE, RedisJoin
from stream.outcomes.join_rows import JoinRows
from stream.outcomes.sending import OutcomeJoin
from stream.outcomes.stratum import Stratum

HOUR = 3_600_000
T0 = 1_700_000_000_000
VARIANTS = ("live", "shadow", "canary")
DECLARED = Declared(variants=VARIANTS, answers=True)
Store = MemoryJoin | RedisJoin


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.services)])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryJoin()
        return
    with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
        yield RedisJoin(client, prefix=f"t{uuid.uuid4().hex[:6]}")


class World:
    """Models with a table of strata each, and rows of theirs: the variant of a row is its id modulo 3."""

    def __init__(self, store: Store, models: int) -> None:
        self.store = store
        self.names = tuple(f"m{i}" for i in range(models))
        self.models = {
            name: JoinedModel(DECLARED, horizon_ms=(8 + i % 2) * HOUR) for i, name in enumerate(self.names)
        }
        self.counts = dict.fromkeys(self.names, 0)
        self._join = OutcomeJoin(store, self.models, joined=self._joined)

    def _joined(self, model: str, counts: dict[str, int]) -> None:
        self.counts[model] += counts["predictions"]

    def join(self, first: int, rows: int) -> None:
        """Predictions ``first`` to ``first + rows`` of each model, mixed, and a label about the first."""
        key = np.repeat(np.arange(first, first + rows), len(self.names)).astype(np.uint64)
        model = np.arange(len(key)) % len(self.names)
        variant = (key % 3).astype(int)
        strata = [
            self.models[self.names[m]].strata.number("v1", v) for m, v in zip(model, variant, strict=True)
        ]
        ts_ms = T0 + key.astype(np.int64)
        number = key.astype(np.float64)
        predictions = Predictions(key, ts_ms, np.array(strata, np.uint16), number % 2, number / 1e9)
        one, about = np.ones(len(self.names)), np.full(len(self.names), first, np.uint64)
        labels = Labels(about, np.full(len(one), T0 + HOUR), one, one == 0, one * np.nan)
        joined = JoinRows()
        joined.append(self.names, model, predictions)
        joined.append(self.names, np.arange(len(one)), labels)
        self._join.join(joined)

    def check(self, first: int, rows: int) -> None:
        """The journal of each model has exactly these rows, each under the name of its variant."""
        for model in self.names:
            names = self.store.strata_names(model)
            found = self.store.journal(model, 10**9).transitions
            found = np.sort(found[found["is_new_prediction"]], order="ts_ms")
            assert (found["ts_ms"] - T0).tolist() == list(range(first, first + rows))
            variants = [Stratum.of(names[number]).variant for number in found["stratum"].tolist()]
            assert variants == [VARIANTS[key % 3] for key in range(first, first + rows)]
            assert found["prediction"].tolist() == [key % 2 for key in range(first, first + rows)]

    def lose(self) -> None:
        """All data of the store is gone."""
        if isinstance(self.store, MemoryJoin):
            self.store.__init__()  # type: ignore[misc]  # the join holds this very object
        else:
            self.store.client.flushdb()
            self.store.client.script_flush()


@pytest.mark.parametrize(
    ("models", "rows"), [(1, 2 * ROWS_PER_CALL + 1), (7, 20), (60, ROWS_PER_PIPELINE // 40)]
)
def test_all_rows_of_all_models_are_joined(store: Store, models: int, rows: int) -> None:
    world = World(store, models)
    world.join(0, rows)
    world.check(0, rows)
    assert set(world.counts.values()) == {rows}
    world.join(0, rows)
    world.check(0, rows)
    assert set(world.counts.values()) == {rows}


def test_numbers_of_other_processes_are_taken(store: Store) -> None:
    for model in ("m1", "m3"):
        store.strata(model, [Stratum("v1", variant, {}).name for variant in ("canary", "shadow")])
    world = World(store, 5)
    world.join(0, 12)
    world.check(0, 12)
    assert list(store.strata_names("m1").values())[:2] != list(store.strata_names("m2").values())[:2]


@pytest.mark.parametrize("rows", [12, ROWS_PER_CALL + 100])
def test_a_store_that_lost_its_data_gets_what_comes_then_under_its_own_numbers(
    store: Store, rows: int
) -> None:
    world = World(store, 4)
    world.join(0, 9)
    world.lose()
    for model in ("m0", "m2"):
        store.strata(model, [Stratum("v1", variant, {}).name for variant in ("canary", "live", "shadow")])
    world.join(100, rows)
    world.check(100, rows)
    assert set(world.counts.values()) == {9 + rows}


def test_strata_are_asked_for_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    strata_of = store.strata_of
    monkeypatch.setattr(store, "strata_of", lambda names: (asked.append(sorted(names)), strata_of(names))[1])
    world = World(store, 3)
    for first in (0, 3, 6):
        world.join(first, 3)
    assert asked == [["m0", "m1", "m2"]]
    world.check(0, 9)
