"""Fault 44: the token that let a worker in expires while it counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.faults.figures import Figures
from tests.integration.ledger import Ledger, event
from tests.integration.pipeline import Pipeline, eventually, last_revisions, send, synthetic_reference
from tests.security.rights import allow_kafka
from tests.security.secured import secured

pytestmark = [pytest.mark.services, pytest.mark.faults]
LIFETIME_S, PARTITIONS, PART = 4, 2, 5_000


def test_tokens_that_expire(
    tmp_path: Path,
    kafka_parts: list[Path],
    redis_binary: str,
    seed: int,
    table: Callable[[Figures], None],
) -> None:
    """The broker lets nobody stay longer than a token is good; clients come back with new ones."""
    reauthenticate = {"connections.max.reauth.ms": str(LIFETIME_S * 1_000)}
    ledger = Ledger(60_000, seed=seed, partitions=PARTITIONS)
    with (
        secured(tmp_path, reauthenticate) as services,
        Pipeline(
            tmp_path,
            services.kafka,
            services.redis.url,
            references={"m": [synthetic_reference()]},
            partitions=PARTITIONS,
            time={"idle_after": "10m"},
        ) as pipeline,
    ):
        services.tokens.lifetime_s = LIFETIME_S
        document = yaml.safe_load(pipeline.config.read_text())
        document["kafka"] = services.oauth()
        pipeline.config.write_text(yaml.safe_dump(document))
        allow_kafka(services, pipeline)
        worker = pipeline.ready_worker()
        given, renewals = services.tokens.given, 0
        producer, topic, stream = pipeline.producer(), pipeline.topics["inference"], list(ledger.stream())
        for first in range(0, len(stream), PART):
            renewals = services.tokens.given - given
            send(producer, topic, stream[first : first + PART])
            eventually(
                lambda seen=renewals: services.tokens.given - given > seen, lambda: worker.log[-3_000:]
            )
        end_ms = ledger.start_ms + 120_000
        send(producer, topic, [(partition, event(0, end_ms)) for partition in range(PARTITIONS)])
        metrics = pipeline.reader("metrics")
        eventually(
            lambda: (
                {at: each["n"] for at, each in last_revisions(metrics.poll()).items() if each["n"]}
                == dict(ledger.windows)
            ),
            lambda: worker.log[-3_000:],
        )
        assert pipeline.total("events") == len(stream) + PARTITIONS
        assert worker.process.poll() is None
        assert "lost partitions" not in worker.log
        table(
            Figures(
                fault="44 tokens expire",
                injections=renewals,
                events=len(stream) + PARTITIONS,
                lost=0,
                doubled=0,
                progress_s=None,
                seed=seed,
            )
        )
