"""DisagreementMonitor: small differences between labels and estimates that stay, over several windows."""

from __future__ import annotations

import math

import msgspec

from detectors.errors import CorruptBytes
from detectors.estimation.disagreement import ARL, MIN_EFFECT, Disagreement, judge, tolerance
from detectors.estimation.estimator import Estimate
from detectors.framing import frame, unframe

_MAGIC = b"DSDM"
_VERSION = 1
LOOKBACKS = (1, 2, 4, 8, 16)
AGREEMENT = 2.5


class _Window(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    difference: float
    row_variance: float
    labels: int
    model_error: float


class DisagreementMonitor:
    r"""Judges one metric over the last 1, 2, 4, 8 and 16 windows, which are final and in order.

    Use :func:`disagreement` for a window alone.

    Parameters
    ----------
    metric
        Name of the metric.
    arl
        Windows between false alarms, on average at least, for this metric.
    min_effect
        Tolerated difference, as for :func:`disagreement`.

    Notes
    -----
    The mean difference is weighted by labels. Sampling noise averages out over windows; the error of the
    estimate does not, since all windows hang on the same reference:
    :math:`s^2 = \sum_t w_t^2 v_t / n_t + (\sum_t w_t m_t)^2`. The newest window must agree within 2.5
    standard errors, so that an episode that has ended clears.
    """

    def __init__(self, metric: str, *, arl: float = ARL, min_effect: float = MIN_EFFECT) -> None:
        if not arl > 1 or not min_effect >= 0:
            raise ValueError(f"arl is {arl} and min_effect {min_effect}: give more than 1, and 0 or more")
        self.metric, self._arl, self._min_effect = metric, arl, min_effect
        self._recent: list[_Window] = []

    def update(self, estimate: Estimate, realized: float, labels: int) -> Disagreement:
        """Take the next window, and return the strongest verdict of the lookbacks.

        Raises ``ValueError`` for a value that is not finite, or fewer than one label: leave such windows out.
        """
        if not math.isfinite(realized) or labels < 1:
            raise ValueError(f"{self.metric} is {realized} of {labels} labels: leave such a window out")
        newest = _Window(
            float(realized - estimate.value),
            float(estimate.row_variance),
            int(labels),
            float(estimate.model_error),
        )
        self._recent = [*self._recent, newest][-LOOKBACKS[-1] :]
        tolerated = tolerance(self.metric, estimate.value, self._min_effect)
        spans = [span for span in LOOKBACKS if span <= len(self._recent)]
        verdicts = [self._judge(self._recent[-span:], tolerated) for span in spans]
        return max(verdicts, key=lambda verdict: abs(verdict.z))

    def _judge(self, windows: list[_Window], tolerated: float) -> Disagreement:
        total = sum(window.labels for window in windows)
        shares = [window.labels / total for window in windows]
        mean = math.fsum(share * window.difference for share, window in zip(shares, windows, strict=True))
        noise = math.fsum(window.row_variance * window.labels for window in windows) / total**2
        model = math.fsum(share * window.model_error for share, window in zip(shares, windows, strict=True))
        last = windows[-1]
        own = math.sqrt(last.row_variance / last.labels + last.model_error**2)
        behind = (mean - last.difference) * math.copysign(1.0, mean) > AGREEMENT * own
        difference = 0.0 if behind else mean
        return judge(
            self.metric,
            difference,
            math.hypot(math.sqrt(noise), model),
            tolerated,
            self._arl * len(LOOKBACKS),
        )

    def to_bytes(self) -> bytes:
        """Return the state, under 1 kB."""
        return frame(_MAGIC, _VERSION, msgspec.msgpack.encode(self._recent))

    @classmethod
    def from_bytes(
        cls, data: bytes, metric: str, *, arl: float = ARL, min_effect: float = MIN_EFFECT
    ) -> DisagreementMonitor:
        """Read what :meth:`to_bytes` wrote. Raises :class:`CorruptBytes` for anything else."""
        monitor = cls(metric, arl=arl, min_effect=min_effect)
        try:
            recent = msgspec.msgpack.decode(unframe(_MAGIC, _VERSION, data), type=list[_Window])
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise CorruptBytes(f"DSDM: {exc}") from exc
        numbers = [n for w in recent for n in (w.difference, w.row_variance, w.model_error)]
        if (
            len(recent) > LOOKBACKS[-1]
            or any(w.labels < 1 for w in recent)
            or not all(map(math.isfinite, numbers))
        ):
            raise CorruptBytes("DSDM: the state is impossible")
        monitor._recent = recent
        return monitor
