"""What the scripts of the store are called with, and what their replies mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from detectors import CompactCounts
from stream.errors import Conflict, Fenced, OffsetMismatch
from stream.gaps import to_text
from stream.keys import ModelKeys, PaneKey, PartitionKeys
from stream.panes import PANE_HEAD, Pane
from stream.redis_wire import Argument, WireScript, bulks
from stream.store import ModelCommit, NotBrought, PartitionCommit

try:
    from driftstream_native import bulk_panes
except ImportError:  # not installed, or of a release without it
    bulk_panes = None  # type: ignore[assignment]

PANE_TTL_MS = 7 * 24 * 3600 * 1000  # a backstop: evaluated panes are retired long before
COMMIT_KEYS, PANE_ARGUMENTS = 4, 3
PANES_AT_ONCE = 32
INCARNATION_BYTES = 8
"""Of a model's incarnation what is stored; the ``run_id`` of the server follows."""
MEMBERS_KEPT = 16_384
"""Panes whose bytes are kept from commit to commit: those of all partitions have the same."""
ModelCall = tuple[list[str], list[Any]]
"""Keys and arguments of a script."""


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


@dataclass(frozen=True)
class CommitCall:
    """Bytes of a call of ``commit.lua``, made as they are sent: panes are most of it.

    ``start`` is what :meth:`stream.redis_wire.WireScript.start` makes of the keys.
    """

    start: bytes
    pane_stem: str
    commit: PartitionCommit
    max_unknown: int

    def __iter__(self) -> Iterator[bytes]:
        panes = self.commit.panes
        before, behind = self._before(), self._behind()
        yield WireScript.count(COMMIT_KEYS, len(before) + PANE_ARGUMENTS * len(panes) + len(behind))
        yield self.start
        yield bulks(before)
        named = iter(panes.items())
        while some := list(islice(named, PANES_AT_ONCE)):
            yield pane_arguments([(pane, _named(key)) for key, pane in some])
        yield bulks(behind)

    def _before(self) -> list[Argument]:
        commit = self.commit
        return [
            commit.epoch,
            _text(commit.expected_offset),
            commit.offset,
            _text(commit.watermark_ms),
            commit.idle_beat,
            _text(commit.delivered_to),
            PANE_TTL_MS,
            self.max_unknown,
            b"" if commit.gaps is None else to_text(commit.gaps),
            self.pane_stem,
            len(commit.panes),
        ]

    def _behind(self) -> list[Argument]:
        commit = self.commit
        args: list[Argument] = [len(commit.messages)]
        for sequence, message in commit.messages:
            args += [sequence, message.to_bytes()]
        for increments in (commit.totals, commit.unknown):
            args.append(len(increments))
            for name, by in increments.items():
                args += [name, by]
        return args


@lru_cache(MEMBERS_KEPT)
def _named(key: PaneKey) -> bytes:
    """What follows the bytes of a pane: the end of that argument, its member and its start."""
    return b"\r\n" + bulks((key.member(), key.start_ms))


def pane_arguments(panes: Sequence[tuple[Pane, bytes]]) -> bytes:
    """Arguments of panes and what follows each: by the extension in one call, where it holds the counts."""
    if bulk_panes is not None:
        held = [
            (pane.counts.held, pane.min_ts_ms, pane.max_ts_ms, behind)
            for pane, behind in panes
            if isinstance(pane.counts, CompactCounts)
        ]
        if len(held) == len(panes):
            return bulk_panes(PANE_HEAD, held)
    packed = [(pane.to_bytes(), behind) for pane, behind in panes]
    return b"".join([b"$%d\r\n%b%b" % (len(data), data, behind) for data, behind in packed])


def commit_keys(names: PartitionKeys) -> list[str]:
    """Keys of ``commit.lua``."""
    return [names.cursor, names.open, names.outbox, names.unknown]


def refusal(commit: PartitionCommit, reply: list[bytes]) -> Exception | None:
    """Why ``commit.lua`` refused; None = it did not, or it landed before and its reply was lost."""
    verdict, stored = reply
    if verdict == b"OK":
        return None
    if verdict == b"FENCED":
        return Fenced(commit.epoch, int(stored or 0))
    offset = int(stored) if stored else None
    if offset == commit.offset:
        return None
    return OffsetMismatch(
        -1 if commit.expected_offset is None else commit.expected_offset, -1 if offset is None else offset
    )


def brought_state(names: ModelKeys, commit: ModelCommit, name: bytes) -> tuple[str, list[Any]]:
    """Key and fields of the state of a commit made later: :func:`decide_call` puts it in its place."""
    fields = ["revision", commit.revision + 1, "state", commit.state or b"", "name", name]
    incarnation = commit.incarnation[:INCARNATION_BYTES]
    return names.ahead, fields + (["incarnation", incarnation] if incarnation else [])


def decide_call(names: ModelKeys, commit: ModelCommit) -> ModelCall:
    """Call ``decide.lua``."""
    keys = [names.state, names.outbox, names.memory, names.join, names.journal, names.ahead]
    incarnation, run_id = commit.incarnation[:INCARNATION_BYTES], commit.incarnation[INCARNATION_BYTES:]
    args: list[Any] = [commit.revision, incarnation, run_id, commit.state or b"", commit.brought]
    outcomes = commit.outcomes
    if outcomes is None:
        args += ["", "", ""]
    else:
        keys += [names.outcome(start) for start in outcomes.panes]
        args += [outcomes.base, outcomes.upto, outcomes.ttl_ms, *outcomes.panes.values()]
    args.append(len(commit.memory))
    for name, data in commit.memory.items():
        args += [name, data or b""]
    args.append(len(commit.messages))
    for sequence, message in commit.messages:
        args += [sequence, message.to_bytes()]
    return keys, args


def decision(commit: ModelCommit, reply: list[bytes]) -> int | Conflict | NotBrought:
    """The new revision, or why ``decide.lua`` refused."""
    verdict, stored = reply
    if verdict == b"ABSENT":
        return NotBrought(f"model {commit.model}: revision {int(stored)} is stored without what was brought")
    if verdict == b"CONFLICT":
        return Conflict(
            f"model {commit.model}: revision {commit.revision} expected, Redis holds {int(stored)}"
        )
    if verdict == b"OTHER":
        return Conflict(f"model {commit.model}: Redis was emptied, or is another server, since it was read")
    if verdict == b"TRIMMED":
        return Conflict(
            f"model {commit.model}: its journal was trimmed to {int(stored)} by another evaluator"
        )
    return int(stored)
