"""README.md runs as written: its Python as doctests, its commands in a directory of their own, in order."""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import pytest
from confluent_kafka import Consumer

from stream.asgi import Recording
from stream.embedded import EmbeddedKafka, EmbeddedRedis
from stream.events import InferenceEvent, LabelEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
KAFKA, REDIS = "127.0.0.1:9092", "redis://127.0.0.1:6379/0"  # as written in the README
BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SERVICES, NOT_RUN, FILE = "run with services", "not run by the tests: ", "file: "
EVENTUALLY = f"{SERVICES}, eventually"
PATIENCE_S = 90
MATCH = doctest.ELLIPSIS


@dataclass(frozen=True)
class Block:
    """A fenced block and the comment in front of it."""

    note: str
    language: str
    text: str

    def commands(self) -> list[tuple[str, str]]:
        """Each command with the output shown."""
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)
        assert parts[0] == "", "a console block begins with a command"
        return [(command, shown) for command, _, shown in (part.partition("\n") for part in parts[1:])]


BLOCKS = [Block(*found) for found in BLOCK.findall(README)]
SHOWN = [block for block in BLOCKS if block.language in ("python", "console", "json", "yaml")]


@dataclass
class Desk:
    """A directory in which the blocks are run one after the other, as a reader would."""

    directory: Path
    environment: dict[str, str]
    addresses: dict[str, str] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)
    background: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, block: Block) -> None:
        if block.note.startswith(FILE):
            (self.directory / block.note.removeprefix(FILE)).write_text(block.text)
        elif block.language == "console":
            for command, shown in block.commands():
                self._run_command(command, shown, eventually=block.note == EVENTUALLY)
        elif ">>>" in block.text:
            self._run_doctest(block.text)
        else:
            exec(self._addressed(block.text), self.names)

    def _run_doctest(self, text: str) -> None:
        test = doctest.DocTestParser().get_doctest(text, self.names, "README.md", None, None)
        report = io.StringIO()
        with contextlib.chdir(self.directory):
            doctest.DocTestRunner(optionflags=MATCH).run(test, out=report.write, clear_globs=False)
        self.names |= test.globs
        assert report.getvalue() == ""

    def _run_command(self, command: str, shown: str, *, eventually: bool) -> None:
        if command.endswith(" &"):
            self._start(command.removesuffix(" &"))
            return
        deadline = time.monotonic() + PATIENCE_S
        while True:
            done = subprocess.run(
                ["bash", "-c", command],
                check=False,
                cwd=self.directory,
                env=self.environment,
                capture_output=True,
                text=True,
            )
            said = done.stdout
            for real, written in self.addresses.items():
                said = said.replace(real, written)
            if doctest.OutputChecker().check_output(shown, said, MATCH) or not eventually:
                break
            assert time.monotonic() < deadline, f"$ {command}\n{said}"
        assert (said, done.returncode) == (_Like(shown), 0), done.stderr

    def _start(self, command: str) -> None:
        with (self.directory / "background.log").open("wb") as log:
            self.background.append(
                subprocess.Popen(command.split(), cwd=self.directory, env=self.environment, stderr=log)
            )

    def _addressed(self, text: str) -> str:
        for real, written in self.addresses.items():
            text = text.replace(written, real)
        return text

    def stop(self) -> list[int]:
        for process in self.background:
            process.send_signal(signal.SIGTERM)
        return [process.wait(PATIENCE_S) for process in self.background]


class _Like(str):
    """Text with ``...`` for what may differ."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and doctest.OutputChecker().check_output(str(self), other, MATCH)

    def __ne__(self, other: object) -> bool:
        return not self == other


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The desk of a reader who has gone through everything that needs no services."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTSTREAM_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    desk = Desk(tmp_path_factory.mktemp("readme"), kept | {"PATH": path, "COLUMNS": "100", "NO_COLOR": "1"})
    for block in SHOWN:
        if not block.note.startswith((SERVICES, NOT_RUN)):
            desk.run(block)
    return desk


def test_every_block_is_run_or_says_why_not() -> None:
    assert {block.language for block in BLOCKS} <= {"python", "console", "json", "yaml", "text"}
    for block in BLOCKS:
        known = block.note in ("", SERVICES, EVENTUALLY) or block.note.startswith((NOT_RUN, FILE))
        assert known, block.note
    assert [block.text for block in BLOCKS if block.note.startswith(NOT_RUN)] == [
        "$ make demo\n$ make test\n"
    ]


def test_the_session_runs_as_written(desk: Desk) -> None:
    assert (desk.directory / "loans-v1.json").is_file()
    assert len((desk.directory / "alerts.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "kind"), [("inference", InferenceEvent), ("label", LabelEvent)], ids=["inference", "label"]
)
def test_the_events_shown_are_events(desk: Desk, name: str, kind: type[msgspec.Struct]) -> None:
    text = (desk.directory / f"{name}.json").read_text()
    schema = json.loads((ROOT / f"docs/schemas/{name}.json").read_text())
    jsonschema.validate(json.loads(text), schema)
    assert set(json.loads(text)) <= set(kind.__struct_fields__)
    msgspec.json.decode(text, type=kind)


@pytest.fixture
def served(desk: Desk, kafka_parts: list[Path], redis_binary: str) -> Iterator[Desk]:
    """The same desk with a Kafka and a Redis of its own: topics have the names of the README."""
    with EmbeddedKafka() as kafka, EmbeddedRedis() as redis:
        desk.addresses = {kafka.bootstrap_servers: KAFKA, redis.url: REDIS}
        desk.environment |= {
            "DRIFTSTREAM_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "DRIFTSTREAM_REDIS__URL": redis.url,
            "DRIFTSTREAM_METRICS__PORT": "0",
        }
        try:
            yield desk
        finally:
            desk.stop()


def first_alert(bootstrap_servers: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers and body of the first record on the alert topic."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": "on-call", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["drift.alerts"])
    try:
        record = consumer.poll(PATIENCE_S)
        assert record is not None
        assert record.error() is None
        headers = {name: value.decode() for name, value in record.headers()}
        return headers, json.loads(record.value())
    finally:
        consumer.close()


@pytest.mark.services
def test_the_quick_start_runs_as_written(served: Desk) -> None:
    async def asgi(*_: object) -> None: ...

    served.names |= {"app": asgi, "scope": {"driftstream": Recording()}, "features": {"income": 1}}
    for block in SHOWN:
        if block.note.startswith(SERVICES):
            served.run(block)
    assert len(served.names["scope"]["driftstream"].take()) == 1
    emitter = served.names["emitter"]
    emitter.close()
    assert emitter.counts == (1, 0, 0)
    headers, alert = first_alert(next(iter(served.addresses)))
    replayed = json.loads((served.directory / "alerts.jsonl").read_text())
    assert alert["evidence"]["features"] == replayed["evidence"]["features"]
    assert alert["annotations"] == replayed["annotations"]
    assert headers["ce_specversion"] == "1.0"
    assert served.stop() == [0]
