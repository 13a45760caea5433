"""The answers of ``driftstream dlq``."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stream.row_events import rfc3339

if TYPE_CHECKING:
    from stream.dlq.letters import Letter, Summary
    from stream.dlq.purging import Cut
    from stream.dlq.replaying import Tally

_AGES = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def as_rows(letters: Iterable[Letter], summary: Summary) -> list[dict[str, Any]]:
    """Return letters without what is in them, the newest first."""
    return [
        {
            "id": each.id,
            "reason": each.reason,
            "detail": each.detail,
            "refused_ms": each.refused_ms,
            "value_bytes": each.value_bytes,
            "replayed": summary.is_replayed(each),
        }
        for each in sorted(letters, key=lambda each: -each.refused_ms)
    ]


def groups_text(summary: Summary, newest: Sequence[Mapping[str, Any]]) -> str:
    """Describe counts and the newest letters."""
    if not summary.letters:
        return "no dead letters"
    heading = ("topic", "reason", "model", "letters", "replayed", "bytes", "oldest", "newest")
    rows = [
        (
            each.topic, each.reason, each.model or "-", str(each.letters), str(each.replayed),
            str(each.bytes), age(each.oldest_ms), age(each.newest_ms),
        )
        for each in summary.groups()
    ]  # fmt: skip
    lines = [f"{summary.letters} dead letters", *_table([heading, *rows])]
    if newest:
        told = [
            (
                each["id"],
                age(each["refused_ms"]),
                each["reason"],
                each["detail"],
                "replayed" * each["replayed"],
            )
            for each in newest
        ]
        lines += ["", "newest", *_table(told)]
    return "\n".join(lines)


def as_document(letter: Letter, *, is_replayed: bool, with_values: bool) -> dict[str, Any]:
    """Return everything about one letter; what the record holds only as sizes, unless asked for."""
    document: dict[str, Any] = {
        "id": letter.id,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "stage": letter.stage,
        "reason": letter.reason,
        "detail": letter.detail,
        "recorded_ms": letter.recorded_ms,
        "refused_ms": letter.refused_ms,
        "dlq": {"topic": letter.dlq, "partition": letter.dlq_partition, "offset": letter.dlq_offset},
        "replayed": is_replayed,
        "replay_of": letter.replay_of,
        "cut": letter.is_cut,
        "key_bytes": None if letter.key is None else len(letter.key),
        "value_bytes": None if letter.value is None else letter.value_bytes,
        "headers": [
            {"name": name, "bytes": None if value is None else len(value)} for name, value in letter.headers
        ],
    }
    if with_values:
        document |= {"key": _readable(letter.key), "value": _readable(letter.value)}
        for shown, (_, value) in zip(document["headers"], letter.headers, strict=True):
            shown["value"] = _readable(value)
    return document


def letter_text(document: Mapping[str, Any]) -> str:
    """Describe one letter."""
    dlq = document["dlq"]
    rows = [
        ("reason", f"{document['reason']}: {document['detail']}"),
        ("record", f"{document['topic']}[{document['partition']}] offset {document['offset']}"),
        ("recorded", _instant(document["recorded_ms"])),
        ("refused", f"{_instant(document['refused_ms'])}, while it was to {document['stage']}"),
        ("letter", f"{dlq['topic']}[{dlq['partition']}] offset {dlq['offset']}"),
        ("replayed", "yes" if document["replayed"] else "no"),
        *([("replay of", document["replay_of"])] if document["replay_of"] else []),
        ("key", _content(document["key_bytes"], document.get("key"))),
        ("value", _content(document["value_bytes"], document.get("value"), is_cut=document["cut"])),
        *(
            ("header", f"{each['name']}: {_content(each['bytes'], each.get('value'))}")
            for each in document["headers"]
        ),
    ]
    return "\n".join([f"dead letter {document['id']}", *_table(rows)])


def replay_text(tallies: Mapping[str, Tally], *, is_done: bool) -> str:
    """Describe what was, or would be, replayed."""
    lines = []
    for topic, each in tallies.items():
        line = f"{topic}: {each.replayed} {'replayed' if is_done else 'to replay'}"
        line += f", {each.before} replayed before" if each.before else ""
        line += f", {each.cut} cut to fit their topic: read them where they came from" if each.cut else ""
        lines.append(line)
    return "\n".join(lines if is_done else [*lines, "nothing was done; --yes replays"])


def purge_text(cuts: Sequence[Cut], *, is_done: bool) -> str:
    """Describe what was, or would be, deleted."""
    if not cuts:
        return "nothing to purge"
    word = "purged" if is_done else "to purge"
    lines = [
        f"{each.dlq}[{each.partition}]: {each.letters} letters {word}, {each.unreplayed} never replayed"
        for each in cuts
    ]
    return "\n".join(lines if is_done else [*lines, "nothing was done; --yes deletes them for good"])


def age(at_ms: int) -> str:
    """How long ago something was, in its largest unit."""
    seconds = max(0, time.time_ns() // 1_000_000 - at_ms) // 1000
    length, unit = next(((n, unit) for n, unit in _AGES if seconds >= n), (1, "s"))
    return f"{seconds // length}{unit} ago"


def _readable(value: bytes | None) -> dict[str, str] | None:
    if value is None:
        return None
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _content(size: int | None, shown: Mapping[str, str] | None, *, is_cut: bool = False) -> str:
    if size is None:
        return "none"
    length = f"{size} byte{'s' * (size != 1)}" + (", only the beginning is kept" if is_cut else "")
    if shown is None:
        return length
    text = shown["text"] if "text" in shown else f"base64 {shown['base64']}"
    return f"{length}: {_printable(text)}"


def _printable(text: str) -> str:
    """Escape what could steer a terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _instant(ms: int) -> str:
    return "unknown" if ms < 0 else rfc3339(ms)


def _table(rows: Iterable[Sequence[str]]) -> list[str]:
    told = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*told, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in told
    ]
