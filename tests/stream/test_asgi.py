from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stream.asgi import App, DriftstreamMiddleware, Message, Receive, Scope, Send


class Kept:
    """An emitter that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def emit(self, **fields: Any) -> None:
        if "model" not in fields:
            raise ValueError("model: missing")
        self.events.append(fields)


def predicting(http_status: int = 200, **fields: Any) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["driftstream"].record(**({"prediction_id": "p", "model": "m", "features": {"age": 1}} | fields))
        await send({"type": "http.response.start", "status": http_status, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    return app


def serve(app: App, kept: Kept, on_send: Callable[[Message], Awaitable[None]] | None = None) -> list[Message]:
    """Serve one request and return the messages of its response."""
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        messages.append(message)
        if on_send is not None:
            await on_send(message)

    asyncio.run(app({"type": "http", "path": "/"}, receive, send))
    return messages


def test_an_inference_is_emitted_after_the_response_with_its_latency() -> None:
    kept = Kept()
    emitted_before: list[int] = []

    async def note(message: Message) -> None:
        emitted_before.append(len(kept.events))

    messages = serve(DriftstreamMiddleware(predicting(), kept), kept, note)
    assert [message["type"] for message in messages] == ["http.response.start"] + ["http.response.body"] * 2
    assert emitted_before == [0, 0, 0]
    (event,) = kept.events
    assert (event["prediction_id"], event["model"], event["features"]) == ("p", "m", {"age": 1})
    assert 0 <= event["measures"]["latency_ms"] < 10_000
    assert "status" not in event


@pytest.mark.parametrize(("status", "expected"), [(404, None), (499, None), (500, "500"), (503, "503")])
def test_a_server_error_makes_an_error_event(status: int, expected: str | None) -> None:
    kept = Kept()
    serve(DriftstreamMiddleware(predicting(status), kept), kept)
    assert kept.events[0].get("error_code") == expected
    assert kept.events[0].get("status") == (expected and "error")


def test_what_the_application_says_wins() -> None:
    kept = Kept()
    app = predicting(500, status="ok", error_code=None, measures={"latency_ms": 3.0, "tokens_in": 7})
    serve(DriftstreamMiddleware(app, kept), kept)
    assert kept.events[0]["status"] == "ok"
    assert kept.events[0]["measures"] == {"latency_ms": 3.0, "tokens_in": 7}


def test_an_exception_of_the_application_is_passed_on_and_reported() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["driftstream"].record(prediction_id="p", model="m")
        raise KeyError("weights")

    kept = Kept()
    with pytest.raises(KeyError, match="weights"):
        serve(DriftstreamMiddleware(app, kept), kept)
    assert (kept.events[0]["status"], kept.events[0]["error_code"]) == ("error", "KeyError")


def test_several_inferences_and_those_of_background_tasks_are_emitted() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["driftstream"].record(prediction_id="1", model="m")
        await predicting(prediction_id="2")(scope, receive, send)
        scope["driftstream"].record(prediction_id="3", model="m")

    kept = Kept()
    serve(DriftstreamMiddleware(app, kept), kept)
    assert [event["prediction_id"] for event in kept.events] == ["1", "2", "3"]
    assert len({event["measures"]["latency_ms"] for event in kept.events}) == 1


def test_a_wrong_event_never_reaches_the_application(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["driftstream"].record(prediction_id="wrong")
        await predicting()(scope, receive, send)

    kept = Kept()
    middleware = DriftstreamMiddleware(app, kept)
    assert len(serve(middleware, kept)) == 3
    assert (middleware.refused, len(kept.events)) == (1, 1)
    assert "model: missing" in caplog.text


def test_a_request_without_inference_emits_nothing() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    kept = Kept()
    serve(DriftstreamMiddleware(app, kept), kept)
    assert kept.events == []


def test_other_protocols_pass_through() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    middleware = DriftstreamMiddleware(app, Kept())
    asyncio.run(middleware({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]
