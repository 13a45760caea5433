"""A Faust agent that counts into a tumbling Table: store in memory, changelog in Kafka."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import faust
from clocks import Stopwatch, Task
from histograms import WINDOW_MS, Histograms

KEY = "loan-approval"
PARTITIONS = 8


async def read(task: Task) -> None:
    app = faust.App(
        task.group,
        broker=f"kafka://{task.broker}",
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        autodiscover=False,
        store="memory://",
        datadir=task.directory,
        web_enabled=False,
    )
    histograms, watch, done = Histograms(task.layout), Stopwatch(task.events), asyncio.Event()
    table = app.Table("windows", default=histograms.empty, partitions=PARTITIONS)
    windows = table.tumbling(WINDOW_MS / 1000).relative_to(lambda event: event.value["ts"] / 1000)

    async def count(stream: Any) -> None:
        async for event in stream:
            windows[KEY] = histograms.add(windows[KEY].value(), event)
            watch.event()
            if watch.done:
                done.set()
                return

    source = app.topic(task.topic, key_type=bytes, key_serializer="raw", value_serializer="json")
    app.agent(source, name="count")(count)
    await app.start()
    await done.wait()
    watch.write(task.result, _counted(table))
    os._exit(0)  # measured: a graceful end would only wait for the group


def _counted(table: Any) -> list[list[Any]]:
    return [[round(span[0] * 1000), cells] for (_, span), cells in table.data.items()]


if __name__ == "__main__":
    asyncio.run(read(Task.given()))
