"""A sink without a broker: messages end in a list. For replay, and to drive the pipeline in one process."""

from __future__ import annotations

from stream.messages import Message
from stream.sinks import Delivered


class ListSink:
    """Keeps messages until they are taken; see :class:`stream.sinks.Sink`.

    What is kept is safe, so every message is delivered at once.
    """

    def __init__(self) -> None:
        self._messages: list[Message] = []

    def take(self) -> list[Message]:
        """Return the messages that came since the last call, in order."""
        taken, self._messages = self._messages, []
        return taken

    def produce(self, message: Message, on_delivery: Delivered) -> None:
        """Keep the message."""
        self._messages.append(message)
        on_delivery(None, None)

    def poll(self) -> None:
        """Nothing is under way."""

    def wait(self, timeout_s: float) -> None:
        """Nothing is under way."""

    def hurry(self, timeout_s: float) -> None:
        """Nothing is under way."""

    def close(self, *, timeout_s: float) -> int:  # noqa: ARG002
        """Give up none."""
        return 0
