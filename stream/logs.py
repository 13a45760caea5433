"""Logging to stderr: one line per record, as text for people or as JSON for machines.

A record carries its facts as fields beside a fixed message, so that both forms can be searched:

>>> import logging
>>> logging.getLogger("stream.ingest").warning("partition paused", extra=fields(topic="t", offset=42))
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]
Form = Literal["text", "json"]


TALKATIVE = ("aiokafka", "faust", "mode")
"""Libraries that tell every step at INFO; their warnings are enough unless one debugs."""


def fields(**values: object) -> dict[str, Mapping[str, object]]:
    """Return what to pass as ``extra`` so that the record carries ``values``."""
    return {"fields": values}


def configure(*, level: Level = "info", form: Form = "text") -> None:
    """Log to stderr from now on; calling again replaces what was configured, and nobody else's handlers."""
    handler = StderrLines()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, StderrLines)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for talkative in TALKATIVE:
        logging.getLogger(talkative).setLevel("DEBUG" if level == "debug" else "WARNING")
    logging.captureWarnings(capture=True)


class StderrLines(logging.Handler):
    """Writes to whatever ``sys.stderr`` is at that moment, so that a redirection is followed."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line at once; a closed stderr must not end the process."""
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            self.handleError(record)


class TextLines(logging.Formatter):
    """``2026-11-21T12:00:00.123Z WARNING stream.ingest partition paused topic="t" offset="42"``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and the lines of a traceback when there is one."""
        pairs = "".join(
            f" {key}={json.dumps(str(value), ensure_ascii=False)}" for key, value in _fields(record)
        )
        message = record.getMessage().replace("\n", "\\n")
        line = f"{_time(record)} {record.levelname} {record.name} {message}{pairs}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(logging.Formatter):
    """One JSON object per record: ``time``, ``level``, ``logger``, ``message``, the fields, ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; a value that JSON does not know is written as text."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in _fields(record):
            line.setdefault(key, value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def _fields(record: logging.LogRecord) -> list[tuple[str, object]]:
    given = getattr(record, "fields", None)
    return list(given.items()) if isinstance(given, Mapping) else []


def _time(record: logging.LogRecord) -> str:
    stamp = datetime.fromtimestamp(record.created, UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
