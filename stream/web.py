"""The worker's HTTP endpoint: ``/metrics``, ``/livez`` and ``/readyz``.

Small on purpose: GET only, no state, loopback unless told otherwise. Every connection has a thread and a time
limit, so one slow reader delays nobody; the number of connections is bounded, so many slow readers cost a
bounded number of threads. The exposition is rendered at most once per :data:`REUSE_SECONDS`, whatever the
number of scrapers, so that scraping cannot take the processor from the ingest.

``/metrics`` can ask for a bearer token; the two health checks, which say one word, never do.
"""

from __future__ import annotations

import errno
import hmac
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder

from stream.errors import ConfigError

Check = Callable[[], tuple[bool, str]]

REUSE_SECONDS: Final = 0.5
TIMEOUT_SECONDS: Final = 5.0
MAX_CONNECTIONS: Final = 32
_TEXT: Final = "text/plain; charset=utf-8"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Endpoint:
    """Where the server listens; ``port`` differs from the wanted one when that was taken."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The address without a path, ``http://127.0.0.1:9464``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class _WithoutCreated:
    """A registry without the ``_created`` series, which double the counters and tell nothing we show."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


@dataclass
class _Exposition:
    """Renders the registry, at most once per ``reuse_seconds`` and content type.

    ``readyz`` is asked before: the worker mirrors its answer in a gauge, and no scrape may show an old one.
    """

    registry: CollectorRegistry
    readyz: Check
    reuse_seconds: float
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _bodies: dict[str, tuple[float, bytes]] = field(default_factory=dict)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Give the body and its content type for an ``Accept`` header."""
        encode, content_type = choose_encoder(accept)
        with self._lock:  # held while rendering, never while sending
            rendered_at, body = self._bodies.get(content_type, (float("-inf"), b""))
            if time.monotonic() - rendered_at >= self.reuse_seconds:
                _checked("/readyz", self.readyz)
                body = encode(_WithoutCreated(self.registry))
                if len(self._bodies) > 8:  # the content type holds what the client asked for
                    self._bodies.clear()
                self._bodies[content_type] = (time.monotonic(), body)
        return body, content_type


@dataclass(frozen=True)
class _Pages:
    """What is served; ``token`` is what ``/metrics`` asks for, None = nothing."""

    exposition: _Exposition
    checks: dict[str, Check]
    token: str | None = field(repr=False)

    def admits(self, authorization: str) -> bool:
        """Whether an ``Authorization`` header opens ``/metrics``; how long it takes tells nothing."""
        if self.token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        same = hmac.compare_digest(given.strip().encode(), self.token.encode())
        return same and scheme.lower() == "bearer"


class _Server(ThreadingTCPServer):
    """One thread a connection, at most ``MAX_CONNECTIONS`` of them; more are closed at once."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], pages: _Pages) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.pages = pages
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Request)

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Note a reader that went away or was too slow at debug level; anything else is an error of ours."""
        level = logging.DEBUG if isinstance(sys.exception(), OSError) else logging.ERROR
        _log.log(level, "web: connection from %s ended early", client_address, exc_info=True)


class _Request(BaseHTTPRequestHandler):
    server: _Server
    server_version = "driftstream"
    sys_version = ""
    timeout = TIMEOUT_SECONDS

    def do_GET(self) -> None:
        path, pages = self.path.partition("?")[0], self.server.pages
        if path == "/metrics" and not pages.admits(self.headers.get("Authorization", "")):
            self._answer(
                HTTPStatus.UNAUTHORIZED, b"metrics.token is asked for: Authorization: Bearer\n", _TEXT
            )
        elif path == "/metrics":
            body, content_type = pages.exposition.render(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, body, content_type)
        elif path in pages.checks:
            ok, detail = _checked(path, pages.checks[path])
            status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, f"{detail}\n".encode(), _TEXT)
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"not found; try /metrics, /livez or /readyz\n", _TEXT)

    def send_error(
        self,
        code: int,
        message: str | None = None,  # noqa: ARG002
        explain: str | None = None,  # noqa: ARG002
    ) -> None:
        """Answer in one line of text; the stdlib says 501 to a method it has no ``do_`` for, we say 405."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self.close_connection = True
        self._answer(status, f"{status.phrase}\n".encode(), _TEXT)

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Bearer realm="driftstream"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name is the stdlib's)
        _log.debug("web: %s " + format, self.address_string(), *args)


def _checked(path: str, check: Check) -> tuple[bool, str]:
    try:
        return check()
    except Exception as exc:  # a check that fails is the answer "no", not a closed connection
        _log.warning("web: %s failed: %s", path, exc)
        return False, f"{path} could not be checked: {type(exc).__name__}"


def _listen(host: str, port: int, pages: _Pages) -> _Server:
    try:
        return _Server((host, port), pages)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE and port != 0:
            return _Server((host, 0), pages)
        remedy = "set metrics.host to an address of this machine and metrics.port to a free port above 1023"
        raise ConfigError(f"metrics: cannot listen on {host}:{port} ({exc.strerror}); {remedy}") from exc


@contextmanager
def serve(
    registry: CollectorRegistry,
    *,
    livez: Check,
    readyz: Check,
    host: str = "127.0.0.1",
    port: int = 9464,
    token: str | None = None,
    reuse_seconds: float = REUSE_SECONDS,
) -> Iterator[Endpoint]:
    """Serve until the context ends; give where.

    A wanted port that is taken is no reason to stop counting events: a free one is bound instead, and the
    caller logs the :class:`Endpoint` that it got. Port 0 always takes a free one.

    Parameters
    ----------
    registry
        What ``/metrics`` shows.
    livez, readyz
        Asked on every request, from another thread: ``(ok, detail)``. Not ok, or an exception, answers 503.
        ``readyz`` is asked before each rendering of ``/metrics`` too.
    token
        What a scraper of ``/metrics`` must send as ``Authorization: Bearer``; None = nothing.
    reuse_seconds
        For how long a rendered exposition is given to further scrapes; 0 renders each time.

    Raises
    ------
    ConfigError
        ``host`` is not an address of this machine, or the port may not be bound.
    """
    checks = {"/livez": livez, "/readyz": readyz}
    server = _listen(host, port, _Pages(_Exposition(registry, readyz, reuse_seconds), checks, token))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="driftstream-web", daemon=True)
    thread.start()
    try:
        yield Endpoint(host, server.socket.getsockname()[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
