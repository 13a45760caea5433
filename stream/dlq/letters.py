"""Dead letters as they are read back: where a record came from, why it was refused, whether it was replayed.

A *letter* is a record of a dead-letter topic; its ``id`` is topic-partition-offset of the record that it
holds. A *mark* says that the letter of an id was replayed; it lies in the same partition, behind its letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from stream.dead_letters import KEY_BYTES, PREFIX, VALUE_BYTES, header_pairs

if TYPE_CHECKING:
    from confluent_kafka import Message as Record

REPLAY_ID = "driftstream.replay.id"
"""Header of a replayed record: the id of its dead letter."""
MARK = "driftstream.replay.done"
"""Header of a mark: the id of the letter that was replayed."""
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]{1,128})"')
NO_TIME = -1


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One dead letter.

    ``topic``, ``partition`` and ``offset`` are those of the record that was refused, ``dlq``... where the
    letter lies. ``headers`` are the record's own. ``value_bytes`` is the record's length; ``is_cut`` letters
    hold only its beginning. Times are epoch ms, -1 where unknown.
    """

    id: str
    topic: str
    partition: int
    offset: int
    reason: str
    stage: str
    detail: str
    recorded_ms: int
    refused_ms: int
    dlq: str
    dlq_partition: int
    dlq_offset: int
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: tuple[tuple[str, bytes | None], ...] = field(repr=False)
    value_bytes: int
    is_cut: bool

    @property
    def replay_of(self) -> str | None:
        """The id of an earlier letter, when the record was a replay of that one."""
        return next(((value or b"").decode() for name, value in self.headers if name == REPLAY_ID), None)

    def without_content(self) -> Letter:
        """Return the letter less what its record holds: small enough to keep many."""
        return replace(self, key=None, value=None, headers=())

    def model(self, known: Iterable[str]) -> str | None:
        """Return the model that the bytes seem to name, if it is one of ``known``."""
        found = _MODEL.search(self.value or b"")
        name = found[1].decode(errors="replace") if found else ""
        return name if name in known else None


@dataclass(frozen=True)
class Mark:
    """Says that the letter ``id`` was replayed."""

    id: str


def read_letter(record: Record) -> Letter | Mark | None:
    """Return the letter or mark in a record of a dead-letter topic; None when it is neither."""
    pairs = header_pairs(record.headers() or [])
    ours = {name: (value or b"").decode(errors="replace") for name, value in pairs if name.startswith(PREFIX)}
    done = next((value for name, value in pairs if name == MARK), None)
    if done is not None:
        return Mark(done.decode(errors="replace"))
    about = {name.removeprefix(PREFIX): text for name, text in ours.items()}
    try:
        partition, offset = int(about["partition"]), int(about["offset"])
        return Letter(
            id=about["id"],
            topic=about["topic"],
            partition=partition,
            offset=offset,
            reason=about["reason"],
            stage=about["stage"],
            detail=about["exception.message"],
            recorded_ms=int(about.get("timestamp", NO_TIME)),
            refused_ms=record.timestamp()[1],
            dlq=str(record.topic()),
            dlq_partition=int(record.partition() or 0),
            dlq_offset=int(record.offset() or 0),
            key=record.key(),
            value=record.value(),
            headers=tuple((name, value) for name, value in pairs if not name.startswith(PREFIX)),
            value_bytes=int(ours.get(VALUE_BYTES, len(record.value() or b""))),
            is_cut=VALUE_BYTES in ours or KEY_BYTES in ours,
        )
    except (KeyError, ValueError):
        return None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which letters are meant; empty fields select all.

    ``since_ms`` is compared with when the letter was written.
    """

    topics: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    partition: int | None = None
    since_ms: int = 0
    ids: frozenset[str] = frozenset()

    def has(self, letter: Letter) -> bool:
        """Tell whether a letter is meant."""
        return (
            (not self.topics or letter.topic in self.topics)
            and (not self.reasons or letter.reason in self.reasons)
            and (self.partition is None or letter.partition == self.partition)
            and letter.refused_ms >= self.since_ms
            and (not self.ids or letter.id in self.ids)
        )


@dataclass(kw_only=True)
class Group:
    """Letters of one topic, reason and model; ``model`` None = none that is configured."""

    topic: str
    reason: str
    model: str | None
    letters: int = 0
    replayed: int = 0
    bytes: int = 0
    oldest_ms: int = 0
    newest_ms: int = 0


class Summary:
    """Counts letters as they are read; marks may come after their letters."""

    def __init__(self, models: Iterable[str]) -> None:
        self._models = frozenset(models)
        self._groups: dict[tuple[str, str, str | None], Group] = {}
        self._of: dict[str, Group] = {}
        self._done: set[str] = set()
        self.letters = 0

    def add(self, letter: Letter) -> None:
        """Count a letter; of several with one id, the first."""
        if letter.id in self._of:
            return
        model = letter.model(self._models)
        group = self._groups.setdefault(
            (letter.topic, letter.reason, model),
            Group(topic=letter.topic, reason=letter.reason, model=model, oldest_ms=letter.refused_ms),
        )
        self._of[letter.id] = group
        self.letters += 1
        group.letters += 1
        group.bytes += letter.value_bytes
        group.oldest_ms = min(group.oldest_ms, letter.refused_ms)
        group.newest_ms = max(group.newest_ms, letter.refused_ms)

    def mark(self, mark: Mark) -> None:
        """Count a letter as replayed."""
        group = self._of.get(mark.id)
        if group is not None and mark.id not in self._done:
            self._done.add(mark.id)
            group.replayed += 1

    def is_replayed(self, letter: Letter) -> bool:
        """Tell whether a mark of the letter was read."""
        return letter.id in self._done

    def groups(self) -> list[Group]:
        """Return the counts, most letters first."""
        return sorted(
            self._groups.values(), key=lambda each: (-each.letters, each.topic, each.reason, each.model or "")
        )
