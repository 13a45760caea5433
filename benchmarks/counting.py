"""What counting costs: compiled beside numpy by rows of a model, and a thousand models beside one.

``python -m benchmarks.counting`` decodes workload W once and counts it again and again into panes of 8
partitions, as ingest does. CPU nanoseconds a row, best of some rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.workload import MODEL, VERSION, Shape, reference, workload
from detectors import Reference
from detectors.compiled import IS_INSTALLED
from stream.codec import Batch, Block, JsonInferenceDecoder
from stream.counting import BatchCounter
from stream.keys import PaneKey
from stream.panes import Pane
from stream.windows import WindowSpec

PARTITIONS, ROUNDS, ROWS = 8, 10, 50_000
WINDOWS = WindowSpec(size_ms=3_600_000, slide_ms=3_600_000)
NEWEST_MS = 2**60


def best_ns(call: Callable[[], object], rows: int) -> float:
    """CPU nanoseconds a row of the fastest of some rounds."""
    spent = []
    for _ in range(ROUNDS):
        start = time.thread_time_ns()
        call()
        spent.append(time.thread_time_ns() - start)
    return min(spent) / rows


def by_rows(block: Block, frozen: Reference, sizes: Sequence[int]) -> None:
    print("counting the rows of one model into 8 panes, CPU ns a row\n  rows       numpy    compiled")
    for rows in sizes:
        columns = {name: np.ascontiguousarray(values[:rows]) for name, values in block.columns.items()}
        group = np.arange(rows) * PARTITIONS // rows
        counts = [frozen.no_counts() for _ in range(PARTITIONS)]

        def numpy(columns: Any = columns, group: Any = group, counts: Any = counts) -> None:
            for into, more in zip(counts, frozen.tally(columns, group, PARTITIONS), strict=True):
                into.merge(more)

        plain = best_ns(numpy, rows)
        compiled = best_ns(partial(frozen.count_into, counts, columns, group), rows)
        print(f"{rows:>6,} {plain:>11,.0f} {compiled if IS_INSTALLED else float('nan'):>11,.0f}")


def by_models(frozen: Reference) -> None:
    print("a batch through the counter, CPU ns a row\nmodels   rows")
    for models, rows in ((1, 5_000), (100, 5_000), (1_000, 5_000), (1_000, 50_000)):
        load = workload(rows, Shape(models=models))
        references = {(name, VERSION): frozen for name in load.models}
        batch = JsonInferenceDecoder(references).decode(list(load.values), [-1] * rows)
        counter = BatchCounter(references, dict.fromkeys(load.models, WINDOWS), restate_ms=0)
        each = (
            rows // models
        )  # of every model, as many to each partition, which follow each other as they are fetched
        at = np.arange(rows) // models * PARTITIONS // each
        panes: list[dict[PaneKey, Pane]] = [{} for _ in range(PARTITIONS)]

        def count(
            counter: BatchCounter = counter, batch: Batch = batch, at: Any = at, panes: Any = panes
        ) -> None:
            counter.count(batch, at, [None] * PARTITIONS, newest_ms=NEWEST_MS, panes=panes)

        print(f"{models:>6,} {rows:>6,} {best_ns(count, rows):>10,.0f}")


def main() -> None:
    """Print both tables."""
    load, frozen = workload(ROWS), reference()
    decoder = JsonInferenceDecoder({(MODEL, VERSION): frozen})
    (block,) = decoder.decode(list(load.values), [-1] * ROWS).blocks
    by_rows(block, frozen, (5_000, 500, 50))
    by_models(frozen)


if __name__ == "__main__":
    main()
