"""A Faust agent that reads the topic and does nothing: what reading costs before any work."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import faust
from clocks import Stopwatch, Task


async def read(task: Task) -> None:
    app = faust.App(
        task.group,
        broker=f"kafka://{task.broker}",
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        topic_allow_declare=False,
        autodiscover=False,
        store="memory://",
        datadir=task.directory,
        web_enabled=False,
    )
    done, watch = asyncio.Event(), Stopwatch(task.events)

    async def empty(stream: Any) -> None:
        async for _ in stream:
            watch.event()
            if watch.done:
                done.set()
                return

    source = app.topic(
        task.topic, key_type=bytes, value_type=bytes, value_serializer="raw", key_serializer="raw"
    )
    app.agent(source, name="empty")(empty)
    await app.start()
    await done.wait()
    watch.write(task.result, None)
    os._exit(0)  # measured: a graceful end would only wait for the group


if __name__ == "__main__":
    asyncio.run(read(Task.given()))
