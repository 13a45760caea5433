"""The batch of one topic: decoded while it is gathered, with as few records held as may be needed again.

A record that was read is let go of at once, so that the next ones find its memory in the processor's caches.
Held are those that may become dead letters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from confluent_kafka import Message as Record
from numpy.typing import NDArray

from stream.codec import Batch, Decoding
from stream.ownership import OwnedPartition


class RecordTimes(Sequence[int]):
    """Kafka record times, looked up only where an event has none of its own."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, row: int) -> int:  # type: ignore[override]  # rows are asked for one by one
        return int(self._records[row].timestamp()[1])


@dataclass(frozen=True)
class TopicBatch:
    """A decoded batch of one topic, the partitions it came from, and each row's index into those.

    Parameters
    ----------
    offsets
        (n,) of each row.
    held
        By row, the records that are no events or may not be counted.
    newest_ms
        Later events are to be refused; their records are held.
    """

    topic: str
    decoded: Batch
    owned: list[OwnedPartition]
    at: NDArray[np.intp]
    offsets: NDArray[np.int64]
    held: Mapping[int, Record]
    newest_ms: int

    def __len__(self) -> int:
        return len(self.at)

    def next_offsets(self) -> list[int]:
        """Per partition, the offset after its last record of the batch."""
        ends = np.zeros(len(self.owned), dtype=np.int64)
        ends[self.at] = self.offsets + 1  # of the same index, the last one counts
        return [int(end) for end in ends]

    def first_ms(self, owned: OwnedPartition) -> int | None:
        """Time of the partition's first event that is not refused; None: it has none here."""
        ts_ms = self.decoded.ts_ms  # above 0 only those of events
        mine = self.at == self.owned.index(owned)
        rows = np.flatnonzero(mine & (ts_ms > 0) & (ts_ms <= self.newest_ms))
        return int(ts_ms[rows[0]]) if len(rows) else None


class OpenBatch:
    """A batch of one topic while it is gathered.

    What a partition brought before it changed hands is dropped when the batch is closed: its new owner,
    possibly we again, reads it from the offset that Redis holds.
    """

    def __init__(self, topic: str, decoding: Decoding) -> None:
        self._topic = topic
        self._decoding = decoding
        self._rows = 0
        self._partitions: list[NDArray[np.intp]] = [np.empty(0, np.intp)]
        self._offsets: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        self._held: dict[int, Record] = {}
        self._newest_ms = 0
        self._generations: list[tuple[int, int]] = []

    def take(self, records: list[Record], *, generation: int, newest_ms: int) -> None:
        """Read the next records.

        Parameters
        ----------
        generation
            That of the assignment after they were received.
        newest_ms
            By the clock of this moment, later events come from the future.
        """
        before, size = self._rows, len(records)
        self._rows += size
        if not self._generations or self._generations[-1][1] != generation:
            self._generations.append((before, generation))
        self._newest_ms = max(self._newest_ms, newest_ms)
        self._partitions.append(np.fromiter(map(Record.partition, records), np.intp, size))
        self._offsets.append(np.fromiter(map(Record.offset, records), np.int64, size))
        values: list[bytes | None] = list(map(Record.value, records))
        for row in self._decoding.take(values, RecordTimes(records), newest_ms=newest_ms):
            self._held[before + row] = records[row]

    def close(self, owned: Callable[[str, int], OwnedPartition | None]) -> TopicBatch:
        """Return the batch: rows not counted yet, of partitions that have been ours since they came.

        ``owned`` gives the partitions that are ours now, by topic and number.
        """
        partitions, offsets = np.concatenate(self._partitions), np.concatenate(self._offsets)
        present, at = _present(partitions)
        here = [owned(self._topic, each) for each in present.tolist()]
        kept = offsets >= np.array([0 if each is None else each.position for each in here])[at]
        first_rows = np.array([self._first_row(each) for each in here])
        if first_rows.any():
            kept &= np.arange(len(at)) >= first_rows[at]
        held: Mapping[int, Record] = self._held
        everything = bool(kept.all())
        if not everything:
            row = np.cumsum(kept) - 1
            held = {int(row[place]): record for place, record in held.items() if kept[place]}
            offsets, (present, at) = offsets[kept], _present(partitions[kept])
            here = [owned(self._topic, each) for each in present.tolist()]
        ours = [each for each in here if each is not None]
        decoded = self._decoding.finish(None if everything else kept)
        return TopicBatch(self._topic, decoded, ours, at, offsets, held, self._newest_ms)

    def _first_row(self, owned: OwnedPartition | None) -> int:
        """The first row that was received after the partition became ours."""
        if owned is not None:
            for row, generation in self._generations:
                if owned.generation <= generation:
                    return row
        return self._rows


def _present(partitions: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The partitions there are, and each record's index into them: ``np.unique`` by counting."""
    present = np.flatnonzero(np.bincount(partitions))
    index = np.zeros(partitions.max(initial=0) + 1, dtype=np.intp)
    index[present] = np.arange(len(present))
    return present, index[partitions]
