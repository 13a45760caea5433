"""Labels that come before their prediction, twice, after the horizon, or when all was forgotten."""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from stream.embedded import EmbeddedKafka, EmbeddedRedis
from stream.keys import ModelKeys
from stream.outcomes.join import JoinCounts
from stream.outcomes.join_redis import RedisJoin
from tests.faults.figures import Figures
from tests.faults.nursery import ForkedWorker, Nursery
from tests.faults.oracle import newest
from tests.faults.scene import fresh_group
from tests.integration.pipeline import Pipeline, eventually, labelled_reference, values

pytestmark = [pytest.mark.services, pytest.mark.faults]
Table = Callable[[Figures], None]

PREDICTIONS, PARTITIONS, WINDOW_MS, STEP_MS = 8_000, 4, 10_000, 10
HORIZON_MS, FIRST = 20_000, 1_000
Record = tuple[str, int, bytes]


def event(number: int, ts_ms: int, **more: Any) -> bytes:
    return json.dumps({"prediction_id": str(number), "model": "m", "ts": ts_ms, **more}).encode()


@dataclass
class Labelled:
    """A seeded stream of predictions and labels, and what a reader with endless memory makes of it.

    Parts of the predictions: most get their label later, once; 5 % twice; 5 % corrected; 6 % after the
    horizon; 6 % never; a third of the first ones before they come, in ``early``. Ids that nobody predicted
    get labels too.
    """

    seed: int
    records: list[Record] = field(default_factory=list)
    early: list[Record] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    right: dict[int, list[bool]] = field(default_factory=lambda: defaultdict(list))
    predicted: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        now_ms = time.time_ns() // 1_000_000
        span_ms = PREDICTIONS * STEP_MS + 3 * HORIZON_MS + 60_000
        self.start_ms = (now_ms - span_ms) // WINDOW_MS * WINDOW_MS
        timed: list[tuple[float, Record]] = []
        for number in range(PREDICTIONS):
            timed += self._of(number, self.start_ms + number * STEP_MS, chance)
        self.records = [record for _, record in sorted(timed, key=lambda each: each[0])]

    def _of(self, number: int, ts_ms: int, chance: random.Random) -> list[tuple[float, Record]]:
        score = round(chance.random(), 3)
        said, truth = ("yes" if yes else "no" for yes in (score > 0.5, chance.random() < score))
        window = ts_ms // WINDOW_MS * WINDOW_MS
        kinds = ("once", "twice", "corrected", "early", "beyond", "never")
        (kind,) = chance.choices(kinds, (78, 5, 5, 50 if number < FIRST else 0, 6, 6))
        self.kinds[kind] += 1
        self.predicted[window] += 1
        if kind not in ("beyond", "never"):
            self.right[window].append(said == truth)
        known_ms = ts_ms + (HORIZON_MS + 1 if kind == "beyond" else chance.randrange(1, HORIZON_MS // 2))
        first = ("no" if truth == "yes" else "yes") if kind == "corrected" else truth
        labels = [] if kind == "never" else [event(number, known_ms, label=first)]
        if kind == "twice":
            labels *= 2
        if kind == "corrected":
            labels.append(event(number, known_ms + 1, label=truth))
        later = chance.uniform(1, 900)
        prediction = event(number, ts_ms, prediction=said, score=score)
        out = [(float(number), ("inference", chance.randrange(PARTITIONS), prediction))]
        sent: list[Record] = [("labels", number % PARTITIONS, label) for label in labels]
        if kind == "early":
            self.early += sent
        else:
            out += [(number + later + 0.1 * i, label) for i, label in enumerate(sent)]
        if chance.random() < 0.02:
            self.kinds["stranger"] += 1
            stranger = event(10**9 + number, known_ms, label=truth)
            out.append((number + 0.5, ("labels", number % PARTITIONS, stranger)))
        return out

    def closers(self) -> list[Record]:
        """Events that close every window, and end the wait for labels."""
        end_ms = self.start_ms + PREDICTIONS * STEP_MS + 2 * HORIZON_MS + 4 * WINDOW_MS
        return [
            record
            for partition in range(PARTITIONS)
            for record in (
                ("inference", partition, event(2 * 10**9, end_ms, prediction="no", score=0.5)),
                ("labels", partition, event(2 * 10**9 + 1, end_ms, label="no")),
            )
        ]

    def again(self, chance: random.Random, n: int) -> list[Record]:
        """Other labels, and later ones, of predictions that were labelled long ago."""
        ts_ms = self.start_ms + (PREDICTIONS - 1) * STEP_MS
        numbers = chance.sample(range(PREDICTIONS), n)
        return [("labels", number % PARTITIONS, event(number, ts_ms, label="yes")) for number in numbers]


def joined(pipeline: Pipeline) -> JoinCounts:
    with Redis.from_url(pipeline.redis_url) as client:
        return RedisJoin(client, prefix=pipeline.prefix).join_counts("m")


def final(records: list[dict[str, Any]]) -> dict[int, tuple[int, int, float | None]]:
    """Predictions, labels and accuracy of each final window, by its start."""
    found = {}
    for (_, start_ms), record in newest(records).items():
        realized = record.get("performance", {}).get("realized", {})
        if realized.get("final") and realized["predictions"]:
            found[start_ms] = (realized["predictions"], realized["n"], realized["accuracy"])
    return found


def produce(pipeline: Pipeline, records: list[Record]) -> None:
    producer = pipeline.producer()
    for role, partition, value in records:
        producer.produce(pipeline.topics[role], value, partition=partition)
    assert producer.flush(60) == 0


def consumed(pipeline: Pipeline, sent: int) -> bool:
    cursors = [each for role in ("inference", "labels") for each in pipeline.cursors(role).values()]
    return sum(each.get("offset", 0) for each in cursors) >= sent


def forget_pending(pipeline: Pipeline) -> int:
    """What Redis does when the time to live of pending predictions is over."""
    stem = ModelKeys(pipeline.prefix, "m").stem
    with Redis.from_url(pipeline.redis_url) as client:
        buckets = list(client.scan_iter(f"{stem}pending:*", count=10_000))
        return int(client.delete(*buckets))


def test_labels_at_the_wrong_time(
    tmp_path: Path,
    kafka: EmbeddedKafka,
    own_redis: EmbeddedRedis,
    nursery: Nursery,
    seed: int,
    table: Table,
) -> None:
    """Fault 37: joined once each, what is not joined is counted, and no count is ever negative."""
    stream, chance = Labelled(seed), random.Random(seed)
    settings = {"defaults": {"labels": {"horizon": "20s"}}}
    with Pipeline(
        tmp_path,
        kafka,
        own_redis.url,
        references={"m": [labelled_reference()]},
        partitions=PARTITIONS,
        time={"out_of_orderness": "1s", "idle_after": "10m"},
        **settings,
    ) as pipeline:
        worker = ForkedWorker.__new__(ForkedWorker)
        worker.arguments = ["worker", "--config", str(pipeline.config)]
        worker.log_path, worker.nursery, worker.env = tmp_path / "worker.log", nursery, fresh_group()
        worker.start()
        half = len(stream.records) // 2
        try:
            produce(pipeline, stream.early)
            eventually(lambda: joined(pipeline).early == stream.kinds["early"], lambda: worker.log)
            produce(pipeline, stream.records[:half])
            eventually(lambda: joined(pipeline).joined > 1_000, lambda: worker.log)
            worker.kill()
            worker.env = fresh_group()
            worker.start()
            produce(pipeline, stream.records[half:])
            sent = len(stream.early) + len(stream.records)
            eventually(lambda: consumed(pipeline, sent), lambda: worker.log)
            assert forget_pending(pipeline) > 0
            late = stream.again(chance, 500)
            produce(pipeline, late + stream.closers())
            sent += len(late) + 2 * PARTITIONS
            expected = {
                start: (n, len(stream.right[start]), pytest.approx(float(np.mean(stream.right[start]))))
                for start, n in stream.predicted.items()
            }
            metrics = pipeline.reader("metrics")
            eventually(
                lambda: final(values(metrics.poll())) == expected,
                lambda: f"TEST_SEED={seed} {final(values(metrics.records))} {expected} {worker.log[-2000:]}",
            )
            eventually(lambda: consumed(pipeline, sent), worker.log)
            counts = joined(pipeline)
        finally:
            worker.kill()
        kinds = stream.kinds
        labelled = sum(map(len, stream.right.values()))
        assert (counts.predictions, counts.joined) == (PREDICTIONS + 1, labelled), counts
        assert counts.after_horizon == kinds["beyond"]
        # Topics are read side by side: more labels than those may have come before their prediction.
        assert counts.corrected <= kinds["corrected"]
        assert counts.early_joined >= kinds["early"]
        waiting = kinds["stranger"] + len(late) + 1
        assert waiting <= counts.early - counts.early_joined <= waiting + kinds["beyond"]
        assert (counts.conflicting, counts.reused, counts.refused, counts.damaged) == (0, 0, 0, 0)
        for record in values(metrics.records):
            realized = record.get("performance", {}).get("realized")
            if realized and realized["predictions"]:
                assert 0 <= realized["n"] <= realized["predictions"], record
                assert 0 <= (realized["coverage"] or 0) <= 1, record
        table(
            Figures(
                fault="37 labels early, twice, late",
                injections=PREDICTIONS - kinds["once"] + kinds["stranger"] + len(late),
                events=sent,
                lost=0,
                doubled=0,
                progress_s=None,
                seed=seed,
            )
        )
