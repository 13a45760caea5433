"""Whatever the order, the repeats and the crashes: what is folded in the end is what a batch would count."""

from __future__ import annotations

import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.one_model import commit_model, load_model
from stream.outcomes.fold import Folded, OutcomeRows, fold
from stream.outcomes.join import Labels, OutcomeCommit, Predictions
from stream.store_memory import MemoryStore
from stream.store_redis import RedisStore

HORIZON = 800
SLIDE = 150
T0 = 1_000_000
Store = MemoryStore | RedisStore
Outcomes = Counter[tuple[int, int, float, float, float, float | None, int]]
"""By pane, stratum, prediction, score, label, value and delay."""


class P(NamedTuple):
    key: int
    ts_ms: int
    stratum: int
    prediction: float
    score: float


class L(NamedTuple):
    key: int
    ts_ms: int
    label: float
    supersedes: bool
    value: float | None

    @property
    def rank(self) -> tuple[float, ...]:
        return self.ts_ms, self.supersedes, self.label, -1.0 if self.value is None else self.value


Event = P | L
moments = st.integers(T0, T0 + 4 * HORIZON)
keys = st.integers(0, 4)
predicted = st.builds(
    P, keys, moments, st.integers(0, 1), st.sampled_from([0.0, 1.0]), st.sampled_from([0.25, 0.5])
)
labelled = st.builds(
    L, keys, moments, st.sampled_from([0.0, 1.0]), st.booleans(), st.sampled_from([None, None, 2.0, 5.0])
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Event], random.Random]:
    """One prediction at most of each id; labels of an id up to eight."""
    predictions = {p.key: p for p in draw(st.lists(predicted, min_size=2, max_size=12))}
    labels = draw(st.lists(labelled, min_size=4, max_size=30))
    of_id: Counter[int] = Counter()
    kept = [label for label in labels if of_id.update([label.key]) or of_id[label.key] <= 8]
    events: list[Event] = [*predictions.values(), *kept]
    return draw(st.permutations(events)), draw(st.randoms(use_true_random=False))


