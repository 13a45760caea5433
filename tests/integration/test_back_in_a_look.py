"""Redis goes back in the middle of an evaluation: what is told then is of all events, counted again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from detectors import Reference
from stream import evaluator, model_commits
from stream.embedded import EmbeddedRedis
from stream.messages import Message
from stream.store_redis import RedisStore
from tests.faults.proxy import Proxy
from tests.integration.pipeline import eventually
from tests.stream.test_ahead import GRACE, Pipeline, closing, reference

pytestmark = pytest.mark.services
__all__ = ["reference"]
HALF = {("a", 0): 10}
POINTS = [
    ("read.before", False),
    ("read.after", False),
    ("decide.before", False),
    ("decide.before", True),
    ("decide.after", False),
]


@pytest.fixture(scope="module")
def behind(redis_binary: str) -> Iterator[EmbeddedRedis]:
    """A second server: the replica."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def proxy(redis_server: EmbeddedRedis, redis_url: str) -> Iterator[Proxy]:
    """The way to an empty Redis."""
    with Proxy(redis_server.ports["redis"]) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Redis]:
    with Redis(host="127.0.0.1", port=proxy.port) as client:
        yield client


class Once:
    """Something that happens where an evaluation first passes a point."""

    def __init__(self, point: str, happens: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
        self.point, self.happens, self.is_done = point, happens, False
        monkeypatch.setattr(evaluator, "reached", self)
        monkeypatch.setattr(model_commits, "reached", self)

    def __call__(self, point: str) -> None:
        if point == self.point and not self.is_done:
            self.is_done = True
            self.happens()


def told(messages: list[Message]) -> list[tuple[int, int, int]]:
    """End of the window in seconds, n, revision."""
    records = [json.loads(message.value) for message in messages if message.topic == "metrics"]
    return [(each["window_end_ms"] // 1_000, each["n"], each["revision"]) for each in records]


def about_to_close(pipeline: Pipeline, *, is_ahead: bool) -> None:
    """Count the other half of the events of a window, evaluate it ahead or not, and let it close."""
    pipeline.hear(pipeline.commit(GRACE, HALF))
    pipeline.evaluator.look()
    if is_ahead:
        pipeline.commit(closing(0) - 1_000, {})
        pipeline.evaluator.look()
        assert pipeline.evaluator.look_ahead() == 1
    pipeline.commit(closing(0), {})


def only_whole_windows_are_told(pipeline: Pipeline, once: Once) -> None:
    before = told(pipeline.look())
    assert once.is_done
    assert before == ([(10, 20, 0)] if once.point == "decide.after" else [])
    pipeline.hear(pipeline.commit(closing(0), HALF))
    assert told(pipeline.look()) == [(10, 20, 0)]


@pytest.mark.parametrize(("point", "is_ahead"), POINTS)
def test_emptied(
    reference: Reference, client: Redis, monkeypatch: pytest.MonkeyPatch, point: str, *, is_ahead: bool
) -> None:
    pipeline = Pipeline(reference, RedisStore(client, prefix=f"t{uuid.uuid4().hex[:6]}"))
    pipeline.hear(pipeline.commit(1_000, HALF))
    about_to_close(pipeline, is_ahead=is_ahead)

    def emptied() -> None:
        client.flushall()
        pipeline.store.declare_topic("t", 1)
        pipeline.epoch, pipeline.offset = pipeline.store.claim("t", 0).epoch, None
        pipeline.counted.clear()
        pipeline.commit(1_000, HALF)

    only_whole_windows_are_told(pipeline, Once(point, emptied, monkeypatch))


@pytest.mark.parametrize(("point", "is_ahead"), POINTS)
def test_a_replica_that_is_behind_takes_over(
    reference: Reference,
    redis_server: EmbeddedRedis,
    behind: EmbeddedRedis,
    proxy: Proxy,
    client: Redis,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    *,
    is_ahead: bool,
) -> None:
    pipeline = Pipeline(reference, RedisStore(client, prefix=f"t{uuid.uuid4().hex[:6]}"))
    pipeline.hear(pipeline.commit(1_000, HALF))
    replicated = pipeline.offset, {key: counts.copy() for key, counts in pipeline.counted.items()}
    with Redis.from_url(behind.url) as replica:
        client.config_set("repl-diskless-sync-delay", 0)
        replica.replicaof("127.0.0.1", redis_server.ports["redis"])
        eventually(lambda: client.wait(1, 100) == 1, "the replica to hold what is written")
        replica.replicaof("NO", "ONE")
    about_to_close(pipeline, is_ahead=is_ahead)

    def failed_over() -> None:
        proxy.switch(behind.ports["redis"])
        pipeline.offset, pipeline.counted = replicated

    only_whole_windows_are_told(pipeline, Once(point, failed_over, monkeypatch))
