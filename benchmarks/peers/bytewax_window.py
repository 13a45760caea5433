"""bytewax: fold_window over a tumbling event-time window; or a dict of minutes in a plain map."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import windowing
from bytewax.testing import TestingSink, run_main
from clocks import Stopwatch, Task
from histograms import WINDOW_MS, Histograms, Window, start_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WAIT = timedelta(hours=1)  # partitions are read at different speeds; a window too early would miss events


class Counting:
    """The flow: read, decode, count."""

    def __init__(self, task: Task) -> None:
        self.watch = Stopwatch(task.events)
        self._histograms = Histograms(task.layout)
        self._flow = Dataflow("count")
        source = op.input("read", self._flow, KafkaSource([task.broker], [task.topic], tail=False))
        self._decoded = op.map("decode", source, lambda record: orjson.loads(record.value))

    def fold(self) -> list[list[Any]]:
        """Count with the window operator."""
        clock = windowing.EventClock(_time_of, wait_for_system_duration=WAIT)
        windower = windowing.TumblingWindower(align_to=EPOCH, length=timedelta(milliseconds=WINDOW_MS))
        keyed = op.key_on("key", self._decoded, lambda event: event["model"])
        counted = windowing.fold_window(
            "count", keyed, clock, windower, self._histograms.empty, self._add, _never, ordered=False
        )
        closed: list[tuple[str, tuple[int, Window]]] = []
        op.output("out", counted.down, TestingSink(closed))
        run_main(self._flow)
        return [[number * WINDOW_MS, cells] for _, (number, cells) in closed]

    def map(self) -> list[list[Any]]:
        """Count into a dict of the handler: fast, and gone with the process."""
        windows: dict[int, Window] = {}

        def count(event: dict[str, Any]) -> None:
            start = start_of(event)
            if start not in windows:
                windows[start] = self._histograms.empty()
            self._add(windows[start], event)

        op.output("out", op.filter("none", op.map("count", self._decoded, count), bool), TestingSink([]))
        run_main(self._flow)
        return [list(each) for each in windows.items()]

    def _add(self, window: Window, event: dict[str, Any]) -> Window:
        self.watch.event()
        return self._histograms.add(window, event)


def _time_of(event: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(event["ts"] / 1000, UTC)


def _never(*_: Window) -> Window:
    raise RuntimeError("tumbling windows are not merged")


def main(task: Task) -> None:
    counting = Counting(task)
    windows = counting.map() if task.way == "map" else counting.fold()
    counting.watch.write(task.result, windows)


if __name__ == "__main__":
    main(Task.given())
