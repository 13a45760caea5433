from __future__ import annotations

import io
import signal

import pytest
from rich.console import Console

from stream.demo.interrupts import TERMINATED, Interrupts
from stream.demo.screen import Screen
from stream.demo.seen import Seen
from stream.demo.services import open_broker
from stream.demo.story import Story
from stream.errors import ConfigError

STORY = Story(1_760_000_000_000)
ALERT = {
    "status": "firing",
    "labels": {"alertname": "data_drift", "severity": "ticket"},
    "fingerprint": "a",
    "evidence": {"incident_features": ["f1"], "window_start_ms": 0, "window_end_ms": STORY.end_ms(20)},
}


def seen() -> Seen:
    seen = Seen()
    window = {"source": "inference", "window_end_ms": STORY.end_ms(20), "n": 250, "revision": 0}
    accuracy = {"estimated": {"accuracy": 0.974}, "realized": {"accuracy": 0.996, "n": 50, "final": False}}
    seen.add_record(window | {"status": "drift", "drifted": ["f1"], "performance": accuracy})
    seen.add_alert("1", ALERT)
    return seen


def told(*, terminal: bool) -> str:
    out = io.StringIO()
    screen = Screen(Console(file=out, force_terminal=terminal, width=100, highlight=False))
    screen.begin(STORY)
    with screen.live():
        for window in range(22):
            screen.update(STORY.end_ms(window) - 1, seen())
        screen.alert(seen().firing[0])
        screen.update(STORY.end_ms(21), seen())
    return out.getvalue()


def test_plain_lines_tell_each_part_once() -> None:
    assert told(terminal=False).splitlines() == [
        "window  0  stable",
        "window 20  sensor f1 drifts",
        "window 20  firing  ticket  data_drift (f1)",
    ]


def test_terminal_shows_a_table_with_verdicts_and_alerts() -> None:
    text = told(terminal=True)
    assert "250 drift f1" in text
    assert "0.974" in text
    assert "0.996 (20%)" in text
    assert "ticket  data_drift (f1)" in text


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_only_the_first_signal_raises(number: signal.Signals, error: type[BaseException]) -> None:
    before = signal.getsignal(number)
    with Interrupts():
        with pytest.raises(error) as raised:
            signal.raise_signal(number)
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
    assert not isinstance(raised.value, SystemExit) or raised.value.code == TERMINATED


def test_mock_stands_in_when_the_jars_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2_REPO", "/dev/null/nowhere")
    said: list[str] = []
    with open_broker("kafka", said.append) as broker:
        assert broker.mock is not None
    line = said[0]
    assert line.startswith("Apache Kafka cannot be had, librdkafka's mock cluster stands in: ")
    assert "/dev/null/nowhere" in line


def test_misspelt_broker_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="--broker 'kafak' is none of kafka, mock and HOST:PORT"):
        open_broker("kafak", print).__enter__()
