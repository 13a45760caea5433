"""Who may read ``/metrics``, and that reading changes nothing."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing

import pytest
from prometheus_client import CollectorRegistry, Counter

from stream.web import Endpoint, serve

TOKEN = "s3cret-token-of-the-scraper"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    registry = CollectorRegistry()
    Counter("seen", "Seen.", registry=registry).inc(3)
    fine = (True, "ok")
    with serve(
        registry, livez=lambda: fine, readyz=lambda: fine, port=0, token=TOKEN, reuse_seconds=0
    ) as found:
        yield found


def get(endpoint: Endpoint, path: str, authorization: str | None = None) -> tuple[int, str, str | None]:
    headers = {} if authorization is None else {"Authorization": authorization}
    with closing(http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=10)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.getheader("WWW-Authenticate")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer \xe9",
    ],
)
def test_without_the_token_there_are_no_numbers(endpoint: Endpoint, authorization: str | None) -> None:
    status, body, asked = get(endpoint, "/metrics", authorization)
    assert (status, asked) == (401, 'Bearer realm="driftstream"')
    assert "seen" not in body
    assert TOKEN not in body


def test_the_token_opens_them_and_probes_need_none(endpoint: Endpoint) -> None:
    assert "seen_total 3.0" in get(endpoint, "/metrics", f"Bearer {TOKEN}")[1]
    assert "seen_total 3.0" in get(endpoint, "/metrics", f"bearer  {TOKEN}")[1]
    assert get(endpoint, "/livez")[:2] == (200, "ok\n")
    assert get(endpoint, "/readyz?x=/metrics")[:2] == (200, "ok\n")


def test_reading_changes_nothing(endpoint: Endpoint) -> None:
    pages = [get(endpoint, path, f"Bearer {TOKEN}") for path in ("/metrics", "/livez", "/readyz", "/x")]
    assert [
        get(endpoint, path, f"Bearer {TOKEN}") for path in ("/metrics", "/livez", "/readyz", "/x")
    ] == pages
