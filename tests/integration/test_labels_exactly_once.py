"""Predictions and labels through Apache Kafka, two workers, one killed again and again: every outcome once.

The seed is printed; ``TEST_SEED`` repeats a run.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from stream.embedded import EmbeddedKafka
from stream.outcomes.join import JoinCounts
from stream.outcomes.join_redis import RedisJoin
from stream.outcomes.panes import OutcomePane, merged
from tests.integration.pipeline import Pipeline, eventually, labelled_reference, send

EVENTS, KILLS, PARTITIONS, WINDOW_MS = 60_000, 2, 8, 10_000
AHEAD = 10_000  # the early labels of these come before any prediction
STEP_MS = 2


@dataclass
class Labelled:
    """Predictions whose labels come up to 3,000 events later, 1 % before them; 5 % twice, 2 % corrected.

    ``ahead`` labels come before everything else.
    """

    seed: int
    ahead: int = 0
    sent: list[tuple[str, int, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        start_ms = (time.time_ns() // 1_000_000 - EVENTS * STEP_MS) // WINDOW_MS * WINDOW_MS - WINDOW_MS
        self.ts_ms = start_ms + np.arange(EVENTS) * STEP_MS
        self.score = np.round(rng.uniform(size=EVENTS), 3)
        self.truth = (rng.uniform(size=EVENTS) < self.score).astype(int)
        self.corrected = rng.uniform(size=EVENTS) < 0.02
        twice, early = rng.uniform(size=EVENTS) < 0.05, rng.uniform(size=EVENTS) < 0.01
        place = np.where(early, -rng.integers(1, 100, EVENTS), rng.integers(1, 3_000, EVENTS))
        partition = rng.integers(0, PARTITIONS, (2, EVENTS))
        queue = []
        for i in range(EVENTS):
            queue.append((float(i), "inference", int(partition[0, i]), self._prediction(i)))
            first = self.truth[i] ^ self.corrected[i]
            labels = (
                [(0, first)] + [(0, first)] * int(twice[i]) + [(1, self.truth[i])] * int(self.corrected[i])
            )
            for later, (rank, label) in enumerate(labels):
                at = float(i + place[i]) + 0.5 + 700 * later
                if early[i] and i < AHEAD and not later:
                    at = -1.0
                    self.ahead += 1
                queue.append((at, "labels", int(partition[1, i]), self._label(i, rank, int(label))))
        self.sent = [each[1:] for each in sorted(queue)]

    def _prediction(self, i: int) -> bytes:
        return _event(
            i,
            int(self.ts_ms[i]),
            prediction="yes" if self.score[i] > 0.5 else "no",
            score=float(self.score[i]),
        )

    def _label(self, i: int, rank: int, label: int) -> bytes:
        return _event(i, int(self.ts_ms[i]) + 1_000 + rank, label=("no", "yes")[label])

    def windows(self) -> dict[int, tuple[int, int, float]]:
        """Predictions, labels and accuracy of each window, by its start."""
        right = (self.score > 0.5) == (self.truth == 1)
        starts = self.ts_ms // WINDOW_MS * WINDOW_MS
        return {
            int(start): (int(here.sum()), int(here.sum()), float(right[here].mean()))
            for start in np.unique(starts)
            if (here := starts == start).any()
        }


def _event(i: int, ts_ms: int, **more: Any) -> bytes:
    return json.dumps({"prediction_id": str(i), "model": "m", "ts": ts_ms, **more}).encode()


REFERENCE = labelled_reference()


def joined(pipeline: Pipeline) -> JoinCounts:
    with Redis.from_url(pipeline.redis_url) as client:
        return RedisJoin(client, prefix=pipeline.prefix).join_counts("m")


def folded(pipeline: Pipeline, starts: Iterable[int]) -> dict[int, tuple[int, int, float | None]]:
    """What the evaluators have folded into each window: predictions, labels, accuracy."""
    performance = REFERENCE.performance
    assert performance is not None
    with Redis.from_url(pipeline.redis_url) as client:
        stored = RedisJoin(client, prefix=pipeline.prefix).outcome_panes("m", sorted(starts))
    panes = {start: OutcomePane.from_bytes(data, performance.spec) for start, data in stored.items()}
    whole = {start: merged([pane], performance.spec, lambda _: True) for start, pane in panes.items()}
    return {
        start: (each.predictions, each.labelled, each.performance.metrics()["accuracy"])
        for start, each in whole.items()
    }


@pytest.mark.services
@pytest.mark.timeout(420)
def test_every_outcome_is_counted_once_through_kills(
    tmp_path: Path, kafka: EmbeddedKafka, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(2**31)))
    stream = Labelled(seed)
    kills = sorted(random.Random(seed).sample(range(20_000, len(stream.sent) - 10_000), KILLS))
    settings = {"defaults": {"labels": {"horizon": "1h"}}}
    with Pipeline(tmp_path, kafka, redis_url, references={"m": [REFERENCE]}, **settings) as pipeline:
        workers = [pipeline.ready_worker(name=name) for name in ("one", "two")]
        producer, behind = pipeline.producer(), []
        ahead = [(partition, value) for _, partition, value in stream.sent[: stream.ahead]]
        send(producer, pipeline.topics["labels"], ahead)
        eventually(
            lambda: joined(pipeline).early == stream.ahead, lambda: f"labels first: {joined(pipeline)}"
        )
        for begin, end in pairwise([stream.ahead, *kills, len(stream.sent)]):
            before = joined(pipeline).predictions
            for topic in ("inference", "labels"):
                mine = [(partition, value) for to, partition, value in stream.sent[begin:end] if to == topic]
                send(producer, pipeline.topics[topic], mine)
            if end < len(stream.sent):
                eventually(lambda before=before: joined(pipeline).predictions > before, "some to be counted")
                workers[0].kill()
                behind.append(EVENTS - joined(pipeline).predictions)
                workers[0].start()
                workers[0].await_ready()
        eventually(
            lambda: joined(pipeline)[:2] == (EVENTS, EVENTS),
            lambda: f"all joined, seed {seed}: {joined(pipeline)}",
            timeout_s=120,
        )
        expected = stream.windows()
        eventually(
            lambda: folded(pipeline, expected) == expected,
            lambda: f"all folded, seed {seed}: {folded(pipeline, expected)} {expected}",
            timeout_s=60,
        )
        counts = joined(pipeline)
        with capsys.disabled():
            print(f"\noutcomes once, seed {seed}: {counts}; predictions to come at the kills: {behind}")
        assert (counts.predictions, counts.joined) == (EVENTS, EVENTS)
        assert counts.corrected <= int(stream.corrected.sum())
        assert (counts.after_horizon, counts.conflicting, counts.reused, counts.refused) == (0, 0, 0, 0)
        assert counts.early == counts.early_joined >= stream.ahead > 0
