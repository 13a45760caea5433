"""ASGI middleware: the application says what it predicted, this adds how the request went and sends it.

>>> from stream.asgi import DriftstreamMiddleware
>>> app = DriftstreamMiddleware(app, emitter)  # doctest: +SKIP

In a handler (of Starlette and FastAPI: ``request.scope``)::

    scope["driftstream"].record(prediction_id=id, model="loan-approval", features=features, score=score)

After the response each recorded event is emitted with ``measures.latency_ms`` and ``status``. Nothing here
raises into the application: a wrong event is logged and counted in ``DriftstreamMiddleware.refused``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)


class Emits(Protocol):
    """What the middleware needs of an :class:`~stream.emit.Emitter`."""

    def emit(self, **fields: Any) -> None:
        """Queue one inference event."""


class Recording:
    """The inferences of one request, as ``scope["driftstream"]``."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._latency_ms: float | None = None
        self._status: int | None = None
        self._events: list[dict[str, Any]] = []

    def record(self, **fields: Any) -> None:
        """Note one inference: the fields of :meth:`~stream.emit.Emitter.emit`. Call again for the next one.

        It is checked when it is sent, after the response.
        """
        self._events.append(fields)

    def responding(self, status: int) -> None:
        """Note the HTTP status of the response."""
        self._status = status

    def responded(self) -> None:
        """Stop the clock: the last byte has been handed to the server."""
        self._latency_ms = (time.perf_counter() - self._started) * 1000

    def take(self, error: BaseException | None = None) -> list[dict[str, Any]]:
        """Return the inferences noted so far as fields of events, and forget them."""
        taken, self._events = self._events, []
        if taken and self._latency_ms is None:
            self.responded()
        return [self._event(fields, error) for fields in taken]

    def _event(self, fields: dict[str, Any], error: BaseException | None) -> dict[str, Any]:
        outcome: dict[str, Any] = {
            "measures": {"latency_ms": self._latency_ms} | dict(fields.get("measures") or {})
        }
        if error is not None:
            outcome |= {"status": "error", "error_code": type(error).__name__}
        elif self._status is None or self._status >= 500:
            outcome |= {"status": "error", "error_code": str(self._status or "no_response")}
        return outcome | {name: value for name, value in fields.items() if name != "measures"}


class DriftstreamMiddleware:
    """Wraps an ASGI application; ``emitter`` is shared by all requests and closed by its owner.

    ``status`` is ``error`` for an HTTP status of 500 and more, and for an exception; ``latency_ms`` runs from
    the request to the last byte of the response. Fields that the application gives itself win over both.
    """

    def __init__(self, app: App, emitter: Emits) -> None:
        self._app = app
        self._emitter = emitter
        self.refused = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. WebSockets and lifespan events pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        recording = scope["driftstream"] = Recording()

        async def send_and_emit(message: Message) -> None:
            if message["type"] == "http.response.start":
                recording.responding(message["status"])
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                recording.responded()
                self._emit(recording.take())

        try:
            await self._app(scope, receive, send_and_emit)
        except BaseException as error:
            self._emit(recording.take(error))
            raise
        self._emit(recording.take())  # noted after the response, in a background task

    def _emit(self, events: list[dict[str, Any]]) -> None:
        for fields in events:
            try:
                self._emitter.emit(**fields)
            except Exception as error:  # monitoring must not break what it monitors
                self.refused += 1
                _log.warning("inference event not sent: %s", error)
