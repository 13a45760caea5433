"""What ``driftstream replay`` prints: a line a window, the alerts, and what became of the events."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
import typer

from stream.cli.options import Output
from stream.errors import ConfigError
from stream.records import WindowRecord
from stream.replay import ALERTS
from stream.row_events import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rich.progress import Progress

    from stream.messages import Message
    from stream.replay_intake import Totals
    from stream.row_events import Record, Source

_RECORD = msgspec.json.Decoder(WindowRecord)
_COLOURS = {"drift": "red", "not_enough_data": "yellow"}
_NAMES_SHOWN = 5
_METRICS = ("accuracy", "mae", "ndcg")
"""The first that a model has stands in the line of a window."""
_STATUS_WIDTH = 17
_LABELS = "labels"
_ROWS_SHOWN = 500  # rows between two updates of the bar


class Report:
    """Prints messages as they come; keeps counts, not windows.

    As text, a window that labels restate is printed once more: when no label can come any more.

    Parameters
    ----------
    alerts
        Open file that gets every alert as a line of JSON.
    """

    def __init__(self, output: Output, *, alerts: TextIO | None = None) -> None:
        self.statuses: Counter[str] = Counter()
        self.restated = 0
        self.restated_by_labels = 0
        self.final = 0
        self.first_drift: WindowRecord | None = None
        self._output = output
        self._alerts = alerts

    @property
    def has_drift(self) -> bool:
        """Whether any window drifted."""
        return self.first_drift is not None

    def show(self, message: Message) -> None:
        """Print one message."""
        value = message.value or b""
        if message.topic == ALERTS:
            self._show_alert(value)
            return
        record = _RECORD.decode(value)
        self._count(record)
        if self._output is Output.JSON:
            typer.echo(value)
        elif record.closed_by != _LABELS or _is_final(record):
            typer.echo(window_line(record))

    def _count(self, record: WindowRecord) -> None:
        if record.closed_by == _LABELS:
            self.restated_by_labels += 1
            self.final += _is_final(record)
        elif record.revision:
            self.restated += 1
        else:
            self.statuses[record.status] += 1
        if record.status == "drift" and self.first_drift is None:
            self.first_drift = record

    def _show_alert(self, value: bytes) -> None:
        if self._alerts is not None:
            self._alerts.write(value.decode() + "\n")
        if self._output is Output.TEXT:
            typer.echo(alert_line(msgspec.json.decode(value)))

    def close(self, totals: Totals) -> None:
        """Print the summary, and on stderr what was not counted."""
        if self._output is Output.TEXT:
            typer.echo(f"\n{self._summary(totals)}")
        for line in notes(totals):
            typer.echo(f"note: {line}", err=True)

    def _summary(self, totals: Totals) -> str:
        windows = sum(self.statuses.values())
        counts = ", ".join(f"{n} {status}" for status, n in sorted(self.statuses.items()))
        first = self.first_drift
        since = "" if first is None else f"; first drift in the window from {_instant(first.window_start_ms)}"
        restated = f"; {self.restated} restated" if self.restated else ""
        if self.restated_by_labels:
            restated += f"; {self.restated_by_labels} restated by labels, {self.final} of them final"
        return f"{totals.counted} events in {windows} windows: {counts or 'none'}{since}{restated}"


def window_line(record: WindowRecord) -> str:
    """One window for a reader: when it began, its events, the verdict, what drifted most, performance."""
    status = typer.style(record.status, fg=_COLOURS.get(record.status))
    found = record.features  # of a window that labels restate there are none: then as they stand
    names = sorted(record.drifted, key=lambda name: -abs(found.get(name, {}).get("effect") or 0.0))
    listed = ", ".join(names[:_NAMES_SHOWN])
    if len(names) > _NAMES_SHOWN:
        listed += f" and {len(names) - _NAMES_SHOWN} more"
    texts = (listed, performance_text(record), _marks(record))
    what = "  ".join(text for text in texts if text)
    gap = " " * (_STATUS_WIDTH - len(record.status)) if what else ""
    return f"{_instant(record.window_start_ms)}  {record.n:>8}  {status}{gap}{what}"


def _marks(record: WindowRecord) -> str:
    """What kind of record it is, where it is not the first of a window of predictions."""
    if record.closed_by == _LABELS:
        marks = [_LABELS, "final" if _is_final(record) else f"revision {record.revision}"]
    else:
        marks = [record.source] if record.source != "inference" else []
        marks += [f"revision {record.revision}"] if record.revision else []
    return f"[{', '.join(marks)}]" if marks else ""


def performance_text(record: WindowRecord) -> str:
    """The first of accuracy, MAE and NDCG that the window has, by its labels and as estimated; or nothing."""
    told = record.performance or {}
    realized, estimated = told.get("realized", {}), told.get("estimated", {})
    name = next((each for each in _METRICS if each in realized or each in estimated), "")
    form = ".4g" if name == "mae" else ".4f"
    texts = []
    if realized.get(name) is not None:
        texts.append(f"{realized[name]:{form}} of {realized['n']} labels")
    if estimated.get(name) is not None:
        texts.append(f"estimated {estimated[name]:{form}}")
    return f"{name} {', '.join(texts)}" if texts else ""


def _is_final(record: WindowRecord) -> bool:
    return bool((record.performance or {}).get("realized", {}).get("final"))


def alert_line(body: dict[str, Any]) -> str:
    """One alert for a reader."""
    labels = body["labels"]
    return f"  {body['status']} {labels['severity']} {labels['alertname']}: {body['annotations']['summary']}"


def notes(totals: Totals) -> list[str]:
    """What the user should know of events that stand in no window."""
    lines = [f"{n} rows rejected: {reason}" for reason, n in sorted(totals.rejected.items())]
    if totals.late:
        lines.append(f"{totals.late} events came too late for their window: sort the rows, or raise --grace")
    return lines


def _instant(ms: int) -> str:
    return rfc3339(ms).replace(".000Z", "Z")


@contextmanager
def alert_file(path: Path | None) -> Iterator[TextIO | None]:
    """Open the file of ``--alerts``; raise ConfigError when that cannot be."""
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"cannot write --alerts {path}: {exc.strerror}") from exc
    with file:
        yield file


class Bar:
    """How many rows were read, on stderr; without a terminal there it only passes the events on.

    Data on stdout never goes through it. Where stdout is the same terminal, it steps aside for each line.
    """

    def __init__(self, progress: Progress, rows: int) -> None:
        self._progress = progress
        self._task = progress.add_task("rows replayed", total=rows)
        self._shares_screen = not progress.disable and sys.stdout.isatty()

    def counting(self, events: Iterable[tuple[Source, Record]]) -> Iterator[tuple[Source, Record]]:
        """Pass events on and count the rows among them."""
        if self._progress.disable:
            yield from events
            return
        rows = 0
        for source, record in events:
            rows += source == "inference"
            if rows % _ROWS_SHOWN == 0:
                self._progress.update(self._task, completed=rows)
            yield source, record

    @contextmanager
    def off_screen(self) -> Iterator[None]:
        """Leave the screen to a line of data."""
        if not self._shares_screen:
            yield
            return
        self._progress.stop()
        yield
        self._progress.start()


@contextmanager
def bar(rows: int) -> Iterator[Bar]:
    """Show a bar of ``rows`` on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(
        console=console, transient=True, redirect_stdout=False, disable=not console.is_terminal
    ) as progress:
        yield Bar(progress, rows)
