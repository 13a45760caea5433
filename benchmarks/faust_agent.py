"""The peer: an empty Faust agent that reads the same topic. Run as a process of its own by the benchmark.

``python -m benchmarks.faust_agent BROKER TOPIC EVENTS RESULT`` writes its own clocks to ``RESULT``: they are
those of its process, all threads, from the first event to the last.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import faust

from benchmarks.usage import Moment, now, usage


async def read(broker: str, topic: str, events: int, result: Path) -> None:
    """Read ``events`` events and do nothing with them."""
    app = faust.App(
        f"faust-{os.getpid()}",
        broker=f"kafka://{broker}",
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        topic_allow_declare=False,
        autodiscover=False,
        store="memory://",
        datadir=str(result.parent / "faust"),
        web_enabled=False,
    )
    done = asyncio.Event()
    pid = os.getpid()

    async def empty(stream: Any) -> None:
        seen, start = 0, Moment(0.0, 0.0)
        async for _ in stream:
            if not seen:
                start = now(pid)
            seen += 1
            if seen == events:
                result.write_text(json.dumps(asdict(usage(pid, start, events))))
                done.set()

    source = app.topic(topic, key_type=bytes, value_type=bytes, value_serializer="raw", key_serializer="raw")
    app.agent(source, name="empty")(empty)
    await app.start()
    await done.wait()
    os._exit(0)  # measured: a graceful end would only wait for the group


if __name__ == "__main__":
    asyncio.run(read(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
