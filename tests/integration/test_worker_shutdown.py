"""A worker that is told to stop commits, leaves its group and ends; the next one goes on where it stopped."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from stream.embedded import EmbeddedKafka
from tests.integration.ledger import Ledger
from tests.integration.pipeline import Pipeline, eventually, last_revisions, send, synthetic_reference

pytestmark = pytest.mark.services
EVENTS, PATIENCE_S = 150_000, 20.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_under_load_loses_and_repeats_nothing(
    tmp_path: Path, kafka: EmbeddedKafka, redis_url: str, number: signal.Signals
) -> None:
    ledger = Ledger(EVENTS, seed=int(number))
    with Pipeline(
        tmp_path,
        kafka,
        redis_url,
        references={"m": [synthetic_reference()]},
        consumer={"session_timeout": "60s"},
    ) as pipeline:
        producer, topic, stream = pipeline.producer(), pipeline.topics["inference"], ledger.stream()
        worker = pipeline.ready_worker()
        send(producer, topic, (next(stream) for _ in range(EVENTS // 2)))
        eventually(lambda: pipeline.total("events") > 0, "events to be counted")
        began = time.monotonic()
        assert worker.stop(number, timeout_s=60) == 0, worker.log
        assert time.monotonic() - began < PATIENCE_S
        assert "worker stopped" in worker.log
        assert "Traceback" not in worker.log
        stopped_at = pipeline.total("events")
        assert stopped_at == sum(cursor["offset"] for cursor in pipeline.cursors().values())

        send(producer, topic, stream)
        worker.start()  # a session of 60 s: it joins in time only if its predecessor has left the groups
        eventually(lambda: pipeline.total("events") >= EVENTS, lambda: f"{pipeline.cursors()}")
        assert worker.metric("driftstream_events_total") == EVENTS - stopped_at
        metrics = pipeline.reader("metrics")
        eventually(
            lambda: (
                {start: window["n"] for start, window in last_revisions(metrics.poll()).items()}
                == dict(ledger.windows)
            ),
            "every window to be right",
        )
        assert pipeline.total("events") == EVENTS
