"""Ctrl-C and SIGTERM end the demo once, in order; a second one does not stop the cleaning up."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

TERMINATED = 128 + signal.SIGTERM


class Interrupts:
    """While entered, the first SIGINT raises KeyboardInterrupt and the first SIGTERM SystemExit(143).

    For the main thread. Clients of Kafka that call back must run in other threads: an exception raised in
    a callback is lost on its way through librdkafka.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self._raise) for number in self._SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def ignore(self) -> None:
        """From here on do not raise: what follows must be done."""
        for number in self._SIGNALS:
            signal.signal(number, _do_nothing)

    def _raise(self, number: int, _: FrameType | None) -> None:
        self.ignore()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(TERMINATED)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Stay: unlike SIG_IGN this is not inherited by processes that are started meanwhile."""
