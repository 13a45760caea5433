"""Redis is emptied in the middle of an evaluation: what is told then is of all events, counted again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
from redis import Redis

from detectors import Reference
from stream import evaluator, model_commits
from stream.messages import Message
from stream.store_redis import RedisStore
from tests.stream.test_ahead import GRACE, Pipeline, closing, reference

pytestmark = pytest.mark.services
__all__ = ["reference"]
HALF = {("a", 0): 10}


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


class Emptied:
    """Redis is emptied, once, where an evaluation passes a point; half of the events are counted again."""

    def __init__(self, point: str, pipeline: Pipeline, client: Redis) -> None:
        self.point, self.pipeline, self.client = point, pipeline, client
        self.is_done = False

    def __call__(self, point: str) -> None:
        if self.is_done or point != self.point:
            return
        self.is_done = True
        self.client.flushall()
        pipeline = self.pipeline
        pipeline.store.declare_topic("t", 1)
        pipeline.epoch, pipeline.offset = pipeline.store.claim("t", 0).epoch, None
        pipeline.counted.clear()
        pipeline.commit(1_000, HALF)


def told(messages: list[Message]) -> list[tuple[int, int, int]]:
    """End of the window in seconds, n, revision."""
    records = [json.loads(message.value) for message in messages if message.topic == "metrics"]
    return [(each["window_end_ms"] // 1_000, each["n"], each["revision"]) for each in records]


@pytest.mark.parametrize(
    ("point", "is_ahead"),
    [
        ("read.before", False),
        ("read.after", False),
        ("decide.before", False),
        ("decide.before", True),
        ("decide.after", False),
    ],
)
def test_nothing_is_told_of_half_the_events(
    reference: Reference, client: Redis, monkeypatch: pytest.MonkeyPatch, point: str, *, is_ahead: bool
) -> None:
    pipeline = Pipeline(reference, RedisStore(client, prefix=f"t{uuid.uuid4().hex[:6]}"))
    pipeline.hear(pipeline.commit(1_000, HALF))
    pipeline.hear(pipeline.commit(GRACE, HALF))
    pipeline.evaluator.look()
    if is_ahead:
        pipeline.commit(closing(0) - 1_000, {})
        pipeline.evaluator.look()
        assert pipeline.evaluator.look_ahead() == 1
    pipeline.commit(closing(0), {})
    emptied = Emptied(point, pipeline, client)
    monkeypatch.setattr(evaluator, "reached", emptied)
    monkeypatch.setattr(model_commits, "reached", emptied)
    before = told(pipeline.look())
    assert emptied.is_done
    assert before == ([(10, 20, 0)] if point == "decide.after" else [])
    pipeline.hear(pipeline.commit(closing(0), HALF))
    assert told(pipeline.look()) == [(10, 20, 0)]
