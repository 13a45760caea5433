"""The circuit breaker on rejected records: when it opens, how it probes, when it closes."""

from __future__ import annotations

import pytest

from stream.flood import FloodGate, FloodPolicy

POLICY = FloodPolicy(records=100, within_ms=60_000, probe_every_ms=10_000, probe_records=50)
BAD = {"not_json": 1}


def flooded(policy: FloodPolicy = POLICY) -> FloodGate:
    gate = FloodGate(policy)
    gate.saw(0, 150, {"not_json": 120})
    return gate


@pytest.mark.parametrize(
    ("records", "rejected", "floods"),
    [(99, 99, False), (100, 100, True), (200, 100, False), (199, 100, True), (100_000, 40_000, False)],
)
def test_a_flood_is_many_and_most(records: int, rejected: int, floods: bool) -> None:
    gate = FloodGate(POLICY)
    gate.saw(0, records, {"not_json": rejected})
    assert (gate.flooding, gate.paused) == (floods, floods)


def test_what_lies_a_minute_back_is_forgotten() -> None:
    gate = FloodGate(POLICY)
    for second in range(0, 600, 2):  # 60 records in every two seconds, one of them bad
        gate.saw(second * 1_000, 60, BAD)
        assert not gate.flooding
        assert gate.records <= 60 * 31
    gate.saw(600_000, 0, {})
    gate.look(700_000)
    assert gate.records == 0


def test_one_bad_client_among_many_is_no_flood() -> None:
    gate = FloodGate(POLICY)
    for second in range(100):
        gate.saw(second * 1_000, 1_000, {"missing_field": 450})
    assert not gate.flooding


def test_a_pause_ends_in_a_probe_that_decides() -> None:
    gate = flooded()
    gate.look(9_999)
    assert gate.paused
    gate.saw(9_999, 500, {"not_json": 500})  # was under way
    gate.look(10_000)
    assert (gate.flooding, gate.paused, gate.probing) == (True, False, True)
    gate.saw(10_001, 30, {"not_json": 30})
    assert gate.probing
    gate.saw(10_002, 30, {"not_json": 30})
    assert gate.paused
    gate.look(20_002)
    gate.saw(20_003, 60, {"not_json": 30})
    assert (gate.flooding, gate.paused, gate.probing) == (False, False, False)


def test_a_probe_of_a_quiet_topic_ends_after_a_minute() -> None:
    gate = flooded()
    gate.look(10_000)
    gate.saw(10_500, 3, {"not_json": 2})
    gate.look(69_999)
    assert gate.probing
    gate.look(70_000)
    assert gate.paused
    gate.look(80_000)
    gate.look(140_000)  # nothing came at all
    assert (gate.flooding, gate.paused) == (False, False)


def test_a_drained_flood_never_pauses_and_ends_when_most_is_good_again() -> None:
    policy = FloodPolicy(records=100, pauses=False)
    gate = flooded(policy)
    assert (gate.flooding, gate.paused, gate.probing) == (True, False, False)
    gate.saw(1_000, 5_000, {"not_json": 5_000})
    assert gate.flooding
    assert gate.rejected == {"not_json": 5_120}
    gate.saw(30_000, 6_000, {})
    assert not gate.flooding
    late = flooded(policy)
    late.look(60_000)
    assert not late.flooding
