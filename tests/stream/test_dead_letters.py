from __future__ import annotations

from stream.dead_letters import PREFIX, emptied
from stream.messages import Message
from stream.plans import ingest_spec
from stream.settings.configuration import parse_settings


def test_an_emptied_letter_says_where_its_record_is_and_holds_nothing_of_it() -> None:
    ours = [(PREFIX + "id", b"t-0-7"), (PREFIX + "reason", b"not_json")]
    letter = Message("t.dlq", b"planted-key", b"planted-value", [("trace", b"planted-trace"), *ours])
    found = emptied(letter)
    assert b"planted" not in found.to_bytes()
    assert (found.topic, found.key, found.value) == ("t.dlq", b"", b"")
    sizes = {"key.bytes": b"11", "value.bytes": b"13", "headers": b"1"}
    assert found.headers == [*ours, *((PREFIX + name, size) for name, size in sizes.items())]
    assert emptied(Message("t.dlq", None, None, ours)).value is None


def test_letters_are_whole_unless_it_is_said_otherwise() -> None:
    base = {"kafka": {"bootstrap.servers": "127.0.0.1"}, "redis": {"url": "redis://127.0.0.1"}}
    assert ingest_spec(parse_settings(base)).whole_letters
    assert not ingest_spec(parse_settings({**base, "errors": {"letters": "place"}})).whole_letters
