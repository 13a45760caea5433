"""What the demo shows on stderr: a live table on a terminal, plain lines otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream.demo.seen import Seen, SeenAlert, SeenWindow, SeriesWindow
from stream.demo.story import Story

if TYPE_CHECKING:
    from stream.demo.product import WorkerProcess
    from stream.demo.services import Broker, RedisServer

_ROWS = 14
_ALERTS = 8
_STYLE = {"drift": "bold red", "ok": "green"}
_HEADINGS = (
    "",  # the window: 80 columns hold the rest too
    "what happens",
    "predictions",
    "estimated",
    "by labels",
    "labels",
)


class Screen:
    """Tells the story while it runs.

    Parameters
    ----------
    console
        Where to write; the table is drawn when it is a terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._story: Story | None = None
        self._window = -1
        self._alerts: list[Text] = []

    def say(self, line: str) -> None:
        """Write one line."""
        self._console.print(Text(line), soft_wrap=True)

    def begin(self, story: Story) -> None:
        """The first event is about to be sent."""
        self._story = story

    @contextmanager
    def live(self) -> Iterator[None]:
        """Draw the table while the context lasts, on a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False, vertical_overflow="crop") as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def alert(self, alert: SeenAlert) -> None:
        """A notification came. May be called from another thread."""
        if self._story is None:
            return
        columns = ", ".join(sorted(alert.columns))
        line = Text.assemble(
            f"window {self._story.window_of(alert.end_ms):>2}  ",
            (alert.status, "bold red" if alert.status == "firing" else "green"),
            f"  {alert.severity}  {alert.kind} ({columns})",
        )
        self._alerts.append(line)
        if not self._console.is_terminal:
            self._console.print(line, soft_wrap=True)

    def update(self, at_ms: int, seen: Seen) -> None:
        """Show how far the story is and what was seen of it."""
        if self._story is None:
            return
        window = self._story.window_of(at_ms) + 1
        if self._live is not None:
            self._live.update(self._table(self._story, window, seen), refresh=True)
        elif not self._console.is_terminal:
            self._tell_part(self._story, window)
        self._window = max(self._window, window)

    def keep(self, broker: Broker, redis: RedisServer, worker: WorkerProcess, metrics: str) -> None:
        """Say where everything is while the demo is left running."""
        config = worker.config
        for line in (
            f"\nKafka    {broker.servers}",
            f"Redis    {redis.title if redis.foreign else redis.url}",
            f"metrics  http://{metrics}/metrics",
            f"config   {config}",
            f"log      {worker.log_path}",
            f"\nTry: driftstream check --config {config}",
            "Ctrl-C ends it all and removes it.",
        ):
            self.say(line)

    def _tell_part(self, story: Story, window: int) -> None:
        whole = story.windows("inference").stop
        for each in range(self._window + 1, min(window + 1, whole)):
            if each == 0 or story.part_of(each) is not story.part_of(each - 1):
                self.say(f"window {each:>2}  {story.part_of(each).name}")

    def _table(self, story: Story, window: int, seen: Seen) -> Group:
        last = story.windows("labels").stop - 1
        now = min(window, last)
        title = f"window {now} of {last}: {story.part_of(now).name}; accuracy estimated, and by labels so far"
        table = Table(
            title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False
        )
        for heading in _HEADINGS:
            table.add_column(heading)
        for each in range(max(0, now - _ROWS + 1), now + 1):
            predictions, labels = (
                seen.windows.get(SeriesWindow(source, story.end_ms(each)))
                for source in ("inference", "labels")
            )
            cells = (_verdict(predictions), *_accuracy(predictions), _verdict(labels))
            table.add_row(f"{each}", story.part_of(each).name, *cells)
        return Group(table, *self._alerts[-_ALERTS:])


def _accuracy(window: SeenWindow | None) -> tuple[Text, Text]:
    """Accuracy of a window as estimated, and by the labels that have come, with their share."""
    accuracy = None if window is None else window.accuracy
    if window is None or accuracy is None:
        return Text(""), Text("")
    estimated = "" if accuracy.estimated is None else f"{accuracy.estimated:.3f}"
    realized = (
        "" if accuracy.realized is None else f"{accuracy.realized:.3f} ({accuracy.labelled / window.n:.0%})"
    )
    return Text(estimated), Text(realized)


def _verdict(window: SeenWindow | None) -> Text:
    if window is None:
        return Text("")
    columns = f" {', '.join(window.drifted)}" if window.drifted else ""
    return Text(f"{window.n} {window.status}{columns}", style=_STYLE.get(window.status, ""))
