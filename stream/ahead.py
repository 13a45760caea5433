"""Windows evaluated ahead: before they close, committed when they have.

When the windows of many models close together, the last of them is told of when all are evaluated. But a
window's events are mostly there long before it closes: it waits for late ones (``out_of_orderness`` and
``grace``). In the second half of that wait, at most half a slide before the close, the evaluator evaluates it
and keeps what came of it to itself. At the close it reads the panes again: are they stored as they were then,
the verdict is the one it would reach now, and only the commit is left to do. If not, the model's evaluation
is what was committed last, read from the store, and the window is evaluated as if nothing had been.

While a model is ahead it commits nothing else: its labels are folded and its late events restated afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping

from stream.held_model import HeldModel
from stream.turn import Turn
from stream.watermarks import GlobalWatermark
from stream.windows import WindowSpec

MOST_WASTED = 6
LEAD_MS, LEAD_MS_A_MODEL = 2_000, 40
"""How long before a close an evaluator begins at the latest, and how much sooner for each model it has."""


def lead_ms(windows: WindowSpec, *, out_of_orderness_ms: int, models: int) -> int:
    """How long before their close windows are evaluated by an evaluator of so many ``models``.

    >>> shipped = WindowSpec(size_ms=300_000, slide_ms=60_000, grace_ms=30_000)
    >>> [lead_ms(shipped, out_of_orderness_ms=5_000, models=models) for models in (1, 100, 1_000)]
    [2040, 6000, 30000]
    """
    longest = max(windows.grace_ms, (windows.grace_ms + out_of_orderness_ms) // 2)
    return min(longest, windows.slide_ms // 2, LEAD_MS + LEAD_MS_A_MODEL * models)


def soon(
    held: HeldModel, watermarks: Mapping[str, GlobalWatermark], *, out_of_orderness_ms: int, models: int
) -> Turn | None:
    """The windows of one source to evaluate ahead now; None when there are none.

    A model whose panes changed after all is left out of every second slide, then of three in four, and so on.
    ``models`` is how many the evaluator has.
    """
    lead = lead_ms(held.plan.windows, out_of_orderness_ms=out_of_orderness_ms, models=models)
    if not lead or held.ahead is not None or any(held.restate.values()):
        return None
    turn = Turn(held)
    for key, windows in held.open.items():
        first_ms, watermark_ms = windows.next_close_ms, watermarks[key.source].data_ms
        if first_ms is None or watermark_ms is None or first_ms > watermark_ms + lead:
            continue
        if first_ms <= watermark_ms:
            return None  # it is due, not soon
        if turn.closed and key.source not in {each.source for each in turn.closed}:
            continue
        ends = windows.closed_by(watermark_ms + lead)
        if ends[-1] // held.plan.windows.slide_ms % (1 << held.wasted) == 0:
            turn.closed[key] = ends
    return turn if turn.closed else None


def is_due(turn: Turn, watermarks: Mapping[str, GlobalWatermark]) -> bool:
    """Whether a window that was evaluated ahead has closed, or late events want one stated again."""
    if any(turn.held.restate.values()):
        return True
    return any(windows.is_closed_by(watermarks[key.source].ms) for key, windows in turn.held.open.items())


def is_sound(turn: Turn, watermarks: Mapping[str, GlobalWatermark]) -> bool:
    """Whether exactly the windows that were evaluated ahead are the next ones, closed by events."""
    held = turn.held
    if any(held.restate.values()):
        return False
    for key, ends in turn.closed.items():
        data_ms = watermarks[key.source].data_ms
        if data_ms is None or held.open[key].closed_by(data_ms)[: len(ends)] != ends:
            return False
    return True
