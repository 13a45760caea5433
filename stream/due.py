"""What the evaluator does at a look, and in which order: the window that closed first comes first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from stream.held_model import HeldModel
from stream.keys import PaneKey
from stream.pane_reader import pane_key
from stream.turn import Turn
from stream.watermarks import GlobalWatermark

WINDOWS_PER_TURN = 64
WINDOWS_PER_LOOK = 1_024
TURNS_TO_FOLD = 16
MS_PER_LABELLED = 30
NEVER_MS = 1 << 62


def due(models: Iterable[HeldModel], now: Mapping[str, GlobalWatermark]) -> tuple[list[Turn], list[Turn]]:
    """Turns of models with windows to evaluate or to state again, and empty ones of others that have labels.

    Where many models wait, each has a few of its windows at a time. A model that is ahead has no turn.
    """
    turns, labelled = [], []
    for held in models:
        if held.ahead is not None:
            continue
        turn = Turn(held)
        for key, windows in held.open.items():
            if ends := windows.closed_by(now[key.source].ms):
                turn.closed[key] = ends
        for key, late in held.restate.items():
            if late:
                turn.restated[key] = sorted(late)[:WINDOWS_PER_TURN]
        if turn.closed or turn.restated:
            turns.append(turn)
        elif held.labels is not None:
            labelled.append(turn)
    share = max(1, min(WINDOWS_PER_TURN, WINDOWS_PER_LOOK // max(1, len(turns))))
    for turn in turns:
        turn.closed = {key: ends[:share] for key, ends in turn.closed.items()}
    return sorted(turns, key=lambda turn: (turn.due_ms, turn.model)), labelled


def to_fold(labelled: Sequence[Turn], *, now_ms: int, every_ms: int) -> list[Turn]:
    """Those whose labels are looked at now, though none of their windows is due; longest ago first.

    Each model waits longer the more there are, so that windows find a free evaluator. ``now_ms`` is
    monotonic; with an ``every_ms`` of 0 it is all of them at every look.
    """
    if not every_ms:
        return list(labelled)
    since_ms = now_ms - every_ms - MS_PER_LABELLED * len(labelled)
    waiting = [turn for turn in labelled if turn.held.folded_ms <= since_ms]
    return sorted(waiting, key=lambda turn: turn.held.folded_ms)[:TURNS_TO_FOLD]


def over(models: Iterable[HeldModel], now: Mapping[str, GlobalWatermark]) -> dict[str, list[PaneKey]]:
    """Panes, by source, whose windows can no longer be restated; they are let go of.

    Never one whose window waits for its turn.
    """
    panes: dict[str, list[PaneKey]] = {}
    for held in models:
        for key, live in held.panes.items():
            starts = live.over_by(now[key.source].data_ms)
            if not starts or held.restate[key] or held.open[key].closed_by(now[key.source].ms):
                continue
            panes.setdefault(key.source, []).extend(pane_key(held.plan, key, start) for start in starts)
            live.discard(starts)
    return panes


def until_close(models: Iterable[HeldModel], now: Mapping[str, GlobalWatermark]) -> int:
    """By how many ms a watermark has to move until a window closes; :data:`NEVER_MS` = none is open."""
    return min(
        (
            next_ms - watermark_ms
            for held in models
            for key, windows in held.open.items()
            if (next_ms := windows.next_close_ms) is not None
            and (watermark_ms := now[key.source].ms) is not None
        ),
        default=NEVER_MS,
    )
