"""PerformanceMonitor: does a model get worse, at once or slowly, by its realized performance.

Three looks at one metric: *level*, the mean of the last windows against the reference; *trend*, the slope
over the last windows, which needs no reference that still holds; *jump*, errors against all older ones,
which is soonest where windows hold many labels.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from scipy.special import stdtrit

from detectors.errors import CorruptBytes
from detectors.estimation.disagreement import ARL, LOWER_IS_BETTER
from detectors.estimation.linear import Floats
from detectors.estimation.table import PerformanceEntry
from detectors.framing import frame, unframe
from detectors.sequential.error_monitor import ErrorMonitor
from detectors.significance import unskewed

_MAGIC = b"DSPM"
_VERSION = 1
LEVELS = (1, 2, 4, 8, 16, 32, 64)
TRENDS = (8, 16, 32, 64, 128)
AGREEMENT = 2.5
MIN_EFFECT = 0.005
LEVEL_SHARE, TREND_SHARE, JUMP_SHARE = 0.4, 0.4, 0.2
"""Shares of the false alarms that each look may cause."""

Look = Literal["level", "trend", "jump"]


class Degradation(NamedTuple):
    """What one window adds.

    Parameters
    ----------
    looks
        The looks that found the model worse; empty while nothing is found. A jump speaks in one window only.
    loss
        How much worse than the reference the last ``lookback`` windows are; positive is worse.
    slope
        How much worse it gets per window, over the span that speaks the loudest; 0 before 8 windows.
    surprise
        The larger of the statistics of level and trend, in units of what is needed for an alarm.
    """

    looks: tuple[Look, ...]
    loss: float
    lookback: int
    slope: float
    surprise: float

    @property
    def degraded(self) -> bool:
        """Whether anything was found."""
        return bool(self.looks)


class _State(msgspec.Struct, forbid_unknown_fields=True):
    """The last windows (value, labels), oldest first, and the state of the scan for jumps."""

    recent: list[tuple[float, int]] = []
    errors: bytes = b""


class PerformanceMonitor:
    r"""Follows one metric of realized performance; windows are final and in order.

    Parameters
    ----------
    entry
        What the reference knows of performance.
    metric
        One of ``entry.metrics`` that has a variation; by default accuracy, or MAE for a regression.
    arl
        Windows between false alarms, on average at least.
    min_effect
        Tolerated loss: absolute for accuracy and the like, for MAE and other errors as a share of the
        reference's.

    Raises
    ------
    ValueError
        For a metric that the reference does not know.

    Notes
    -----
    Level: the mean loss of the last L windows, for L in 1, 2, 4, ... 64, less ``min_effect``, over its
    standard error, which holds the reference's own variation between chunks; the newest window must agree.
    Trend: slope of weighted least squares over the last 8 to 128 windows, which the newest window must not
    contradict. Both are one-sided t tests at :math:`0.4 / (\mathrm{arl} \cdot \#L)`. Jump:
    :class:`detectors.ErrorMonitor`, where errors are given and the reference did not differ from chunk to
    chunk: it knows nothing of such a variation.
    """

    def __init__(
        self,
        entry: PerformanceEntry,
        metric: str | None = None,
        *,
        arl: float = ARL,
        min_effect: float = MIN_EFFECT,
    ) -> None:
        self.metric = metric or entry.main_metric
        if self.metric not in entry.metrics or self.metric not in entry.variation:
            known = ", ".join(sorted(entry.metrics.keys() & entry.variation.keys()))
            raise ValueError(f"the reference does not know {self.metric!r}: it knows {known}")
        if not arl > 1 or not min_effect >= 0:
            raise ValueError(f"arl is {arl} and min_effect {min_effect}: give more than 1, and 0 or more")
        self._known, self._variation = entry.metrics[self.metric], entry.variation[self.metric]
        self._chunks, self._rows = max(entry.chunks, 1), entry.rows
        self._sign = 1.0 if self.metric in LOWER_IS_BETTER else -1.0
        relative = self.metric in {"mae", "rmse", "mape", "log_loss"}
        self._tolerated = min_effect * (abs(self._known) if relative else 1.0)
        self._arl, self._labels_per_window = arl, max(entry.rows / self._chunks, 50.0)
        freedom = 1e6 if self._variation.dof is None else min(self._variation.dof, 1e6)
        # Student's t of 1e6 degrees of freedom stands for the normal.
        self._level_needs = float(-stdtrit(freedom, LEVEL_SHARE / (arl * len(LEVELS))))
        self._trend_needs = float(-stdtrit(freedom, TREND_SHARE / (arl * len(TRENDS))))
        self._state, self._errors = _State(), self._error_monitor()

    def _error_monitor(self, data: bytes | None = None) -> ErrorMonitor:
        arl = self._arl * self._labels_per_window / JUMP_SHARE
        return ErrorMonitor(arl=arl) if data is None else ErrorMonitor.from_bytes(data, arl=arl)

    def update(self, value: float, labels: int, *, errors: int | None = None) -> Degradation:
        """Take the next window.

        Parameters
        ----------
        value
            The realized metric.
        labels
            How many labels it is of.
        errors
            How many of those predictions were wrong; ``None`` for a regression.

        Raises ``ValueError`` for a value that is not finite, or fewer than one label: leave such windows out.
        """
        if not math.isfinite(value) or labels < 1:
            raise ValueError(f"{self.metric} is {value} of {labels} labels: leave such a window out")
        steady = self._variation.tau2 == 0.0
        jumped = errors is not None and steady and bool(self._errors.update_counts([errors], [labels]))
        self._state.recent = [*self._state.recent, (float(value), int(labels))][-TRENDS[-1] :]
        recent = np.array(self._state.recent, dtype=np.float64)
        loss, size = self._sign * (recent[:, 0] - self._known), recent[:, 1]
        level, lookback, mean = self._level(loss, size)
        trend, slope = self._trend(loss, size)
        found: list[Look] = ["level"] if level > 1.0 else []
        found += ["trend"] if trend > 1.0 else []
        found += ["jump"] if jumped else []
        return Degradation(tuple(found), mean, lookback, slope, max(level, trend))

    def _level(self, loss: Floats, labels: Floats) -> tuple[float, int, float]:
        """Return the largest statistic over what it needs, its lookback, and the mean loss there."""
        best = (-math.inf, 1, float(loss[-1]))
        known, chunks = self._variation, self._chunks
        newest = math.sqrt(known.row_variance / labels[-1] + known.tau2)
        for span in (span for span in LEVELS if span <= loss.size):
            rows = labels[-span:]
            mean = float(loss[-span:] @ rows / rows.sum())
            between = known.tau2 * (min(known.inertia, span) / span + known.inertia / chunks)
            error = math.sqrt(known.row_variance * (1.0 / rows.sum() + 1.0 / self._rows) + between)
            if span > 1 and mean - loss[-1] > AGREEMENT * newest:
                continue
            z = float(unskewed((mean - self._tolerated) / max(error, 1e-300), self._skew(rows.sum())))
            best = max(best, (z / self._level_needs, span, mean))
        return best

    def _skew(self, labels: float) -> float:
        """Return the skewness of a mean of so many errors: few labels of a good model are far from normal."""
        variance = self._known * (1.0 - self._known)
        if self.metric != "accuracy" or variance <= 0:
            return 0.0
        return (2.0 * self._known - 1.0) / math.sqrt(labels * variance)

    def _trend(self, loss: Floats, labels: Floats) -> tuple[float, float]:
        """Return the largest statistic over what it needs, and the slope there."""
        best = (-math.inf, 0.0)
        known = self._variation
        newest = math.sqrt(known.row_variance / labels[-1] + known.tau2)
        for span in (span for span in TRENDS if span <= loss.size):
            weight = 1.0 / np.maximum(
                known.row_variance / labels[-span:] + known.tau2 * known.inertia, 1e-300
            )
            place = np.arange(span) - np.average(np.arange(span), weights=weight)
            scatter = float(weight @ place**2)
            slope = float((weight * place) @ loss[-span:]) / scatter
            end = float(np.average(loss[-span:], weights=weight)) + slope * float(place[-1])
            if end - loss[-1] > AGREEMENT * newest:
                continue  # the newest window is far better than the line says: the model has recovered
            change = slope * (span - 1)
            error = (span - 1) / math.sqrt(scatter)
            best = max(best, ((change - self._tolerated) / error / self._trend_needs, slope))
        return best

    def to_bytes(self) -> bytes:
        """Return the state, under 6 kB."""
        self._state.errors = self._errors.to_bytes()
        return frame(_MAGIC, _VERSION, msgspec.msgpack.encode(self._state, order="deterministic"))

    @classmethod
    def from_bytes(
        cls,
        data: bytes,
        entry: PerformanceEntry,
        metric: str | None = None,
        *,
        arl: float = ARL,
        min_effect: float = MIN_EFFECT,
    ) -> PerformanceMonitor:
        """Read what :meth:`to_bytes` wrote. Raises :class:`CorruptBytes` for anything else."""
        monitor = cls(entry, metric, arl=arl, min_effect=min_effect)
        try:
            state = msgspec.msgpack.decode(unframe(_MAGIC, _VERSION, data), type=_State)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise CorruptBytes(f"DSPM: {exc}") from exc
        if len(state.recent) > TRENDS[-1] or not all(n > 0 and math.isfinite(v) for v, n in state.recent):
            raise CorruptBytes("DSPM: the state is impossible")
        monitor._state, monitor._errors = state, monitor._error_monitor(state.errors)
        return monitor
