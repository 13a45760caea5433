from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.parser import text_string_to_metric_families

from stream.errors import ConfigError
from stream.web import MAX_CONNECTIONS, Endpoint, serve


def fine() -> tuple[bool, str]:
    return True, "ok"


def get(
    endpoint: Endpoint, path: str, method: str = "GET", **headers: str
) -> tuple[int, str, dict[str, str]]:
    with closing(http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("seen", "Seen.", registry=registry).inc(3)
    return registry


@pytest.fixture
def endpoint(registry: CollectorRegistry) -> Iterator[Endpoint]:
    with serve(registry, livez=fine, readyz=fine, port=0, reuse_seconds=0) as endpoint:
        yield endpoint


@contextmanager
def idle_connections(endpoint: Endpoint, count: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection((endpoint.host, endpoint.port), timeout=10))
        yield


def test_metrics_are_the_registry_without_created_series(endpoint: Endpoint) -> None:
    status, body, headers = get(endpoint, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    samples = [sample for family in text_string_to_metric_families(body) for sample in family.samples]
    assert [(sample.name, sample.value) for sample in samples] == [("seen_total", 3.0)]


def test_openmetrics_for_those_who_ask(endpoint: Endpoint) -> None:
    _, body, headers = get(endpoint, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith("# EOF\n")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/readyz?verbose"])
def test_checks_answer_with_their_detail(endpoint: Endpoint, path: str) -> None:
    assert get(endpoint, path)[:2] == (200, "ok\n")


def test_a_check_that_says_no_or_fails_is_503(registry: CollectorRegistry) -> None:
    def broken() -> tuple[bool, str]:
        raise RuntimeError("secret detail")

    with serve(registry, livez=broken, readyz=lambda: (False, "no partitions yet"), port=0) as endpoint:
        assert get(endpoint, "/readyz")[:2] == (503, "no partitions yet\n")
        assert get(endpoint, "/livez")[:2] == (503, "/livez could not be checked: RuntimeError\n")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/table", "/../etc/passwd"])
def test_other_paths_are_not_found(endpoint: Endpoint, path: str) -> None:
    assert get(endpoint, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_get(endpoint: Endpoint, method: str) -> None:
    status, _, headers = get(endpoint, "/metrics", method)
    assert (status, headers["Allow"]) == (405, "GET")


def test_a_request_that_is_not_http_gets_400(endpoint: Endpoint) -> None:
    with socket.create_connection((endpoint.host, endpoint.port), timeout=10) as connection:
        connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert b"Bad Request" in connection.makefile("rb").read()


def test_a_taken_port_is_replaced_by_a_free_one(registry: CollectorRegistry, endpoint: Endpoint) -> None:
    with serve(registry, livez=fine, readyz=fine, port=endpoint.port) as other:
        assert other.port != endpoint.port
        assert get(other, "/livez")[0] == 200
    assert get(endpoint, "/livez")[0] == 200


def test_an_address_of_another_machine_is_a_configuration_error(registry: CollectorRegistry) -> None:
    with (
        pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1:9464 .* set metrics\.host"),
        serve(registry, livez=fine, readyz=fine, host="192.0.2.1"),
    ):
        pytest.fail("it listened")


def test_nothing_listens_and_no_thread_is_left_afterwards(registry: CollectorRegistry) -> None:
    before = threading.active_count()
    with serve(registry, livez=fine, readyz=fine, port=0) as endpoint:
        get(endpoint, "/metrics")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((endpoint.host, endpoint.port), timeout=10)
    assert threading.active_count() <= before + 1


def test_a_reader_that_takes_nothing_does_not_hold_up_others() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("big", "Big.", ["number"], registry=registry)
    for number in range(60_000):  # about 3 MB, more than the kernel buffers of a connection
        gauge.labels(f"{number:030}")
    with (
        serve(registry, livez=fine, readyz=fine, port=0) as endpoint,
        socket.socket() as slow,
    ):
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(10)
        slow.connect((endpoint.host, endpoint.port))
        slow.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert slow.recv(12) == b"HTTP/1.0 200"
        assert get(endpoint, "/metrics")[0] == 200
        assert get(endpoint, "/livez")[0] == 200


def test_connections_that_say_nothing_do_not_hold_up_others(endpoint: Endpoint) -> None:
    with idle_connections(endpoint, MAX_CONNECTIONS - 1):
        assert get(endpoint, "/livez")[0] == 200


def test_one_connection_too_many_is_closed_at_once(endpoint: Endpoint) -> None:
    with (
        idle_connections(endpoint, MAX_CONNECTIONS),
        pytest.raises((http.client.RemoteDisconnected, ConnectionError)),
    ):
        get(endpoint, "/livez")


def test_a_scrape_shows_the_readiness_of_now(registry: CollectorRegistry) -> None:
    ready = Gauge("ready", "Ready.", registry=registry)

    def readyz() -> tuple[bool, str]:
        ready.set(1)
        return True, "ok"

    with serve(registry, livez=fine, readyz=readyz, port=0) as endpoint:
        assert "ready 1.0" in get(endpoint, "/metrics")[1]


def test_many_scrapes_render_once(registry: CollectorRegistry) -> None:
    class Counted:
        rendered = 0

        def collect(self) -> list[object]:
            self.rendered += 1
            return []

    counted = Counted()
    registry.register(counted)  # type: ignore[arg-type]
    counted.rendered = 0  # registering asks for the names once
    with serve(registry, livez=fine, readyz=fine, port=0, reuse_seconds=3600) as endpoint:
        bodies = {get(endpoint, "/metrics")[1] for _ in range(20)}
    assert counted.rendered == 1
    assert len(bodies) == 1
