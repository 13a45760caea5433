"""One contract of the label join, two stores."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import redis

from stream.errors import Conflict
from stream.keys import ModelKeys
from stream.one_model import commit_model, load_model
from stream.outcomes.join import JoinCounts, Labels, OutcomeCommit, Predictions, Transitions
from stream.outcomes.model_rows import Joined, ModelRows
from stream.store_memory import MemoryStore
from stream.store_redis import RedisStore

HOUR = 3_600_000
HORIZON = 8 * HOUR
T0 = 1_700_000_000_000
NAN = float("nan")
Store = MemoryStore | RedisStore


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.services)])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
        yield RedisStore(client, prefix=f"t{uuid.uuid4().hex[:6]}")


def predictions(*rows: tuple[int, int], prediction: float = 1.0, score: float = 0.75) -> Predictions:
    """Rows of (id, ms after T0)."""
    n = len(rows)
    return Predictions(
        np.array([key for key, _ in rows], np.uint64),
        np.array([T0 + ms for _, ms in rows], np.int64),
        np.full(n, 3, np.uint16),
        np.full(n, prediction),
        np.full(n, score),
    )


def labels(*rows: tuple[int, int, float], supersedes: bool = False, value: float = NAN) -> Labels:
    """Rows of (id, ms after T0, label)."""
    n = len(rows)
    return Labels(
        np.array([key for key, _, _ in rows], np.uint64),
        np.array([T0 + ms for _, ms, _ in rows], np.int64),
        np.array([label for _, _, label in rows], np.float64),
        np.full(n, supersedes),
        np.full(n, value),
    )


def join(store: Store, *parts: Predictions | Labels) -> JoinCounts:
    counts = JoinCounts()
    for part in parts:
        pair = (part, None) if isinstance(part, Predictions) else (None, part)
        counts = counts.plus(store.joins.join("m", *pair, horizon_ms=HORIZON))
    return counts


def journal(store: Store) -> Transitions:
    return store.joins.journal("m", 1_000_000).transitions


def test_a_label_after_its_prediction_is_joined(store: Store) -> None:
    counts = join(store, predictions((1, 0)), labels((1, 5000, 0.0)))
    assert counts == JoinCounts(predictions=1, joined=1)
    new, labelled = journal(store)
    assert (new["ts_ms"], new["stratum"], new["prediction"], new["score"]) == (T0, 3, 1.0, 0.75)
    assert new["is_new_prediction"]
    assert not new["has_new"]
    assert (labelled["ts_ms"], labelled["prediction"], labelled["score"]) == (T0, 1.0, 0.75)
    assert (labelled["has_old"], labelled["has_new"], labelled["is_new_prediction"]) == (False, True, False)
    assert (labelled["new_label"], labelled["new_ts_ms"]) == (0.0, T0 + 5000)
    assert np.isnan(labelled["new_value"])


def test_a_label_before_its_prediction_waits_for_it(store: Store) -> None:
    assert join(store, labels((1, 5000, 1.0), value=12.5)) == JoinCounts(early=1)
    assert len(journal(store)) == 0
    assert join(store, predictions((1, 0))) == JoinCounts(predictions=1, joined=1, early_joined=1)
    (row,) = journal(store)
    assert (row["is_new_prediction"], row["has_old"], row["has_new"]) == (True, False, True)
    assert (row["new_label"], row["new_ts_ms"], row["new_value"]) == (1.0, T0 + 5000, 12.5)


def test_what_is_sent_again_changes_nothing(store: Store) -> None:
    parts = (predictions((1, 0), (2, 1)), labels((1, 10, 1.0), (3, 10, 1.0)))
    join(store, *parts)
    before, totals = journal(store), store.joins.join_counts("m")
    assert join(store, *parts, *parts) == JoinCounts()
    assert store.joins.join_counts("m") == totals == JoinCounts(predictions=2, joined=1, early=1)
    assert journal(store).tobytes() == before.tobytes()


def test_a_label_matched_early_is_a_duplicate_when_it_comes_again(store: Store) -> None:
    join(store, labels((1, 10, 1.0)), predictions((1, 0)))
    assert join(store, labels((1, 10, 1.0))) == JoinCounts()


def test_the_later_label_wins_in_either_order(store: Store) -> None:
    join(store, predictions((1, 0), (2, 0)))
    assert join(store, labels((1, 10, 0.0)), labels((1, 20, 1.0))).corrected == 1
    assert join(store, labels((2, 20, 1.0)), labels((2, 10, 0.0))) == JoinCounts(joined=1)
    correction = journal(store)[3]
    assert (correction["has_old"], correction["old_label"], correction["old_ts_ms"]) == (True, 0.0, T0 + 10)
    assert (correction["has_new"], correction["new_label"], correction["new_ts_ms"]) == (True, 1.0, T0 + 20)


def test_a_label_that_supersedes_wins_at_the_same_time(store: Store) -> None:
    join(store, predictions((1, 0)))
    assert join(store, labels((1, 10, 1.0)), labels((1, 10, 0.0), supersedes=True)).corrected == 1
    assert join(store, labels((1, 10, 1.0))) == JoinCounts()
    assert journal(store)[-1]["new_label"] == 0.0


@pytest.mark.parametrize("order", [(0.0, 1.0), (1.0, 0.0)])
def test_labels_that_contradict_each_other_are_counted_once(store: Store, order: tuple[float, float]) -> None:
    join(store, predictions((1, 0)))
    both = [labels((1, 10, label)) for label in order]
    assert join(store, *both, *both).conflicting == 1
    assert journal(store)[-1]["new_label"] == 1.0
    assert join(store, *both) == JoinCounts()


def test_a_value_breaks_the_tie(store: Store) -> None:
    join(store, predictions((1, 0)), labels((1, 10, 1.0), value=3.0), labels((1, 10, 1.0)))
    assert journal(store)[-1]["new_value"] == 3.0
    join(store, labels((1, 10, 1.0), value=4.0))
    assert (journal(store)[-1]["old_value"], journal(store)[-1]["new_value"]) == (3.0, 4.0)


def test_a_label_after_the_horizon_is_counted_and_not_joined(store: Store) -> None:
    join(store, predictions((1, 0), (2, 0)))
    late = labels((1, HORIZON + 1, 1.0))
    assert join(store, late, late) == JoinCounts(after_horizon=1)
    assert join(store, labels((2, HORIZON, 1.0))) == JoinCounts(joined=1)
    assert join(store, labels((1, HORIZON - 1, 1.0))) == JoinCounts(joined=1)


def test_an_early_label_after_the_horizon_is_not_joined(store: Store) -> None:
    join(store, labels((1, HORIZON + 1, 1.0), (1, 7, 0.0)))
    counts = join(store, predictions((1, 0)))
    assert counts == JoinCounts(predictions=1, joined=1, early_joined=1, after_horizon=1)
    assert journal(store)[-1]["new_label"] == 0.0


def test_a_label_older_than_the_horizon_waits_for_another_prediction(store: Store) -> None:
    join(store, predictions((1, 0)))
    assert join(store, labels((1, -HORIZON - 1, 1.0))) == JoinCounts(early=1)
    assert join(store, predictions((1, -2 * HOUR))).early_joined == 1


def test_labels_find_predictions_of_every_block_in_the_horizon(store: Store) -> None:
    spread = predictions(*((key, key * HORIZON // 40) for key in range(41)))
    assert join(store, spread).predictions == 41
    assert join(store, labels(*((key, HORIZON, 1.0) for key in range(41)))).joined == 41
    assert join(store, labels(*((key, 0, 1.0) for key in range(41)))) == JoinCounts()


def test_a_changed_horizon_keeps_what_is_pending(store: Store) -> None:
    early, late = predictions((1, 0), (2, 0)), predictions((1, 5), (3, 5))
    store.joins.join("m", early, None, horizon_ms=HORIZON)
    longer = 3 * HORIZON
    assert store.joins.join("m", early, None, horizon_ms=longer) == JoinCounts()
    assert store.joins.join("m", late, None, horizon_ms=longer) == JoinCounts(predictions=1, reused=1)
    after = labels((1, 2 * HORIZON, 1.0), (3, 2 * HORIZON, 1.0))
    assert store.joins.join("m", None, after, horizon_ms=longer) == JoinCounts(joined=2)
    assert store.joins.join("m", None, labels((2, 9, 1.0)), horizon_ms=HORIZON) == JoinCounts(joined=1)
    assert sorted(journal(store)["ts_ms"].tolist()) == [T0] * 4 + [T0 + 5] * 2


def test_an_id_used_for_other_contents_keeps_the_first(store: Store) -> None:
    join(store, predictions((1, 0)))
    other = predictions((1, 0), score=0.5)
    assert join(store, other, other) == JoinCounts(reused=1)
    join(store, labels((1, 1, 1.0)))
    assert journal(store)[-1]["score"] == 0.75


@pytest.mark.parametrize(
    ("prediction", "score"),
    [
        (0.0, 0.5),
        (65534.0, NAN),
        (NAN, 0.25),
        (NAN, NAN),
        (-0.0, NAN),
        (1.5, NAN),
        (-3.25e9, 0.1),
        (65535.0, 1.0),
    ],
)
def test_predictions_come_back_bit_by_bit(store: Store, prediction: float, score: float) -> None:
    join(store, predictions((1, 0), prediction=prediction, score=score), labels((1, 5, 2.5), value=-1.0))
    for row in journal(store):
        assert np.float64(row["prediction"]).tobytes() == np.float64(prediction).tobytes()
        assert np.array_equal(row["score"], score, equal_nan=True)
    assert (journal(store)[-1]["new_label"], journal(store)[-1]["new_value"]) == (2.5, -1.0)


def test_models_do_not_meet(store: Store) -> None:
    join(store, predictions((1, 0)))
    store.joins.join("other", None, labels((1, 1, 1.0)), horizon_ms=HORIZON)
    assert store.joins.join_counts("other") == JoinCounts(early=1)
    assert store.joins.join_counts("m") == JoinCounts(predictions=1)


def test_strata_are_numbered_once(store: Store) -> None:
    assert store.joins.strata("m", ["a", "b", "a"]) == {"a": 0, "b": 1}
    assert store.joins.strata("m", ["c", "b"]) == {"c": 2, "b": 1}
    assert store.joins.strata("m", []) == {}
    assert store.joins.strata("other", ["b"]) == {"b": 0}
    assert store.joins.strata_names("m") == {0: "a", 1: "b", 2: "c"}


def test_rows_whose_strata_have_other_numbers_are_left_out(store: Store) -> None:
    store.joins.strata("m", ["a", "b"])
    rows = predictions((1, 0), (2, 0))
    sent = ModelRows.of_one("m", rows, None, horizon_ms=HORIZON)
    wrong: list[dict[str, int]] = [{"a": 0, "b": 0}, {"b": 0}, {"c": 2}]
    for strata in wrong:
        (done,) = store.joins.join_all(replace(sent, strata=[strata]))
        assert done == Joined("m", JoinCounts(), is_renumbered=True)
    assert len(journal(store)) == 0
    (done,) = store.joins.join_all(replace(sent, strata=[{"a": 0, "b": 1}]))
    assert done == Joined("m", JoinCounts(predictions=2))
    assert list(store.joins.strata_names("m")) == [0, 1]


def test_times_before_1970_are_refused() -> None:
    with pytest.raises(ValueError, match="before 1970"):
        predictions((1, 0), (2, -2 * T0))
    with pytest.raises(ValueError, match="before 1970"):
        labels((1, -2 * T0, 1.0))


def test_a_journal_is_read_in_pieces_and_trimmed_with_the_panes(store: Store) -> None:
    for key in range(3):
        join(store, predictions((key, key)))
    piece = store.joins.journal("m", 1)
    assert (len(piece.transitions), piece.base, piece.upto, piece.more) == (1, 0, 1, True)
    commit = OutcomeCommit(base=0, upto=piece.upto, panes={T0: b"pane"}, ttl_ms=60_000)
    assert commit_model(store, "m", 0, b"state", [], outcomes=commit) == 1
    assert store.joins.outcome_panes("m", [T0, T0 + 1]) == {T0: b"pane"}
    rest = store.joins.journal("m", 100)
    assert (rest.transitions["ts_ms"].tolist(), rest.base, rest.more) == ([T0 + 1, T0 + 2], 1, False)


def test_of_two_owners_one_folds(store: Store) -> None:
    join(store, predictions((1, 0)))
    (mine, mine_revision), (theirs, their_revision) = (
        (store.joins.journal("m", 10), load_model(store, "m")[0]) for _ in range(2)
    )
    join(store, predictions((2, 1)))
    commit = OutcomeCommit(base=mine.base, upto=mine.upto, panes={T0: b"mine"}, ttl_ms=60_000)
    commit_model(store, "m", mine_revision, b"", [], outcomes=commit)
    late = OutcomeCommit(base=theirs.base, upto=theirs.upto, panes={T0: b"theirs"}, ttl_ms=60_000)
    with pytest.raises(Conflict, match="revision"):
        commit_model(store, "m", their_revision, b"", [], outcomes=late)
    with pytest.raises(Conflict, match="trimmed"):
        commit_model(store, "m", load_model(store, "m")[0], b"", [], outcomes=late)
    assert store.joins.outcome_panes("m", [T0]) == {T0: b"mine"}
    assert store.joins.journal("m", 10).transitions["ts_ms"].tolist() == [T0 + 1]
    assert load_model(store, "m")[0] == 1


def test_outcome_keys_share_the_slot_of_the_model() -> None:
    keys = ModelKeys("ds", "m")
    names = (keys.state, keys.join, keys.blocks, keys.journal, keys.strata, keys.outcome(7))
    assert all(name.startswith("ds:{model:m}:") for name in names)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_of_several_waiting_labels_the_best_is_joined(store: Store, order: tuple[int, int, int]) -> None:
    waiting = [labels((1, 10, 0.0)), labels((1, 20, 0.0)), labels((1, 20, 1.0))]
    assert join(store, *(waiting[i] for i in order)) == JoinCounts(early=1)
    counts = join(store, predictions((1, 0)))
    assert counts == JoinCounts(predictions=1, joined=1, early_joined=1, conflicting=1)
    assert (journal(store)[-1]["new_ts_ms"], journal(store)[-1]["new_label"]) == (T0 + 20, 1.0)
    assert join(store, *waiting) == JoinCounts()
