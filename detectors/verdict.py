"""What a monitor answers: plain frozen records, every number finite or ``None`` as JSON wants.

``msgspec.json.encode`` writes them, ``msgspec.to_builtins`` makes dictionaries of them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["ok", "drift", "not_enough_data"]
Severity = Literal["none", "ticket", "page"]


class CellChange(msgspec.Struct, frozen=True, gc=False):
    """A cell that moved: its label, its share in the reference and in the window."""

    label: str
    reference_share: float
    share: float


class FeatureVerdict(msgspec.Struct, frozen=True, gc=False):
    """One column of a verdict.

    Attributes
    ----------
    drifted
        Whether the column is part of the drift.
    effect
        Size of the most surprising change, in standard deviations of the reference (for a cell: of its
        share).
    p_value
        Its p-value, corrected for the components and lookbacks that were looked at; ``None`` without enough
        data.
    threshold
        The effect at which this change would have been called drift, with the data at hand.
    component, lookback
        What changed (``location``, ``scale``, ``skew``, ``tails``, a cell's label, or ``correlation``: its
        histogram is as it was, what changed is how it depends on others), over how many slices.
    integrity
        Whether missing, invalid or unseen values went up significantly.
    n
        Rows of the window shown. All numbers below are over the window shown too.
    psi, chi2, js, hellinger, tv
        Distances over all cells; ``chi2`` is Pearson's statistic.
    ks, wasserstein
        Distances over the values of numeric columns; ``wasserstein`` in standard deviations of the reference.
    cells
        The cells that moved most; only where drifted.
    """

    name: str
    role: str
    drifted: bool
    effect: float | None
    p_value: float | None
    threshold: float | None
    component: str | None
    lookback: int | None
    integrity: bool
    n: int
    psi: float | None
    ks: float | None
    chi2: float | None
    js: float | None
    wasserstein: float | None
    hellinger: float | None
    tv: float | None
    missing_ratio: float | None
    unseen_ratio: float | None
    invalid_ratio: float | None
    cells: tuple[CellChange, ...] = ()


class PairVerdict(msgspec.Struct, frozen=True, gc=False):
    """Two columns whose dependence changed, and neither of them by itself.

    The correlations are those of the location scores (close to Spearman's), of the reference and of the
    window shown.
    """

    names: tuple[str, str]
    drifted: bool
    reference_correlation: float
    correlation: float
    p_value: float


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What one slice of data says about a model.

    Attributes
    ----------
    status
        ``not_enough_data`` while slices are pooled until they hold ``min_samples`` rows.
    drifted
        Whether any column drifted.
    n
        Rows of the window shown.
    severity
        ``page`` when a model output or the integrity of the data moved, else ``ticket``.
    new_episode
        Whether drift begins here, after at least two quiet slices.
    notify
        Whether to tell somebody: a new episode, or one whose effect doubled or whose columns grew in number.
    """

    status: Status
    drifted: bool
    n: int
    severity: Severity
    features: tuple[FeatureVerdict, ...]
    new_episode: bool
    notify: bool = False
    pairs: tuple[PairVerdict, ...] = ()

    @property
    def drifted_names(self) -> tuple[str, ...]:
        """Names of the columns that drifted."""
        return tuple(feature.name for feature in self.features if feature.drifted)
