from __future__ import annotations

from stream.watermarks import GlobalWatermark, PartitionClock, WatermarkTracker


class Watch:
    """A tracker with a monotonic clock of its own, moved by hand."""

    def __init__(self) -> None:
        self.tracker = WatermarkTracker(lease_ms=5_000)
        self.monotonic_ms = 0

    def see(
        self, *clocks: tuple[int | None, int], after_ms: int = 1_000, now_ms: int = 1_000_000
    ) -> GlobalWatermark:
        self.monotonic_ms += after_ms
        states = {p: PartitionClock(watermark, beat) for p, (watermark, beat) in enumerate(clocks)}
        return self.tracker.observe(states, monotonic_ms=self.monotonic_ms, now_ms=now_ms)


def test_the_slowest_partition_decides() -> None:
    assert Watch().see((500, 0), (300, 0)).ms == 300


def test_a_partition_without_any_event_holds_all_windows_back() -> None:
    assert Watch().see((500, 0), (None, 0)).ms is None


def test_no_partitions_known_is_no_watermark() -> None:
    assert Watch().see().ms is None


def test_it_never_goes_back() -> None:
    watch = Watch()
    watch.see((500, 0), (500, 0))
    assert watch.see((500, 0), (200, 0)).ms == 500


def test_an_idle_partition_is_passed_only_after_two_more_beats() -> None:
    watch = Watch()
    assert watch.see((500, 0), (None, 1)).ms is None
    assert watch.see((500, 0), (None, 2)).ms is None
    assert watch.see((500, 0), (None, 3)).ms == 500


def test_a_partition_that_wakes_up_meanwhile_counts_again() -> None:
    watch = Watch()
    watch.see((500, 0), (100, 1))
    assert watch.see((600, 0), (150, 0)).ms == 150


def test_a_beat_that_stands_still_is_a_dead_owner_and_holds_windows_back() -> None:
    watch = Watch()
    watch.see((500, 0), (100, 1))
    assert watch.see((700, 0), (100, 1), after_ms=6_000).ms == 100


def test_when_all_are_idle_the_wall_clock_closes_what_is_past() -> None:
    watch = Watch()
    watch.see((500, 0), (400, 0))
    for beat in (1, 2):
        assert watch.see((500, beat), (400, beat), now_ms=9_000).ms == 400
    flushed = watch.see((500, 3), (400, 3), now_ms=9_500)
    assert flushed.ms == 9_000
    assert flushed.data_ms == 400


def test_an_idle_flush_does_not_make_a_resuming_stream_late() -> None:
    watch = Watch()
    for beat in range(1, 6):
        watch.see((None, beat), (None, beat), now_ms=90_000 + beat)
    assert watch.see((500, 0), (None, 6), now_ms=91_000).ms is None
    assert watch.see((600, 0), (550, 0), now_ms=91_000).ms == 550


def test_an_old_idle_candidate_cannot_push_a_partition_that_has_just_woken() -> None:
    watch = Watch()
    for beat in range(1, 6):
        watch.see((None, beat), (None, beat), now_ms=90_000)
    assert watch.see((500, 0), (None, 6), now_ms=91_000).ms is None
    assert watch.see((500, 0), (None, 7), now_ms=91_000).ms is None
    assert watch.see((500, 0), (None, 8), now_ms=91_000).ms == 500


def test_beats_that_began_anew_do_not_confirm_what_was_seen_before() -> None:
    watch = Watch()
    watch.see((500, 0), (100, 57))
    for beat in range(1, 4):  # claimed, counted to its end and idle again, unseen by us
        ms = watch.see((500, 0), (400, beat)).ms
    assert ms == 500


def test_a_stored_watermark_that_went_back_is_noticed() -> None:
    watch = Watch()
    watch.see((500, 0), (None, 0))
    assert not watch.tracker.went_back({0: PartitionClock(500), 1: PartitionClock(None)})
    assert not watch.tracker.went_back({0: PartitionClock(600), 1: PartitionClock(10)})
    assert watch.tracker.went_back({0: PartitionClock(499), 1: PartitionClock(None)})
    assert watch.tracker.went_back({0: PartitionClock(None), 1: PartitionClock(None)})
    assert watch.tracker.went_back({})


def test_an_idle_flush_lasts_while_all_stay_idle() -> None:
    watch = Watch()
    for beat in (1, 2, 3):
        watch.see((500, beat), now_ms=9_000)
    assert watch.see((500, 3), now_ms=9_250).ms == 9_000
