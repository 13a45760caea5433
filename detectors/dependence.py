"""Dependence: judges the pairs of columns slice by slice, and names the columns behind what changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.counts import Counts
from detectors.decision import BUDGET_SHARE, Decision, Judgement
from detectors.errors import CorruptBytes
from detectors.pairs import hubs
from detectors.reference import Reference
from detectors.significance import bonferroni
from detectors.slices import Slices
from detectors.verdict import PairVerdict

Floats = NDArray[np.float64]


class Finding(NamedTuple):
    """A column behind changed pairs; the numbers are those of its most surprising pair, in correlations."""

    effect: float
    p_value: float
    threshold: float
    lookback: int


class Dependent(NamedTuple):
    """What the pairs say: the columns behind the change by name, and every pair that changed."""

    columns: dict[str, Finding]
    pairs: tuple[PairVerdict, ...]


NOTHING = Dependent({}, ())


class Dependence:
    """Judges the pairs of a reference with the rest of the false-alarm budget, by Bonferroni.

    Pairs are not positively dependent, so the Benjamini-Hochberg rule of the columns does not hold for them.

    Parameters
    ----------
    min_effects
        Smallest effect that matters by column; of a pair it is the larger one, as a correlation.
    """

    def __init__(
        self, reference: Reference, min_effects: dict[str, float], *, arl: float, lookbacks: Sequence[int]
    ) -> None:
        if reference.pairs is None or reference.pair_variation is None:
            raise ValueError("the reference does not watch pairs")
        self.scores = reference.pairs
        eps = np.array([min_effects[name] for name in self.scores.names])
        larger = np.maximum(eps[self.scores.left], eps[self.scores.right])
        self._decision = Decision(
            self.scores,
            reference.pair_variation,
            min_effect=larger / self.scores.spread,
            arl=arl,
            lookbacks=lookbacks,
            share=1.0 - BUDGET_SHARE,
            correction=bonferroni,
        )
        self._slices = Slices(self.scores.owner.size, 1, max(lookbacks))

    def add(self, counts: Counts, timestamp_ms: int | None) -> Judgement | None:
        """Judge one more slice; ``None`` where no pair changed. Counts without moments say nothing."""
        self._slices.add(self._decision.deseason(self.scores.sums(counts), timestamp_ms))
        return self._decision.alarm(self._slices)

    def attribute(self, judgement: Judgement, explained: Iterable[str], window: Counts) -> Dependent:
        """Name the columns behind the changed pairs that ``explained`` columns do not explain.

        A column that drifted by itself explains all its pairs. ``window`` is what is shown.
        """
        themselves = set(explained)
        own = np.array([name in themselves for name in self.scores.names])
        left, right = self.scores.left, self.scores.right
        flagged = judgement.drifted & ~own[left] & ~own[right]
        if not flagged.any():
            return NOTHING
        surprise = np.where(own[left] | own[right], 0.0, -np.log(np.maximum(judgement.p_value, 1e-300)))
        found = hubs(flagged, surprise, left, right)
        columns = {self.scores.names[j]: self._finding(judgement, pair) for j, pair in found.items()}
        return Dependent(columns, self._changed(judgement, flagged, window))

    def _finding(self, judgement: Judgement, pair: int) -> Finding:
        spread = self.scores.spread[pair]
        return Finding(
            effect=float(judgement.effect[pair] * spread),
            # Corrected for the number of pairs too: it stands beside p-values of whole columns.
            p_value=float(min(judgement.p_value[pair] * len(judgement.p_value), 1.0)),
            threshold=float(judgement.threshold[pair] * spread),
            lookback=int(judgement.lookback[pair]),
        )

    def _changed(
        self, judgement: Judgement, flagged: NDArray[np.bool_], window: Counts
    ) -> tuple[PairVerdict, ...]:
        now = self.scores.correlations(window)
        correlation = self.scores.correlation if now is None else now
        chosen = np.flatnonzero(flagged)
        chosen = chosen[np.argsort(judgement.p_value[chosen], kind="stable")]
        return tuple(
            PairVerdict(
                names=(self.scores.names[self.scores.left[k]], self.scores.names[self.scores.right[k]]),
                drifted=True,
                reference_correlation=float(self.scores.correlation[k]),
                correlation=float(correlation[k]),
                p_value=float(judgement.p_value[k]),
            )
            for k in chosen
        )

    def snapshot(self) -> list[bytes]:
        """Return the slices: 8 bytes a pair and slice, and 8 for its rows."""
        return self._slices.packed()

    def restore(self, slices: Sequence[bytes]) -> None:
        """Take up a snapshot. Raises :class:`CorruptBytes` when it has another number of pairs."""
        pairs = self.scores.owner.size
        for stored in slices:
            if len(stored) != self._slices.row_bytes:
                raise CorruptBytes(f"DSMN: {len(stored)} bytes do not hold a slice of {pairs} pairs")
            self._slices.load(stored)
