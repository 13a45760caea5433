r"""A drop of the performance that is estimated without labels: harm seen before any label says so. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from scipy.special import ndtri

from detectors.estimation.disagreement import LOWER_IS_BETTER, tolerance
from detectors.estimation.estimator import Estimate
from detectors.estimation.table import PerformanceEntry
from stream.alerts import Alert
from stream.findings import Finding, Judged
from stream.incidents import Incident, IncidentBook, IncidentPolicy
from stream.records import WindowRecord

KIND = "estimated_performance_drop"


class EstimatedDrop:
    r"""Compares the estimate of each slice with the reference.

    Parameters
    ----------
    metric
        The one to watch, which the reference knows the variation of.
    arl
        Slices between two false alarms.
    min_effect
        Smallest loss that matters: absolute for shares, relative for errors of values.
    min_rows
        Rows that a verdict needs.

    Notes
    -----
    The loss less ``min_effect`` is put over :math:`\sqrt{v/n + \tau^2 + s^2}`: sampling noise and
    between-window variance of the *realized* metric, which is more than the estimate's own, and the standard
    error of the estimate. Critical is the one-sided normal quantile of :math:`1/\mathrm{arl}`.
    """

    def __init__(
        self,
        entry: PerformanceEntry,
        metric: str,
        *,
        policy: IncidentPolicy,
        arl: float,
        min_effect: float,
        min_rows: int,
    ) -> None:
        self.metric = metric
        self._known, self._variation = entry.metrics[metric], entry.variation[metric]
        self._tolerated = tolerance(metric, self._known, min_effect)
        self._critical = float(-ndtri(1.0 / arl))
        self._min_rows = min_rows
        self._book = IncidentBook(policy)

    def observe(
        self, record: WindowRecord, estimate: Estimate | None, trust: Mapping[str, Any] | None
    ) -> list[Alert]:
        """Judge the estimate of the newest slice of ``record``'s window; the notifications it causes.

        ``trust`` is how far earlier estimates were from the truth.
        """
        if estimate is None or estimate.n < self._min_rows:
            return []
        loss = estimate.value - self._known
        loss = loss if self.metric in LOWER_IS_BETTER else -loss
        noise = self._variation.row_variance / estimate.n + self._variation.tau2 + estimate.model_error**2
        threshold = self._tolerated + self._critical * math.sqrt(noise)
        finding = Finding(names=[self.metric], effect=abs(loss), severity="page")
        evidence = {
            "window_start_ms": record.window_start_ms,
            "window_end_ms": record.window_end_ms,
            "metric": self.metric,
            "estimated": float(estimate.value),
            "standard_error": float(estimate.standard_error),
            "reference": self._known,
            "threshold": threshold,
            "n": estimate.n,
            "track_record": trust,
        }
        return self._book.observe(
            Judged(
                model=record.model,
                version=record.version,
                window_start_ms=record.window_start_ms,
                window_end_ms=record.window_end_ms,
                findings={KIND: finding} if loss > threshold else {},
                describe=lambda _: (
                    f"{self.metric} estimated at {estimate.value:.4f} ± {estimate.standard_error:.4f} "
                    f"for {estimate.n} predictions without labels; reference {self._known:.4f}"
                ),
                evidence=lambda _: evidence,
            )
        )

    def incidents(self) -> list[Incident]:
        """The open incidents."""
        return self._book.snapshot()

    def restore(self, incidents: Iterable[Incident]) -> None:
        """Take up stored incidents."""
        self._book = IncidentBook(self._book.policy, incidents)
