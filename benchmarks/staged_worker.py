"""The worker's ingest with a stopwatch at its seams: the product itself has none.

``python -m benchmarks.staged_worker RESULT --config FILE --only ingest`` runs ``driftstream worker`` and
writes nanoseconds of CPU by stage to ``RESULT`` when it ends. Each stage is without the stages inside it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import reduce, wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from stream.cli import main

LOOP = "loop and value()"
SEAMS = {
    "stream.ingest:gather": "consume",
    "stream.topic_batch:OpenBatch.take": "split",
    "stream.topic_batch:OpenBatch.close": "split",
    "stream.codec.portions:ScannedDecoding.take": "decode: records read",
    "stream.codec.portions:ScannedDecoding.finish": "decode: blocks made",
    "stream.codec.portions:WholeDecoding.finish": "decode: in Python",
    "stream.counting:BatchCounter.count": "group",
    "detectors:Reference.count_into": "count",
    "stream.outcomes.intake:OutcomeIntake.take": "join: ids hashed, rows taken",
    "stream.commit:merged": "join: rows merged",
    "stream.outcomes.sending:OutcomeJoin.join": "join: rows packed",
    "redis.client:Pipeline.execute": "Redis client",
    "stream.redis_wire:WireScript.run": "Redis client",
    "stream.ingest:Ingest._refuse": "dead letters",
    "stream.commit:Committer.take": "merge",
    "stream.commit:Committer.commit": "commit",
    "stream.store_redis:RedisStore.load_panes": "commit",
    "stream.ingest:Ingest._beat": "gauges",
    "stream.ingest:Ingest.step": LOOP,
}
"""Callables by module and name, to their stages. What is called inside of one but is none is its time."""


class Stopwatch:
    """CPU time by stage, of every thread on its own."""

    def __init__(self) -> None:
        self._threads: list[Counter[str]] = []
        self._own = threading.local()

    @property
    def ns(self) -> Counter[str]:
        """Nanoseconds by stage, of all threads."""
        return sum(self._threads, Counter())

    def timed(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """Return ``call`` with its time added to ``stage``, less that of timed calls inside it."""

        @wraps(call)
        def measured(*args: Any, **kwargs: Any) -> Any:
            ns, inside = self._of_thread()
            inside.append(0)
            start = time.thread_time_ns()
            try:
                return call(*args, **kwargs)
            finally:
                spent = time.thread_time_ns() - start
                ns[stage] += spent - inside.pop()
                inside[-1] += spent

        return measured

    def _of_thread(self) -> tuple[Counter[str], list[int]]:
        if not hasattr(self._own, "ns"):
            self._own.ns, self._own.inside = Counter(), [0]
            self._threads.append(self._own.ns)
        return self._own.ns, self._own.inside


def _place(seam: str) -> tuple[Any, str]:
    """Return the module or class that holds a callable, and its name there."""
    module, _, path = seam.partition(":")
    *parents, name = path.split(".")
    return reduce(getattr, parents, import_module(module)), name


def run(result: Path, arguments: list[str]) -> int:
    """Run the worker command and write what its threads spent where."""
    watch = Stopwatch()
    for seam, stage in SEAMS.items():
        owner, name = _place(seam)
        setattr(owner, name, watch.timed(getattr(owner, name), stage))
    code = main(["worker", *arguments])
    result.write_text(json.dumps(watch.ns))
    return code


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
