from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stream.redis_wire import CHUNK, Call, WireScript, bulks

pytestmark = pytest.mark.services

ECHO = (
    "if ARGV[1] == 'fail' then return redis.error_reply('ERR asked for') end return {KEYS[1], ARGV[1], #ARGV}"
)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connected:
        yield connected


@pytest.fixture
def script(client: redis.Redis) -> WireScript:
    return WireScript(client, f"-- {uuid.uuid4().hex}\n{ECHO}")  # unknown to this Redis


def call(script: WireScript, *arguments: bytes | str | int) -> Call:
    return [script.count(1, len(arguments)), script.start(["key"]), bulks(arguments)]


def test_calls_are_answered_in_their_order(script: WireScript) -> None:
    odd = [b"", b"\r\n$3\r\n", "ü", 7, bytes(range(256)), b"x" * (3 * CHUNK)]
    texts = [each if isinstance(each, bytes) else str(each).encode() for each in odd]
    for _ in range(2):  # brought to Redis with the first
        replies = script.run([call(script, each, "more") for each in odd])
        assert replies == [[b"key", text, 2] for text in texts]


def test_no_calls_are_no_replies(script: WireScript) -> None:
    assert script.run([]) == []


def test_a_script_that_redis_forgot_is_brought_again(client: redis.Redis, script: WireScript) -> None:
    assert script.run([call(script, 1)]) == [[b"key", b"1", 1]]
    client.script_flush()
    assert script.run([call(script, 2), call(script, 3)]) == [[b"key", b"2", 1], [b"key", b"3", 1]]


def test_an_error_is_raised_when_all_replies_are_read(client: redis.Redis, script: WireScript) -> None:
    with pytest.raises(redis.ResponseError, match="asked for"):
        script.run([call(script, 1), call(script, "fail"), call(script, 2)])
    assert script.run([call(script, 3)]) == [[b"key", b"3", 1]]
    assert client.ping()


def test_a_connection_whose_bytes_were_cut_off_is_not_used_again(
    client: redis.Redis, script: WireScript
) -> None:
    def cut_off() -> Iterator[bytes]:
        yield script.count(1, 1)
        yield b"x" * CHUNK
        raise MemoryError("half a call is sent")

    with pytest.raises(MemoryError):
        script.run([call(script, 1), cut_off()])
    assert script.run([call(script, 2)]) == [[b"key", b"2", 1]]
    assert client.ping()


def test_redis_that_is_gone_is_an_error_of_redis(script: WireScript) -> None:
    with redis.Redis(port=1, retry=Retry(NoBackoff(), 0)) as nobody, pytest.raises(redis.ConnectionError):
        WireScript(nobody, ECHO).run([call(script, 1)])
