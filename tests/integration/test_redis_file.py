"""A Redis that has started: its append-only file is written anew, once, on a real server."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from redis import Redis

from stream.embedded import EmbeddedRedis
from stream.redis_file import RedisFile
from tests.integration.pipeline import eventually

pytestmark = pytest.mark.services


@pytest.fixture
def server(redis_binary: str) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as started:
        yield started


def run_id(client: Redis) -> str:
    return str(client.info("server")["run_id"])


def look_until_whole(client: Redis) -> None:
    file = RedisFile(client, "ds")

    def noted() -> bool:
        file.look()
        return client.hget("ds:file", "run_id") == run_id(client).encode()

    eventually(noted, "the file to be written")


def rewrites(client: Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_bgrewriteaof", {}).get("calls", 0))


def test_each_start_writes_the_file_anew_once(server: EmbeddedRedis) -> None:
    with Redis.from_url(server.url) as client:
        look_until_whole(client)
        look_until_whole(client)  # another worker
        assert rewrites(client) == 1
        first = run_id(client)
        client.set("kept", "1")
        server.kill()
        server.start()
        assert run_id(client) != first
        look_until_whole(client)
        assert (rewrites(client), client.get("kept")) == (1, b"1")


def test_while_it_is_being_written_nobody_asks_again(server: EmbeddedRedis) -> None:
    with Redis.from_url(server.url) as client:
        ours, another = RedisFile(client, "ds"), RedisFile(client, "ds")
        ours.look()
        another.look()  # refused by Redis while it writes, which is as good
        look_until_whole(client)
        ours.look()
        another.look()
        assert rewrites(client) <= 3


def test_without_the_right_it_says_so_once(server: EmbeddedRedis, caplog: pytest.LogCaptureFixture) -> None:
    with Redis.from_url(server.url) as admin:
        admin.acl_setuser(
            "plain", enabled=True, passwords=["+x"], keys=["*"], commands=["+@all", "-bgrewriteaof"]
        )
    with Redis.from_url(server.url, username="plain", password="x") as client:
        file = RedisFile(client, "ds")
        with caplog.at_level(logging.WARNING, "stream.redis_file"):
            file.look()
            file.look()
        assert client.hget("ds:file", "run_id") is None
    (line,) = caplog.messages
    assert "run BGREWRITEAOF" in line
    assert "grant +info +bgrewriteaof" in line


def test_without_a_file_there_is_nothing_to_write(redis_binary: str) -> None:
    with EmbeddedRedis(appendonly=False) as server, Redis.from_url(server.url) as client:
        RedisFile(client, "ds").look()
        assert rewrites(client) == 0