def in_batch(events: list[Event]) -> tuple[Outcomes, Counter[tuple[int, int]]]:
    """Outcomes and numbers of predictions, as one who has all rows at hand would count them."""
    outcomes: Outcomes = Counter()
    predictions: Counter[tuple[int, int]] = Counter()
    labels: dict[int, list[L]] = defaultdict(list)
    for e in events:
        if isinstance(e, L):
            labels[e.key].append(e)
    for p in (e for e in events if isinstance(e, P)):
        cell = (p.ts_ms // SLIDE * SLIDE, p.stratum)
        predictions[cell] += 1
        near = [label for label in labels[p.key] if abs(label.ts_ms - p.ts_ms) <= HORIZON]
        if near:
            won = max(near, key=lambda label: label.rank)
            outcomes[*cell, p.prediction, p.score, won.label, won.value, won.ts_ms - p.ts_ms] += 1
    return outcomes, predictions


def send(store: Store, events: list[Event]) -> None:
    ps = [e for e in events if isinstance(e, P)]
    ls = [e for e in events if isinstance(e, L)]
    key, ts, stratum, prediction, score = zip(*ps, strict=True) if ps else ((),) * 5
    p = Predictions(
        np.array(key, np.uint64), np.array(ts, np.int64), np.array(stratum, np.uint16),
        np.array(prediction, np.float64), np.array(score, np.float64),
    )  # fmt: skip
    key, ts, label, supersedes, value = zip(*ls, strict=True) if ls else ((),) * 5
    values = [np.nan if v is None else v for v in value]
    labels = Labels(
        np.array(key, np.uint64), np.array(ts, np.int64), np.array(label, np.float64),
        np.array(supersedes, np.bool_), np.array(values, np.float64),
    )  # fmt: skip
    store.joins.join("m", p if ps else None, labels if ls else None, horizon_ms=HORIZON)


class Evaluation:
    """An evaluator that folds into counters; what it has committed is all that it keeps."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.outcomes: Outcomes = Counter()
        self.predictions: Counter[tuple[int, int]] = Counter()
        self.silent: Counter[tuple[int, int]] = Counter()

    def step(self, limit: int, *, crash: bool) -> bool:
        revision, _ = load_model(self.store, "m")
        piece = self.store.joins.journal("m", limit)
        folded = fold(piece.transitions, SLIDE)
        if crash:
            return True
        commit_model(self.store, "m", revision, b"", [],
            outcomes=OutcomeCommit(base=piece.base, upto=piece.upto, panes={}, ttl_ms=60_000),
        )  # fmt: skip
        for cell, change in folded.items():
            self._count(cell, change)
        return piece.more

    def _count(self, cell: tuple[int, int], change: Folded) -> None:
        self.predictions[cell] += change.predictions
        self.silent[cell] += len(change.silent) - len(change.answered)
        self.outcomes.update(_rows(cell, change.added))
        self.outcomes.subtract(_rows(cell, change.removed))


def _rows(
    cell: tuple[int, int], rows: OutcomeRows
) -> Iterator[tuple[int, int, float, float, float, float | None, int]]:
    columns = (rows.prediction, rows.score, rows.label, rows.value, rows.delay_ms)
    for prediction, score, label, value, delay in zip(*(c.tolist() for c in columns), strict=True):
        yield (*cell, prediction, score, label, None if np.isnan(value) else value, delay)


def run(store: Store, events: list[Event], rng: random.Random) -> None:
    evaluation = Evaluation(store)
    at = 0
    while at < len(events):
        upto = at + rng.randint(1, 6)
        send(store, events[at:upto])
        if rng.random() < 0.5:
            evaluation.step(rng.randint(1, 4), crash=rng.random() < 0.4)
        at = upto if rng.random() < 0.6 else max(0, at - rng.randint(0, 5))  # sent again from an older offset
    while evaluation.step(rng.randint(1, 50), crash=False):
        continue
    outcomes, predictions = in_batch(events)
    assert min(evaluation.outcomes.values(), default=0) >= 0
    assert +evaluation.outcomes == outcomes
    assert evaluation.predictions == predictions
    labelled_of = Counter(dict.fromkeys(predictions, 0))
    for (pane, stratum, *_), n in outcomes.items():
        labelled_of[pane, stratum] += n
    assert {cell: n - labelled_of[cell] for cell, n in predictions.items()} == dict(evaluation.silent)


@given(histories())
@settings(deadline=None, max_examples=150)
def test_the_fold_equals_the_batch_in_memory(history: tuple[list[Event], random.Random]) -> None:
    run(MemoryStore(), *history)


@pytest.fixture
def fresh(redis_url: str) -> Iterator[Callable[[], RedisStore]]:
    """A store of its own each time."""
    with redis.Redis.from_url(redis_url) as client:
        yield lambda: RedisStore(client, prefix=uuid.uuid4().hex[:8])


@pytest.mark.services
@given(history=histories())
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_fold_equals_the_batch_in_redis(
    fresh: Callable[[], RedisStore], history: tuple[list[Event], random.Random]
) -> None:
    run(fresh(), *history)


@pytest.mark.services
@given(history=histories())
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_stores_make_the_same_transitions(
    fresh: Callable[[], RedisStore], history: tuple[list[Event], random.Random]
) -> None:
    events, rng = history
    in_redis, in_memory = fresh(), MemoryStore()
    for at in range(0, len(events), 3):
        again = max(0, at - rng.randint(0, 4))
        for store in (in_redis, in_memory):
            send(store, events[again : at + 3])
    assert in_redis.joins.join_counts("m") == in_memory.joins.join_counts("m")
    assert _sorted(in_redis) == _sorted(in_memory)


def _sorted(store: Store) -> list[bytes]:
    return sorted(row.tobytes() for row in store.joins.journal("m", 10_000).transitions)


@pytest.mark.services
def test_workers_that_send_at_once_and_twice_join_once(
    fresh: Callable[[], RedisStore], redis_url: str
) -> None:
    rng = random.Random(3)
    moment = range(T0, T0 + HORIZON)
    events: list[Event] = [P(key, rng.choice(moment), key % 2, 1.0, 0.5) for key in range(3000)]
    events += [
        L(key, rng.choice(moment), float(rng.random() < 0.5), False, None)
        for key in range(3000)
        for _ in range(2)
    ]
    store = fresh()

    def worker(seed: int) -> None:
        mine = random.Random(seed).sample(events, len(events))
        with redis.Redis.from_url(redis_url) as client:
            theirs = RedisStore(client, prefix=store.prefix)
            for at in range(0, len(mine), 300):
                send(theirs, mine[at : at + 300])

    evaluation = Evaluation(store)
    with ThreadPoolExecutor(3) as pool:
        sending = [pool.submit(worker, seed) for seed in range(3)]
        while not all(each.done() for each in sending):
            evaluation.step(500, crash=rng.random() < 0.2)
        for each in sending:
            each.result()
    while evaluation.step(500, crash=False):
        continue
    outcomes, predictions = in_batch(events)
    assert +evaluation.outcomes == outcomes
    assert evaluation.predictions == predictions
