"""What the scripts of the store are called with, and what their replies mean."""

from __future__ import annotations

from typing import Any

from stream.errors import Conflict, Fenced, OffsetMismatch
from stream.gaps import to_text
from stream.keys import ModelKeys, PartitionKeys
from stream.store import ModelCommit, NotBrought, PartitionCommit

PANE_TTL_MS = 7 * 24 * 3600 * 1000  # a backstop: evaluated panes are retired long before
Call = tuple[list[str], list[Any]]
"""Keys and arguments of a script."""


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


def commit_call(names: PartitionKeys, commit: PartitionCommit, *, max_unknown: int) -> Call:
    """Call ``commit.lua``."""
    keys = [names.cursor, names.open, names.outbox, names.unknown]
    args: list[Any] = [
        commit.epoch,
        _text(commit.expected_offset),
        commit.offset,
        _text(commit.watermark_ms),
        commit.idle_beat,
        _text(commit.delivered_to),
        PANE_TTL_MS,
        max_unknown,
        b"" if commit.gaps is None else to_text(commit.gaps),
        len(commit.panes),
    ]
    stem = names.pane_stem
    for key, pane in commit.panes.items():
        member = key.member()
        keys.append(stem + member.decode())
        args += [pane.to_bytes(), member, key.start_ms]
    args.append(len(commit.messages))
    for sequence, message in commit.messages:
        args += [sequence, message.to_bytes()]
    for increments in (commit.totals, commit.unknown):
        args.append(len(increments))
        for name, by in increments.items():
            args += [name, by]
    return keys, args


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
    return names.ahead, ["revision", commit.revision + 1, "state", commit.state or b"", "name", name]


def decide_call(names: ModelKeys, commit: ModelCommit) -> Call:
    """Call ``decide.lua``."""
    keys = [names.state, names.outbox, names.memory, names.join, names.journal, names.ahead]
    args: list[Any] = [commit.revision, commit.state or b"", commit.brought]
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
    if verdict == b"TRIMMED":
        return Conflict(
            f"model {commit.model}: its journal was trimmed to {int(stored)} by another evaluator"
        )
    return int(stored)
