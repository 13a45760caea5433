"""Write the rows that docker-compose.yml works on: ``python shuttle_rows.py DIRECTORY``.

The Statlog (Shuttle) readings that ship with river: ``reference.csv``, and ``traffic.csv`` with rows that
follow, first as they are and then with one sensor that reads too high, so that there is something to find.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from river import datasets

REFERENCE_ROWS = 24_000
STABLE_ROWS = 12_000
DRIFTED_ROWS = 12_000
DRIFTED_SENSOR = "f7"
OFFSET = 15


def readings() -> Iterator[dict[str, int]]:
    """Give one row a reading: the nine sensors, and the label ``anomaly``."""
    for sensors, anomaly in datasets.Shuttle():
        yield {**sensors, "anomaly": int(anomaly)}


def drifted(rows: Iterable[dict[str, int]]) -> Iterator[dict[str, int]]:
    """Give the rows with one sensor that reads too high."""
    for row in rows:
        yield {**row, DRIFTED_SENSOR: row[DRIFTED_SENSOR] + OFFSET}


def write(path: Path, rows: Iterable[Mapping[str, int]]) -> int:
    """Write a CSV file; give its number of rows."""
    written = 0
    with path.open("w", newline="") as file:
        writer: csv.DictWriter[str] | None = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, list(row))
                writer.writeheader()
            writer.writerow(row)
            written += 1
    return written


def main(directory: Path) -> None:
    """Write both files."""
    rows = readings()
    write(directory / "reference.csv", islice(rows, REFERENCE_ROWS))
    stable, moved = islice(rows, STABLE_ROWS), drifted(islice(rows, DRIFTED_ROWS))
    write(directory / "traffic.csv", (row for part in (stable, moved) for row in part))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
