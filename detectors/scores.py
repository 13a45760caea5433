r"""Score components of a histogram: what about a column can move, each in units of the reference's spread.

A component averages a score :math:`\varphi_m(b)` over the rows; the score has mean 0 and variance 1 under
the reference, so the average is an effect size: a mean shift of D standard deviations gives a location
component of about D.

* Numeric: orthonormal polynomials of degree 1 to 4 in the mid-PIT :math:`u_b = F_b - p_b/2` (Neyman's
  smooth test, 1937): location, scale, skew and tails of the values that are there.
* Indicators :math:`1[b = k]` for every category, for numeric values with a cell of their own, and for
  missing, invalid and unseen.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.binning import SPECIAL_CELLS, Binning, NumericBins

Floats = NDArray[np.float64]

DEGREES = ("location", "scale", "skew", "tails")
WEIGHTS = (6.0, 2.0)
"""Budget of location and of scale where another component gets 1."""
SPECIAL_WEIGHTS = (2.0, 1.0, 2.0)
"""Budget of missing, invalid and unseen."""
RARE_SHARE = 1e-4
"""Effects of rarer cells are measured as if they had this share: one row in thousands is none."""


class Sums(NamedTuple):
    """Score sums of a slice: ``total`` over ``n`` rows, per component; indicators count hits."""

    total: Floats
    n: Floats


class Components(Protocol):
    """What is decided on: components, each of one owner. :class:`Scores` says what the attributes are."""

    owner: NDArray[np.intp]
    per_column: tuple[int, ...]
    multiplicity: Floats
    location: NDArray[np.intp]
    share: Floats
    scale: Floats
    skew: Floats
    reference: Sums

    @property
    def is_indicator(self) -> NDArray[np.bool_]:
        """Tell indicators from scores of variance 1."""
        ...

    @property
    def integrity(self) -> NDArray[np.bool_]:
        """Tell the components that watch missing, invalid or unseen cells."""
        ...

    def effects(self, sums: Sums) -> Floats:
        """Return the mean score per component in units of the reference's spread; 0 without rows."""
        ...


class Scores:
    """The score components of all columns of a reference, in column order.

    Attributes (M components in all)
    ----------
    owner
        Column of each component, int ``(M,)``.
    cell
        Cell of an indicator, -1 for a polynomial, int ``(M,)``.
    multiplicity
        What a component's p-value is to be multiplied by among those of its column: a Bonferroni correction
        with weights (Holm 1979), so the reciprocals add up to 1. Unequal for numbers: most drifts are
        shifts, and hardly any leave a column's location, scale and missing share as they were.
    location
        For scale, skew and tails the component of the column's location; -1 for all others.
    share, scale
        Reference share of an indicator's cell and the spread its effect is measured in; 0 and 1 for
        polynomials.
    skew
        Third moment of the polynomial scores under the reference; 0 for indicators.
    reference
        Sums over the reference itself.
    """

    def __init__(self, binning: Binning, cells: NDArray[np.int64]) -> None:
        self.binning = binning
        polynomials = [_polynomials(binning, cells, j) for j in range(len(binning.names))]
        indicators = [_indicator_cells(binning, j) for j in range(len(binning.names))]
        self.per_column = tuple(len(a) + len(b) for a, b in zip(polynomials, indicators, strict=True))
        self.owner = np.repeat(np.arange(len(binning.names)), self.per_column)
        self.cell = np.array(
            [k for a, b in zip(polynomials, indicators, strict=True) for k in (*[-1] * len(a), *b)],
            dtype=np.intp,
        )
        self.multiplicity = np.concatenate(
            [
                _multiplicity(len(a), b, binning.width - len(SPECIAL_CELLS))
                for a, b in zip(polynomials, indicators, strict=True)
            ]
        )
        first = np.searchsorted(self.owner, self.owner)
        self.location = np.where((self.cell < 0) & (first < np.arange(first.size)), first, -1)
        self._weights = np.concatenate([*polynomials, np.empty((0, binning.width))])
        self._smooth = np.flatnonzero(self.cell < 0)
        self._hits = np.flatnonzero(self.cell >= 0)
        self._smooth_owner = self.owner[self._smooth]
        self._hit_cell = self.owner[self._hits] * binning.width + self.cell[self._hits]
        self.share = np.zeros(self.owner.size)
        self.scale = np.ones(self.owner.size)
        self.reference = self.sums(cells)
        hits = self._hits
        self.share[hits] = self.reference.total[hits] / np.maximum(self.reference.n[hits], 1.0)
        smaller = np.maximum(np.minimum(self.share[hits], 1.0 - self.share[hits]), RARE_SHARE)
        self.scale[hits] = np.sqrt(smaller * (1.0 - smaller))
        self.skew = np.zeros(self.owner.size)
        values = _value_shares(binning, cells)[self.owner[self._smooth]]
        self.skew[self._smooth] = np.einsum("pk,pk->p", values, self._weights**3)

    @cached_property
    def is_indicator(self) -> NDArray[np.bool_]:
        """Tell indicators from polynomials."""
        return self.cell >= 0

    @cached_property
    def integrity(self) -> NDArray[np.bool_]:
        """Tell the components that watch missing, invalid or unseen cells."""
        return self.cell >= self.binning.width - len(SPECIAL_CELLS)

    def sums(self, cells: NDArray[np.int64]) -> Sums:
        """Sum the scores of counts ``(d, K)``: polynomials over rows with a value, else over all."""
        width = self.binning.width
        total, n = np.empty(self.owner.size), np.empty(self.owner.size)
        # Every column holds the same rows.
        n.fill(cells[:1].sum())
        special = cells[:, width - len(SPECIAL_CELLS) :].sum(axis=1)
        n[self._smooth] = n[:1] - special[self._smooth_owner]
        # einsum adds in a fixed order, where a matrix product may not.
        values = cells.take(self._smooth_owner, axis=0).astype(np.float64)
        total[self._smooth] = np.einsum("pk,pk->p", values, self._weights)
        total[self._hits] = cells.ravel().take(self._hit_cell)
        return Sums(total, n)

    def weights(self, components: NDArray[np.intp]) -> Floats:
        """Return the scores of every cell for some polynomial components, ``(components, K)``."""
        weights: Floats = self._weights[np.searchsorted(self._smooth, components)]
        return weights

    def effects(self, sums: Sums) -> Floats:
        """Return the mean score per component in units of the reference's spread; 0 without rows."""
        if sums.n.min(initial=1.0) > 0:
            mean = sums.total / sums.n
        else:
            share = np.broadcast_to(self.share, sums.n.shape).copy()
            mean = np.divide(sums.total, sums.n, out=share, where=sums.n > 0)
        effect: Floats = (mean - self.share) / self.scale
        return effect

    def name(self, component: int) -> str:
        """Say what a component watches: ``location``, ..., or the label of its cell."""
        return self.component_names[component]

    @cached_property
    def component_names(self) -> tuple[str, ...]:
        """What :meth:`name` says of every component."""
        names: list[str] = []
        first = np.cumsum([0, *self.per_column])
        for j, column in enumerate(self.binning.names):
            labels = self.binning.cell_labels(column)
            cells = self.cell[first[j] : first[j + 1]].tolist()
            names += [labels[cell] if cell >= 0 else DEGREES[i] for i, cell in enumerate(cells)]
        return tuple(names)


