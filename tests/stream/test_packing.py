from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import CorruptState, NewerState
from stream.keys import PaneKey
from stream.messages import (
    MOST_NOTICES,
    Message,
    Notice,
    home_partition,
    notice_messages,
    notices,
    read_notices,
)
from stream.packing import AHEAD, Kind, pack, unpack


@given(st.binary(max_size=200))
def test_payloads_come_back(payload: bytes) -> None:
    assert unpack(Kind.PANE, pack(Kind.PANE, payload)) == payload


@given(st.binary(max_size=200), st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_one_damaged_byte_is_noticed(payload: bytes, at: int, flip: int) -> None:
    data = bytearray(pack(Kind.PANE, payload))
    data[at % len(data)] ^= flip
    with pytest.raises(NewerState if 1 < data[4] <= 1 + AHEAD else CorruptState):
        unpack(Kind.PANE, bytes(data))


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptState):
        unpack(Kind.MODEL_STATE, data)


def test_another_kind_is_refused() -> None:
    with pytest.raises(CorruptState, match="kind"):
        unpack(Kind.MODEL_STATE, pack(Kind.PANE, b"x"))


@given(
    st.builds(
        Message,
        topic=st.text(min_size=1, max_size=9),
        key=st.none() | st.binary(max_size=9),
        value=st.none() | st.binary(max_size=99),
        headers=st.lists(st.tuples(st.text(max_size=9), st.none() | st.binary(max_size=9)), max_size=3),
        partition=st.none() | st.integers(0, 99),
    )
)
def test_messages_come_back(message: Message) -> None:
    assert Message.from_bytes(message.to_bytes()) == message


@given(st.text(max_size=9), st.text(max_size=9), st.integers(0, 2**50), st.text(max_size=9))
def test_pane_keys_of_any_name_come_back(model: str, version: str, start_ms: int, print_: str) -> None:
    key = PaneKey(model, version, start_ms, print_)
    assert PaneKey.from_member(key.member()) == key


def test_one_notice_a_model() -> None:
    keys = [PaneKey("a", "1", 0, "f"), PaneKey("b", "1", 0, "g"), PaneKey("a", "2", 10, "h")]
    told = notices("inference", 3, keys)
    assert [notice.model for notice in told] == ["a", "b"]
    assert told[0].pane_keys() == [keys[0], keys[2]]


def test_notices_of_one_home_travel_together_and_none_is_lost() -> None:
    told = [Notice("inference", 3, f"m{number}", [("1", 0, "f")]) for number in range(1_000)]
    sent = notice_messages(told, topic="drift.panes", partitions=4)
    assert {message.partition for message in sent} == {0, 1, 2, 3}
    assert len(sent) <= 4 + len(told) // MOST_NOTICES
    for message in sent:
        heard = read_notices(message.value or b"")
        assert len(heard) <= MOST_NOTICES
        assert {home_partition(notice.model, 4) for notice in heard} == {message.partition}
    back = [notice for message in sent for notice in read_notices(message.value or b"")]
    assert sorted(back, key=lambda notice: int(notice.model[1:])) == told


def test_a_notice_alone_is_read_and_what_is_none_is_refused() -> None:
    alone = Notice("inference", 0, "m", [])
    assert read_notices(msgspec.json.encode(alone)) == [alone]
    for bad in (b"", b"{}", b"[1]", b"\xff", b'[{"topic": "t"}]'):
        with pytest.raises(CorruptState):
            read_notices(bad)


def test_the_home_of_a_model_never_moves() -> None:
    assert [home_partition(model, 8) for model in ("loan-approval", "insects", "modèle")] == [3, 1, 5]
