"""``driftstream dlq`` on a real Kafka: every record goes back once, whatever is killed where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message as Record
from confluent_kafka import Producer

from stream.cli import main
from stream.dead_letter_queue import DeadLetterQueue
from stream.dead_letters import dead_letter, header_pairs, shortened
from stream.dlq.letters import REPLAY_ID
from stream.dlq.replaying import Replay
from stream.embedded import EmbeddedKafka
from stream.learning.kafka_range import RangeReader
from stream.settings.configuration import Settings, load_settings
from stream.sinks import KafkaSink
from tests.integration.pipeline import send

pytestmark = pytest.mark.services
RECORDED_MS = 1_760_000_000_000
DYING = """
import os, sys
import stream.dlq.replaying as replaying
from stream.cli import main

class Dying(replaying.Producer):
    commits = 0
    def commit_transaction(self, *arguments):
        Dying.commits += 1
        if (Dying.commits, sys.argv[1]) == (2, "before"):
            self.flush(10)
            os._exit(137)
        super().commit_transaction(*arguments)
        if (Dying.commits, sys.argv[1]) == (2, "after"):
            os._exit(137)

replaying.Producer, replaying.BATCH = Dying, 10
sys.exit(main(["dlq", "replay", "--yes", "--config", sys.argv[2]]))
"""


@dataclass
class Place:
    """A configuration with an input topic of two partitions and its dead letters."""

    config: str
    settings: Settings
    producer: Producer

    @property
    def topic(self) -> str:
        return self.settings.topics.inference

    def records(self, topic: str) -> list[Record]:
        """Everything committed in a topic, as the ingest would read it."""
        with RangeReader(self.settings) as reader:
            return [record for records in reader.read(reader.bounds(topic)) for record in records]

    def refuse(self, count: int, *, cut: int = 0, reason: str = "not_json") -> None:
        """Put ``count`` bad records into the input topic and their letters, one twice, behind it."""
        before = len(self.records(self.topic))
        for number in range(count):
            self.producer.produce(
                self.topic,
                b'{"model": "loans", "n": %d' % number,
                b"\xffkey",
                number % 2,
                timestamp=RECORDED_MS,
                headers=[("trace", b"\xfe"), ("none", None)],
            )
        assert self.producer.flush(20) == 0
        bad = sorted(self.records(self.topic), key=lambda record: (record.partition(), record.offset()))
        letters = [
            dead_letter(record, dlq_topic=self.topic + ".dlq", reason=reason, detail="cut off")
            for record in bad
            if int(record.offset() or 0) >= before // 2
        ]
        letters += [shortened(letter) for letter in letters[:cut]] + letters[-1:]
        queue = DeadLetterQueue(KafkaSink(self.producer))
        queue.send(letters[cut:])
        queue.confirm()

    def settle(self) -> None:
        """Wait until Kafka has ended the last transaction: it shows what was committed a moment later."""
        Replay(self.settings, self.topic, partitions=2)

    def replayed(self) -> Counter[str]:
        """How often each letter is back in the input topic, by its id."""
        self.settle()
        headers = [dict(header_pairs(record.headers() or [])) for record in self.records(self.topic)]
        return Counter((each[REPLAY_ID] or b"").decode() for each in headers if REPLAY_ID in each)


@pytest.fixture
def place(tmp_path: Path, kafka: EmbeddedKafka) -> Place:
    topic = f"in-{uuid.uuid4().hex[:8]}"
    kafka.create_topics({topic: 2, f"{topic}.dlq": 1})
    file = tmp_path / "driftstream.yaml"
    file.write_text(
        f"kafka: {{bootstrap.servers: '{kafka.bootstrap_servers}'}}\nredis: {{url: 'redis://127.0.0.1:1/0'}}\n"
        f"topics: {{inference: {topic}, labels: null}}\nmodels: {{loans: {{references: [none.json]}}}}\n"
    )
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap_servers, "enable.idempotence": True, "log_level": 0}
    )
    return Place(str(file), load_settings(file), producer)


@pytest.fixture
def dlq(place: Place, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run ``driftstream dlq`` and return what it says as JSON."""

    def run(*arguments: str) -> Any:
        assert main(["dlq", *arguments, "--config", place.config, "-o", "json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_letters_are_counted_shown_and_found(
    place: Place, dlq: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    place.refuse(6)
    found = dlq("ls", "--limit", "2")
    assert found["letters"] == 6
    (group,) = found["groups"]
    about = {key: group[key] for key in ("topic", "reason", "model", "letters", "replayed")}
    assert about == {
        "topic": place.topic,
        "reason": "not_json",
        "model": "loans",
        "letters": 6,
        "replayed": 0,
    }
    assert len(found["newest"]) == 2
    assert dlq("ls", "--partition", "1")["letters"] == 3
    assert dlq("ls", "--reason", "empty")["letters"] == 0
    assert dlq("ls", "--since", "1h")["letters"] == 6
    identity = f"{place.topic}-1-2"
    shown = dlq("show", identity)
    assert (shown["partition"], shown["offset"], shown["value_bytes"]) == (1, 2, 25)
    assert (shown["recorded_ms"], shown["detail"]) == (RECORDED_MS, "cut off")
    assert shown["headers"] == [{"name": "trace", "bytes": 1}, {"name": "none", "bytes": None}]
    assert "value" not in shown
    full = dlq("show", identity, "--values")
    assert full["value"] == {"text": '{"model": "loans", "n": 5'}
    assert full["key"] == {"base64": "/2tleQ=="}
    assert main(["dlq", "show", identity, "--config", place.config]) == 0
    text = capsys.readouterr().out
    assert "25 bytes" in text
    assert '"n": 5' not in text
    assert main(["dlq", "ls", "--config", place.config]) == 0
    assert f"{place.topic}  not_json  loans  6" in capsys.readouterr().out
    assert main(["dlq", "show", "nothing-0-1", "--config", place.config]) == 1
    assert main(["dlq", "ls", "--topic", "other", "--config", place.config]) == 2
    assert main(["dlq", "ls", "--reason", "not_jsn", "--config", place.config]) == 2
    assert "not_json" in capsys.readouterr().err


def test_a_replay_gives_back_what_was_and_only_once(place: Place, dlq: Callable[..., Any]) -> None:
    place.refuse(10, cut=1)
    assert dlq("replay")["topics"][place.topic] == {"replayed": 9, "before": 0, "cut": 1}
    assert place.replayed() == {}
    one = f"{place.topic}-1-4"
    assert dlq("replay", one, "--yes")["topics"][place.topic]["replayed"] == 1
    assert dlq("replay", "--yes")["topics"][place.topic] == {"replayed": 8, "before": 1, "cut": 1}
    assert dlq("replay", "--yes")["topics"][place.topic] == {"replayed": 0, "before": 9, "cut": 1}
    back = place.replayed()
    assert len(back) == 9
    assert set(back.values()) == {1}
    found = [(record, header_pairs(record.headers() or [])) for record in place.records(place.topic)]
    (record, headers) = next(each for each in found if (REPLAY_ID, one.encode()) in each[1])
    assert (record.partition(), record.key(), record.value()) == (1, b"\xffkey", b'{"model": "loans", "n": 9')
    assert record.timestamp()[1] == RECORDED_MS
    assert headers == [("trace", b"\xfe"), ("none", None), (REPLAY_ID, one.encode())]
    assert dlq("ls")["groups"][0]["replayed"] == 9


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_replay_killed_beside_its_commit_doubles_and_loses_nothing(
    place: Place, dlq: Callable[..., Any], moment: str
) -> None:
    place.refuse(35)
    ended = subprocess.run(
        [sys.executable, "-c", DYING, moment, place.config], env=os.environ, check=False, timeout=60
    )
    assert ended.returncode == 137
    again = dlq("replay", "--yes")["topics"][place.topic]
    assert (again["before"], again["replayed"]) == ((20, 15) if moment == "after" else (10, 25))
    back = place.replayed()
    assert len(back) == 35
    assert set(back.values()) == {1}


def test_a_refused_replay_is_a_letter_of_its_own(place: Place, dlq: Callable[..., Any]) -> None:
    place.refuse(2)
    dlq("replay", "--yes")
    place.settle()
    again = [record for record in place.records(place.topic) if REPLAY_ID in dict(record.headers() or [])]
    queue = DeadLetterQueue(KafkaSink(place.producer))
    queue.send(
        dead_letter(record, dlq_topic=place.topic + ".dlq", reason="not_json", detail="") for record in again
    )
    queue.confirm()
    (newest, *_) = dlq("ls")["newest"]
    assert dlq("show", newest["id"])["replay_of"] in {f"{place.topic}-{p}-0" for p in (0, 1)}
    assert dlq("replay", "--yes")["topics"][place.topic] == {"replayed": 2, "before": 2, "cut": 0}
    assert set(place.replayed().values()) == {1}


def test_a_purge_is_told_first_and_then_final(
    place: Place, dlq: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    place.refuse(6)
    dlq("replay", f"{place.topic}-0-0", "--yes")
    place.settle()
    assert dlq("purge", "--older-than", "1h")["purged"] == []
    (cut,) = dlq("purge", "--all")["purged"]
    assert (cut["letters"], cut["unreplayed"]) == (7, 6)  # one letter came twice
    assert dlq("ls")["letters"] == 6
    assert main(["dlq", "purge", "--all", "--yes", "--config", place.config]) == 0
    assert f"{place.topic}.dlq[0]: 7 letters purged, 6 never replayed" in capsys.readouterr().out
    assert dlq("ls")["letters"] == 0
    send(place.producer, place.topic, [(0, b"still there")])
    assert place.records(place.topic)[-1].value() == b"still there"
    assert main(["dlq", "purge", "--config", place.config]) == 2
