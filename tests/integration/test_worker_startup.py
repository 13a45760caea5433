"""What keeps a worker from starting is told in one line, with the remedy, at once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from stream.embedded import EmbeddedKafka, EmbeddedRedis
from tests.integration.pipeline import Pipeline, synthetic_reference

pytestmark = pytest.mark.services
PATIENCE_S = 45.0


@pytest.fixture
def pipeline(tmp_path: Path, kafka: EmbeddedKafka, redis_url: str) -> Iterator[Pipeline]:
    with Pipeline(tmp_path, kafka, redis_url, references={"m": [synthetic_reference()]}) as pipeline:
        yield pipeline


def refusal(pipeline: Pipeline, code: int) -> str:
    """The error line of a worker that must not start, without its prefix."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "stream", "worker", "--config", str(pipeline.config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    seconds = time.monotonic() - began
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    prefix = "driftstream: error: "
    errors = [line for line in ended.stderr.splitlines() if line.startswith(prefix)]
    assert len(errors) == 1, ended.stderr
    assert ended.stderr.splitlines()[-1] == errors[0]
    assert seconds < PATIENCE_S
    return errors[0].removeprefix(prefix)


def rewrite(pipeline: Pipeline, old: str, new: str) -> None:
    text = pipeline.config.read_text()
    assert old in text
    pipeline.config.write_text(text.replace(old, new, 1))


def test_a_broker_that_is_not_there(pipeline: Pipeline) -> None:
    rewrite(pipeline, pipeline.kafka.bootstrap_servers, "127.0.0.1:1")
    line = refusal(pipeline, 3)
    assert "Kafka at 127.0.0.1:1 cannot be used: Connection refused" in line
    assert "start the broker or mend kafka.bootstrap.servers" in line
    assert "driftstream.yaml:2" in line


def test_a_redis_that_is_not_there(pipeline: Pipeline) -> None:
    rewrite(pipeline, pipeline.redis_url, "redis://127.0.0.1:1/0")
    line = refusal(pipeline, 3)
    assert "Redis at redis://127.0.0.1:1/0 cannot be used: Connection refused" in line
    assert "start Redis or mend redis.url" in line


def test_a_redis_that_evicts(pipeline: Pipeline, redis_binary: str) -> None:
    with EmbeddedRedis(options={"maxmemory-policy": "allkeys-lru"}) as server:
        rewrite(pipeline, pipeline.redis_url, server.url)
        line = refusal(pipeline, 3)
    assert "maxmemory-policy allkeys-lru" in line
    assert "noeviction" in line


def test_a_misspelt_key(pipeline: Pipeline) -> None:
    rewrite(pipeline, "out_of_orderness:", "out_of_ordernes:")
    line = refusal(pipeline, 2)
    assert "out_of_ordernes" in line
    assert "did you mean 'out_of_orderness'" in line
    assert "driftstream.yaml:" in line


def test_a_reference_that_is_not_there(pipeline: Pipeline) -> None:
    (pipeline.directory / "m-v1.json").unlink()
    line = refusal(pipeline, 2)
    assert "m-v1.json" in line
    assert "driftstream reference build" in line


def test_topics_that_are_not_there(pipeline: Pipeline) -> None:
    rewrite(pipeline, pipeline.topics["alerts"], "nobody-made-this")
    line = refusal(pipeline, 2)
    assert "has no topic nobody-made-this" in line
    assert "driftstream topics create" in line


def test_a_topic_that_was_recreated_is_not_read_from_its_start_in_silence(pipeline: Pipeline) -> None:
    topic = pipeline.topics["inference"]
    with Redis.from_url(pipeline.redis_url) as client:
        client.hset(f"{pipeline.prefix}:{{{topic}:0}}:cursor", "offset", "999")
    line = refusal(pipeline, 1)
    assert f"{topic}[0]: Redis holds offset 999 but the topic ends at 0: it was recreated" in line
    assert "redis.prefix" in line
