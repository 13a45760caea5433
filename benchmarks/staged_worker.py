"""The worker's ingest with a stopwatch at its seams: the product itself has none.

``python -m benchmarks.staged_worker RESULT --config FILE --only ingest`` runs ``driftstream worker`` and
writes nanoseconds of CPU by stage to ``RESULT`` when it ends. Each stage is without the stages inside it.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import stream.gather
import stream.ingest
from detectors import Binning
from stream.cli import main
from stream.codec import JsonInferenceDecoder
from stream.commit import Committer
from stream.counting import BatchCounter
from stream.ingest import Ingest
from stream.store_redis import RedisStore

LOOP = "loop and value()"
SEAMS = (
    (stream.ingest, "gather", "consume"),
    (stream.ingest, "split", "split"),
    (JsonInferenceDecoder, "decode", "decode"),
    (BatchCounter, "count", "group"),
    (Binning, "count", "count"),
    (Committer, "take", "merge"),
    (Committer, "commit", "commit"),
    (RedisStore, "load_panes", "commit"),
    (Ingest, "_beat", "gauges"),
    (Ingest, "step", LOOP),
)


class Stopwatch:
    """CPU time of this thread by stage."""

    def __init__(self) -> None:
        self.ns: Counter[str] = Counter()
        self._inside: list[int] = [0]

    def timed(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """Return ``call`` with its time added to ``stage``, less that of timed calls inside it."""

        @wraps(call)
        def measured(*args: Any, **kwargs: Any) -> Any:
            self._inside.append(0)
            start = time.thread_time_ns()
            try:
                return call(*args, **kwargs)
            finally:
                spent = time.thread_time_ns() - start
                self.ns[stage] += spent - self._inside.pop()
                self._inside[-1] += spent

        return measured


def run(result: Path, arguments: list[str]) -> int:
    """Run the worker command and write what its ingest thread spent where."""
    watch = Stopwatch()
    for owner, name, stage in SEAMS:
        setattr(owner, name, watch.timed(getattr(owner, name), stage))
    code = main(["worker", *arguments])
    result.write_text(json.dumps(watch.ns))
    return code


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
