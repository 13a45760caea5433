"""The longest journal of the label join, as each worker tells it from the Redis of all."""

from __future__ import annotations

from queue import Queue

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from stream.keys import ModelKeys
from stream.metrics import Metrics
from stream.outcomes.journals import journal_watch, longest_journal
from stream.presence import Presence


@pytest.mark.services
def test_the_longest_of_the_joined_models_is_told_at_once(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    assert longest_journal(client, "ds", []) == longest_journal(client, "ds", ["a", "b"]) == 0
    for model, pieces in (("a", 3), ("b", 5), ("nobody's", 9)):
        client.rpush(ModelKeys("ds", model).journal, *[b"piece"] * pieces)
    shown, metrics = Queue[int](), Metrics(models=["a", "b"])

    def show(pieces: int) -> None:
        metrics.performance.waiting(pieces)
        shown.put(pieces)

    with Presence(client, "ds", "host-1", {"stage": "both"}, watch=journal_watch("ds", ["a", "b"], show)):
        assert shown.get(timeout=10) == 5
    assert metrics.registry.get_sample_value("driftstream_join_journal_pieces") == 5


@pytest.mark.services
def test_a_watch_that_fails_is_tried_again(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.presence.REFRESH_S", 0.01)
    tried = Queue[Redis]()

    def watch(client: Redis) -> None:
        tried.put(client)
        raise RedisConnectionError("away")

    with Presence(Redis.from_url(redis_url), "ds", "host-1", {"stage": "both"}, watch=watch):
        for _ in range(2):
            tried.get(timeout=10)
