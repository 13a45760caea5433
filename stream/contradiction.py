"""Labels against estimates over the last slices: a small contradiction shows in many labels only. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from detectors.estimation.disagreement import Disagreement, disagreement
from detectors.estimation.estimator import Estimate
from stream.performance_records import PastEstimate

LOOKBACKS = (1, 2, 4, 8, 16)
AGREEMENT = 2.5


class Compared(msgspec.Struct, array_like=True, frozen=True):
    """A slice whose labels have come: the realized metric, of how many labels, and what was estimated."""

    realized: float
    labels: int
    estimate: PastEstimate

    @property
    def difference(self) -> float:
        """Realized less estimated."""
        return self.realized - self.estimate.value

    @property
    def error(self) -> float:
        """Standard error of the difference."""
        return math.sqrt(self.estimate.row_variance / max(self.labels, 1) + self.estimate.model_error**2)


def together(estimates: Sequence[PastEstimate], weights: Sequence[int] | None = None) -> Estimate | None:
    """The estimate of several slices as one, each with the weight of its rows, or with those given."""
    weights = [each.n for each in estimates] if weights is None else weights
    total = sum(weights)
    if not total:
        return None

    def mean(values: Sequence[float]) -> float:
        return sum(v * weight for v, weight in zip(values, weights, strict=True)) / total

    error = mean([each.model_error for each in estimates])  # of one reference: it does not average out
    return Estimate(
        value=mean([each.value for each in estimates]),
        standard_error=error,
        row_variance=mean([each.row_variance for each in estimates]),
        model_error=error,
        n=sum(each.n for each in estimates),
    )


def strongest(metric: str, recent: Sequence[Compared], *, arl: float, min_effect: float) -> Disagreement:
    """The strongest contradiction of the last 1, 2, 4, 8 or 16 slices, newest last.

    The alarms are shared among the lookbacks (Bonferroni). What the newest slice clearly does not show any
    more has ended: it may fall short of the mean by 2.5 standard errors.
    """
    found = []
    newest = recent[-1]
    for span in (span for span in LOOKBACKS if span <= len(recent)):
        slices = recent[-span:]
        labels = [each.labels for each in slices]
        expected = together([each.estimate for each in slices], labels)
        assert expected is not None  # a slice without labels is not compared
        realized = sum(each.realized * each.labels for each in slices) / sum(labels)
        verdict = disagreement(
            metric, expected, realized, sum(labels), arl=arl, min_effect=min_effect, looks=len(LOOKBACKS)
        )
        sign = math.copysign(1.0, realized - expected.value)
        fallen = abs(realized - expected.value) - sign * newest.difference
        if span == 1 or fallen <= AGREEMENT * newest.error:
            found.append(verdict)
    return max(found, key=lambda verdict: abs(verdict.z))
