"""A column of the reference as the peers' default rules see it, and what they say of a window's values.

The rules are those of the libraries, written again for speed; :mod:`benchmarks.quality_peers_check` compares
them with the libraries themselves, window by window. Missing values are left out, as Evidently and NannyML
do; alibi-detect takes them as they are, so its test of such a column has no p-value and never rejects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality_peers_statistics import (
    Floats,
    Integral,
    Test,
    chi_square,
    jensen_shannon,
    kolmogorov_smirnov,
    population_stability,
    wasserstein,
)

EVIDENTLY_LIMIT = 0.1
EVIDENTLY_FEW_VALUES = 5
PSI_BINS = 10
NATURAL = float(np.e)
NO_HOLES = False


class Said(NamedTuple):
    """What the rules' statistics say of one column in one window."""

    test: Test
    holes: bool
    evidently: bool
    nannyml: bool
    psi: float


class KnownNumbers:
    """A numeric column of the reference, in chunks of the window's size for NannyML."""

    def __init__(self, values: NDArray[Any], window_rows: int) -> None:
        ordered = values.astype(np.float64)
        sample = np.sort(ordered[~np.isnan(ordered)])
        self._holes = sample.size < ordered.size
        self._sample = Integral.of(sample)
        self._values, counts = np.unique(sample, return_counts=True)
        self._shares = counts / sample.size
        self._spread = max(float(sample.std()), 0.001)
        self._psi_edges = np.unique(np.quantile(sample, np.arange(1, PSI_BINS) / PSI_BINS))
        self._psi_shares = self._psi_counts(sample) / sample.size
        self._doane = np.histogram_bin_edges(sample, bins="doane")
        self._doane_shares = np.histogram(sample, self._doane)[0] / sample.size
        self._limit = three_sigma([self._divergence(chunk) for chunk in chunks(ordered, window_rows)])

    def judge(self, values: NDArray[Any]) -> Said:
        """Compare a window's values with the reference."""
        numbers = values.astype(np.float64)
        drawn = np.sort(numbers[~np.isnan(numbers)])
        return Said(
            kolmogorov_smirnov(self._sample.values, drawn),
            self._holes or drawn.size < numbers.size,
            self._evidently(drawn),
            self._divergence(drawn) > self._limit,
            population_stability(self._psi_shares, self._psi_counts(drawn) / drawn.size),
        )

    def _psi_counts(self, sample: Floats) -> Floats:
        bins = np.searchsorted(self._psi_edges, sample, side="right")
        return np.bincount(bins, minlength=self._psi_edges.size + 1).astype(np.float64)

    def _evidently(self, drawn: Floats) -> bool:
        """Normed Wasserstein distance; Jensen-Shannon where there are at most 5 values."""
        if self._values.size <= EVIDENTLY_FEW_VALUES:
            values, counts = np.unique(drawn, return_counts=True)
            every = np.union1d(self._values, values)
            if every.size <= EVIDENTLY_FEW_VALUES:
                known = _spread_over(every, self._values, self._shares)
                seen = _spread_over(every, values, counts / drawn.size)
                return jensen_shannon(known, seen, NATURAL) >= EVIDENTLY_LIMIT
        return wasserstein(self._sample, drawn) / self._spread >= EVIDENTLY_LIMIT

    def _divergence(self, values: Floats) -> float:
        """NannyML: Jensen-Shannon distance on Doane's bins, with a bin for what lies outside."""
        drawn = values[~np.isnan(values)]
        shares = np.histogram(drawn, self._doane)[0] / drawn.size
        return jensen_shannon(*_with_rest(self._doane_shares, shares), 2.0)


class KnownLevels:
    """A column of categories of the reference."""

    def __init__(self, values: NDArray[Any], window_rows: int) -> None:
        self._levels, counts = np.unique(values, return_counts=True)
        self._counts = counts.astype(np.float64)
        parts = [self._count(chunk)[0] for chunk in chunks(values, window_rows)]
        self._limit = three_sigma([self._divergence(part) for part in parts])

    def judge(self, values: NDArray[Any]) -> Said:
        """Compare a window's categories with the reference."""
        familiar, strange = self._count(values)
        known = np.concatenate((self._counts, np.zeros(strange.size)))
        drawn = np.concatenate((familiar, strange))
        known_shares, shares = known / known.sum(), drawn / drawn.sum()
        return Said(
            chi_square(known, drawn),
            NO_HOLES,
            jensen_shannon(known_shares, shares, NATURAL) >= EVIDENTLY_LIMIT,
            self._divergence(familiar, values.size) > self._limit,
            population_stability(known_shares, shares),
        )

    def _count(self, values: NDArray[Any]) -> tuple[Floats, Floats]:
        """Count the levels of the reference, and those that it has not."""
        levels, counts = np.unique(values, return_counts=True)
        position = np.minimum(np.searchsorted(self._levels, levels), self._levels.size - 1)
        familiar = self._levels[position] == levels
        found = np.zeros(self._levels.size)
        found[position[familiar]] = counts[familiar]
        return found, counts[~familiar].astype(np.float64)

    def _divergence(self, familiar: Floats, rows: int | None = None) -> float:
        shares = familiar / (familiar.sum() if rows is None else rows)
        return jensen_shannon(*_with_rest(self._counts / self._counts.sum(), shares), 2.0)


@dataclass(frozen=True)
class KnownTable:
    """All columns of a reference."""

    columns: dict[str, KnownNumbers | KnownLevels]

    @classmethod
    def of(
        cls, columns: Mapping[str, NDArray[Any]], categories: frozenset[str], window_rows: int
    ) -> KnownTable:
        """Take the reference's rows in order."""
        return cls(
            {
                name: (KnownLevels if name in categories else KnownNumbers)(values, window_rows)
                for name, values in columns.items()
            }
        )

    def judge(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, Said]:
        """Compare every column of a window."""
        return {name: known.judge(columns[name]) for name, known in self.columns.items()}


def chunks(values: NDArray[Any], rows: int) -> list[NDArray[Any]]:
    """Cut in order; like NannyML, keep a shorter last chunk."""
    return [values[start : start + rows] for start in range(0, len(values), rows)]


def three_sigma(distances: Sequence[float]) -> float:
    """NannyML's default threshold: mean + 3 standard deviations over the chunks of the reference."""
    return float(np.mean(distances) + 3.0 * np.std(distances))


def _with_rest(known: Floats, drawn: Floats) -> tuple[Floats, Floats]:
    rest = 1.0 - drawn.sum()
    return (np.append(known, 0.0), np.append(drawn, rest)) if rest > 0 else (known, drawn)


def _spread_over(every: Floats, values: Floats, shares: Floats) -> Floats:
    found = np.zeros(every.size)
    found[np.searchsorted(every, values)] = shares
    return found
