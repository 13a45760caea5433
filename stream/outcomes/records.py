"""The ``performance`` object of a window's record: what labels show, what was estimated without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from detectors.estimation.estimator import Estimate
from detectors.performance import PerformanceSpec
from stream.outcomes.panes import OutcomePane, StratumOutcomes, merged
from stream.outcomes.stratum import Stratum

LIVE = "live"
LEAST_LOSS = 0.01
"""Smallest loss of performance that matters: absolute for shares, relative for errors of values."""


@dataclass(frozen=True, kw_only=True)
class LabelRules:
    """How the labels of one model are waited for and judged. Times in ms.

    Parameters
    ----------
    horizon_ms
        How far a label may lie from its prediction. What is known then is final.
    settle_ms
        How long after its end a window is judged by the labels that have come.
    negative
        The class that silence stands for ``negative_after_ms`` after the prediction; None = silence is none.
    min_n
        Outcomes that a metric needs to be told.
    restate_ms
        How long after it was final a window is remembered, should labels come all the same.
    min_effect
        Smallest loss of performance that matters: absolute for shares, relative for errors of values.
    """

    spec: PerformanceSpec
    horizon_ms: int
    settle_ms: int
    negative: float | None = None
    negative_after_ms: int = 0
    min_n: int = 1
    min_effect: float = LEAST_LOSS
    restate_ms: int = 0


class PastEstimate(msgspec.Struct, array_like=True, frozen=True):
    """What was estimated of a slice before its labels came."""

    value: float
    row_variance: float
    model_error: float
    n: int

    @classmethod
    def of(cls, estimate: Estimate) -> PastEstimate:
        """What is kept of an estimate."""
        return cls(
            float(estimate.value), float(estimate.row_variance), float(estimate.model_error), estimate.n
        )


@dataclass(frozen=True)
class WindowOutcomes:
    """The outcome panes of one window, and which stratum is what."""

    panes: tuple[OutcomePane, ...]
    strata: Mapping[int, Stratum]
    rules: LabelRules

    def of(self, version: str, wanted: Callable[[Stratum], bool] = lambda _: True) -> StratumOutcomes:
        """The outcomes of a version in the strata that are ``wanted``, together."""
        numbers = {n for n, each in self.strata.items() if each.version == version and wanted(each)}
        return merged(self.panes, self.rules.spec, numbers.__contains__)

    @property
    def labelled(self) -> int:
        """Number of predictions that have their label, of all strata."""
        return sum(part.labelled for pane in self.panes for part in pane.strata.values())

    @property
    def incomplete(self) -> bool:
        """Whether some of the outcomes were damaged after they were stored."""
        return any(pane.damaged for pane in self.panes)

    def predictions(self, version: str) -> int:
        """Number of predictions of the version's traffic."""
        live = {n for n, each in self.strata.items() if each.version == version and each.variant == LIVE}
        return sum(part.predictions for pane in self.panes for n, part in pane.strata.items() if n in live)

    def live(self, version: str) -> StratumOutcomes:
        """The outcomes of the version's traffic."""
        return self.of(version, lambda stratum: stratum.variant == LIVE)


def realized(
    outcomes: StratumOutcomes, rules: LabelRules, *, final: bool, age_ms: int | None = None
) -> dict[str, Any]:
    """Performance by the labels that have come.

    Parameters
    ----------
    age_ms
        How far the labels' watermark lies past the end of the window: decides whether silence is an answer.
    """
    answered = rules.negative is not None and age_ms is not None and age_ms >= rules.negative_after_ms
    counts = outcomes.with_silence() if answered else outcomes.performance
    metrics = counts.metrics(min_n=rules.min_n)
    errors = counts.standard_errors(min_n=max(rules.min_n, 2))
    delays = outcomes.delays.metrics()
    return {
        **metrics,
        "n": counts.n,
        "predictions": outcomes.predictions,
        "coverage": _share(outcomes.labelled, outcomes.predictions),
        "final": final,
        "delay_p50_ms": delays["p50_ms"],
        "delay_p95_ms": delays["p95_ms"],
        "standard_errors": {name: error for name, error in errors.items() if error is not None},
        **_worth(outcomes),
    }


def estimated_of(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """Performance estimated without labels: metrics by name, with their standard errors."""
    if not estimates:
        return {}
    errors = {name: float(each.standard_error) for name, each in estimates.items()}
    return {
        **{name: float(each.value) for name, each in estimates.items()},
        "standard_error": next(iter(errors.values())),
        "standard_errors": errors,
    }


def breakdown(
    window: WindowOutcomes, version: str, *, final: bool, age_ms: int | None
) -> dict[str, dict[str, Any]]:
    """Realized performance by segment of the live traffic, and by other variant, where there are any."""
    rules = window.rules

    def told(wanted: Callable[[Stratum], bool]) -> dict[str, Any]:
        return realized(window.of(version, wanted), rules, final=final, age_ms=age_ms)

    present = {number for pane in window.panes for number in pane.strata}
    mine = [each for n, each in window.strata.items() if n in present and each.version == version]
    segments = {
        f"{name}={value}": told(_in_segment(name, value))
        for name, value in _distinct(pair for each in mine for pair in each.segments.items())
    }
    variants = {
        variant: told(_of_variant(variant))
        for variant in _distinct(each.variant for each in mine if each.variant != LIVE)
    }
    parts = {"segments": segments, "variants": variants}
    return {
        part: seen
        for part, by_name in parts.items()
        if (seen := {name: each for name, each in by_name.items() if each["predictions"]})
    }


def _in_segment(name: str, value: str) -> Callable[[Stratum], bool]:
    return lambda stratum: stratum.variant == LIVE and stratum.segments.get(name) == value


def _of_variant(variant: str) -> Callable[[Stratum], bool]:
    return lambda stratum: stratum.variant == variant


def _distinct(values: Iterable[Any]) -> list[Any]:
    return sorted(set(values))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _worth(outcomes: StratumOutcomes) -> dict[str, Any]:
    return {"value": outcomes.values.metrics()} if outcomes.values.n else {}
