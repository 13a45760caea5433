"""quixstreams: a tumbling window with a reducer, state in RocksDB with its changelog, as its manual shows.

The records are keyed by model, so a window is one model's. Each partition has state of its own. The topic
ends with a record a partition that is an hour later: it closes the windows before it, and is not counted.
"""

from __future__ import annotations

from typing import Any

from clocks import Stopwatch, Task
from histograms import WINDOW_MS, Histograms, Window
from quixstreams import Application

GRACE_MS = 10_000


def main(task: Task) -> None:
    histograms, watch = Histograms(task.layout), Stopwatch(task.events)
    closed: list[list[Any]] = []
    app = Application(
        broker_address=task.broker,
        consumer_group=task.group,
        auto_offset_reset="earliest",
        state_dir=task.directory,
        loglevel="WARNING",
    )

    def first(event: dict[str, Any]) -> Window:
        watch.event()
        return histograms.add(histograms.empty(), event)

    def more(window: Window, event: dict[str, Any]) -> Window:
        watch.event()
        return histograms.add(window, event)

    def collect(window: dict[str, Any]) -> None:
        closed.append([window["start"], window["value"]])
        if sum(histograms.total(cells) for _, cells in closed) >= task.events:
            app.stop()

    source = app.topic(task.topic, timestamp_extractor=lambda value, *_: value["ts"])
    frame = app.dataframe(source).tumbling_window(duration_ms=WINDOW_MS, grace_ms=GRACE_MS)
    frame.reduce(more, first).final().update(collect)
    app.run()
    watch.write(task.result, closed)


if __name__ == "__main__":
    main(Task.given())
