"""Rankings with one relevant item each: the histogram of its rank."""

from __future__ import annotations

import math

import numpy as np

from detectors.performance.exact import exact_sums
from detectors.performance.spec import Floats, Outcomes, PerformanceSpec, Whole
from detectors.performance.tally import Metrics, Tally, mean, mean_error, rate_error, ratio

_RANKS = 3


class Ranking:
    """Counts the ranks of relevant items.

    Counts: outcomes; rows that are none (a rank that is no whole number, or below zero); outcomes whose
    item is not in the list; ranks from 1 to the largest k. Sums: reciprocal of the rank, its square.
    """

    totals = 2

    def __init__(self, spec: PerformanceSpec) -> None:
        self._k = spec.k
        self.cells = _RANKS + max(spec.k)

    def tally(self, outcomes: Outcomes) -> Tally:
        """Count outcomes."""
        label = outcomes.label
        rank = np.where(np.isfinite(label), label, 0.0)
        usable = (rank >= 0) & (rank == np.floor(rank)) & (label != -np.inf)
        rank = rank[usable]
        listed = rank[rank > 0]
        counts = np.zeros(self.cells, dtype=np.int64)
        counts[:_RANKS] = rank.size, usable.size - rank.size, rank.size - listed.size
        within = listed[listed <= max(self._k)].astype(np.int64)
        counts[_RANKS:] = np.bincount(within - 1, minlength=max(self._k))
        reciprocal = 1.0 / listed
        return Tally(counts, exact_sums(np.stack((reciprocal, reciprocal * reciprocal))))

    def metrics(self, tally: Tally) -> Metrics:
        r"""Return hit rate, NDCG and MRR; those of the first k are named without it.

        With one relevant item, :math:`\mathrm{NDCG@k} = 1 / \log_2(1 + \mathrm{rank})` up to rank k, else 0
        (Järvelin & Kekäläinen 2002); MRR is of the whole list.
        """
        n, unusable, not_listed = tally.counts[:_RANKS].tolist()
        found: Metrics = {"n": float(n)}
        for k, name in self._named():
            ranks = self._ranks(tally, k)
            found[f"hit_rate{name}"] = ratio(int(ranks.sum()), n)
            found[f"ndcg{name}"] = ratio(math.fsum((ranks * _gain(k)).tolist()), n)
        return found | {
            "mrr": mean(tally.sums[0], n),
            "not_listed": float(not_listed),
            "unusable": float(unusable),
        }

    def standard_errors(self, tally: Tally) -> Metrics:
        """Return the standard errors: binomial for the hit rate, of means for the others."""
        n = int(tally.counts[0])
        reciprocal, square = tally.sums
        errors: Metrics = {}
        for k, name in self._named():
            ranks = self._ranks(tally, k)
            errors[f"hit_rate{name}"] = rate_error(int(ranks.sum()), n)
            errors[f"ndcg{name}"] = _mean_error(ranks, _gain(k), n)
        return errors | {"mrr": mean_error(reciprocal, square, n)}

    def by_class(self, tally: Tally) -> dict[str, Metrics]:
        """Return nothing: there are no classes."""
        del tally
        return {}

    def _named(self) -> list[tuple[int, str]]:
        return [(k, f"@{k}" if at else "") for at, k in enumerate(self._k)]

    @staticmethod
    def _ranks(tally: Tally, k: int) -> Whole:
        return tally.counts[_RANKS : _RANKS + k]


def _gain(k: int) -> Floats:
    gain: Floats = 1.0 / np.log2(np.arange(2, k + 2))
    return gain


def _mean_error(ranks: Whole, gain: Floats, n: int) -> float | None:
    if n < 2:
        return None
    average = math.fsum((ranks * gain).tolist()) / n
    square = math.fsum((ranks * gain * gain).tolist()) / n
    return math.sqrt(max(square - average * average, 0.0) / (n - 1))