def _value_shares(binning: Binning, cells: NDArray[np.int64]) -> Floats:
    """Shares among the rows with a value, zero in the special cells, ``(d, K)``."""
    values = cells.astype(np.float64)
    values[:, binning.width - len(SPECIAL_CELLS) :] = 0.0
    share: Floats = values / np.maximum(values.sum(axis=1, keepdims=True), 1.0)
    return share


def _indicator_cells(binning: Binning, j: int) -> list[int]:
    column = binning.columns[j]
    missing, invalid, unseen = range(binning.width - 3, binning.width)
    if isinstance(column, NumericBins):
        return [*column.atoms, missing, invalid]
    levels = column.value_cells if column.rare else column.value_cells - 1  # nothing can fall into `other`
    return [*range(levels), missing, invalid, unseen]


def _multiplicity(polynomials: int, indicators: list[int], missing: int) -> Floats:
    """Return the multiplicities of one column's components, ``missing`` being the first special cell."""
    smooth = np.ones(polynomials)
    smooth[: len(WEIGHTS)] = WEIGHTS[:polynomials]
    levels = [cell for cell in indicators if cell < missing]
    # Where nothing is ordered, the levels have what location and scale have.
    level = 1.0 if polynomials else sum(WEIGHTS) / max(len(levels), 1)
    special = [SPECIAL_WEIGHTS[cell - missing] for cell in indicators if cell >= missing]
    weights = np.array([*smooth, *[level] * len(levels), *special])
    multiplicity: Floats = weights.sum() / weights
    return multiplicity


def component_counts(binning: Binning, cells: NDArray[np.int64]) -> list[int]:
    """Return how many components each column has, :attr:`Scores.per_column`, without making any."""
    occupied = np.count_nonzero(cells[:, : binning.width - len(SPECIAL_CELLS)], axis=1).tolist()
    return [
        len(_indicator_cells(binning, j))
        + (min(len(DEGREES), occupied[j] - 1) if isinstance(column, NumericBins) and occupied[j] > 1 else 0)
        for j, column in enumerate(binning.columns)
    ]


def location_scores(binning: Binning, cells: NDArray[np.int64], j: int) -> Floats:
    """Return the location score of every cell of numeric column ``j``, that has several values, ``(K,)``."""
    scores: Floats = _polynomials(binning, cells, j, most=1)[0]
    return scores


def _polynomials(binning: Binning, cells: NDArray[np.int64], j: int, *, most: int = len(DEGREES)) -> Floats:
    """Polynomials of column ``j`` over its cells, ``(degrees, K)``; none for categories and constants."""
    column = binning.columns[j]
    p = _value_shares(binning, cells[j : j + 1])[0]
    occupied = int(np.count_nonzero(p))
    if not isinstance(column, NumericBins) or occupied < 2:
        return np.empty((0, binning.width))
    u = 2.0 * (np.cumsum(p) - p / 2.0) - 1.0
    u[column.value_cells :] = 0.0
    basis = orthonormal(u[: column.value_cells], p[: column.value_cells], min(most, occupied - 1))
    weights = np.zeros((len(basis), binning.width))
    weights[:, : column.value_cells] = basis
    return weights


def orthonormal(u: Floats, p: Floats, degree: int) -> Floats:
    """Return polynomials in ``u`` of degree 1 to ``degree``, orthonormal under weights ``p``.

    Modified Gram-Schmidt, twice over for accuracy; the highest coefficient is positive.
    """
    basis = [np.ones_like(u)]
    for _ in range(degree):
        vector = u * basis[-1]
        for _ in range(2):
            for known in basis:
                vector = vector - np.sum(p * vector * known) * known
        basis.append(vector / np.sqrt(np.sum(p * vector * vector)))
    return np.array(basis[1:])
