"""Monitor: slices of counts in, verdicts out; its whole state fits into checked bytes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from detectors.counts import Counts
from detectors.decision import Decision, Judgement
from detectors.dependence import NOTHING, Dependence, Dependent
from detectors.episode import Episode, News, follow
from detectors.errors import CorruptBytes, MismatchError
from detectors.evidence import Evidence
from detectors.framing import frame, unframe
from detectors.lookbacks import LOOKBACKS
from detectors.reference import Reference
from detectors.reference_file import INPUTS
from detectors.slices import Slices
from detectors.verdict import FeatureVerdict, Severity, Verdict

_MAGIC = b"DSMN"
_VERSION = 1
OUTPUT_MIN_EFFECT = 0.02
LONGEST_WINDOW = 1024


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What :meth:`Monitor.to_bytes` stores: per past slice its sums and rows, two float64 per component."""

    fingerprint: str
    slices: list[bytes]
    pending: bytes
    pending_since_ms: int | None
    episode: Episode
    pair_slices: list[bytes] = []


class Monitor:
    """Watches one model version against its reference.

    Give it disjoint slices of event time in order. A slice under ``min_samples`` rows waits for the next
    ones.

    Parameters
    ----------
    reference
        The reference, or the part of it that :meth:`Reference.for_source` gives.
    arl
        Average run length: at most one false alarm in so many slices, whatever the number of columns.
    min_effect
        Smallest change that matters, in standard deviations of the reference. For model outputs
        (prediction, score, label) it is 0.02 at most.
    min_effects
        Columns with a smallest change of their own, by name; for an output too, it is taken as it is.
    min_samples
        Rows that a slice needs to be judged.
    window_slices
        Slices of the window shown: one more lookback, where it is not among :data:`LOOKBACKS`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(7)
    >>> reference = Reference.build({"age": rng.normal(40, 10, 20_000)}, window_rows=1000)
    >>> monitor = Monitor(reference)
    >>> monitor.update({"age": rng.normal(40, 10, 1000)}).status
    'ok'
    >>> verdict = monitor.update({"age": rng.normal(45, 10, 1000)})
    >>> verdict.severity, verdict.features[0].component, verdict.features[0].effect
    ('ticket', 'location', 0.5)
    """

    def __init__(
        self,
        reference: Reference,
        *,
        arl: float = 10_000,
        min_effect: float = 0.05,
        min_effects: Mapping[str, float] | None = None,
        min_samples: int = 50,
        window_slices: int = 1,
    ) -> None:
        if arl < 1 or min_effect < 0 or min_samples < 1 or not 1 <= window_slices <= LONGEST_WINDOW:
            raise ValueError(
                "arl and min_samples must be at least 1, min_effect at least 0, "
                f"window_slices from 1 to {LONGEST_WINDOW};"
                f" they are {arl}, {min_samples}, {min_effect}, {window_slices}"
            )
        self.reference = reference
        self.min_samples = min_samples
        self.min_effects = _smallest_effects(reference, min_effect, min_effects or {})
        eps = np.array(list(self.min_effects.values()))
        looks = (*LOOKBACKS, window_slices)
        self._decision = Decision(
            reference.scores, reference.variation, min_effect=eps, arl=arl, lookbacks=looks
        )
        self._dependence = (
            None
            if reference.pairs is None
            else Dependence(reference, self.min_effects, arl=arl, lookbacks=looks)
        )
        self._evidence = Evidence(reference)
        self._shape = reference.counts.cells.shape
        components = reference.scores.owner.size
        self._slices = Slices(components, components, max(looks))
        self._pending: Counts | None = None
        self._pending_since_ms: int | None = None
        self._episode = Episode()

    def update(self, columns: Mapping[str, ArrayLike], timestamp_ms: int | None = None) -> Verdict:
        """Judge one slice of raw columns; an absent column counts as missing. See :meth:`update_counts`."""
        return self.update_counts(self.reference.count(columns), timestamp_ms=timestamp_ms)

    def update_counts(
        self, counts: Counts, *, window: Counts | None = None, timestamp_ms: int | None = None
    ) -> Verdict:
        """Judge the newest slice.

        Parameters
        ----------
        counts
            Counts of the slice, disjoint from those before.
        window
            What to show beside the verdict: the merge of the last slices; the slice itself by default.
        timestamp_ms
            Event time at which the slice starts: tells the hour of the day.

        Raises
        ------
        MismatchError
            When the counts do not have the reference's shape.
        """
        shown = counts if window is None else window
        if shown.cells.shape != counts.cells.shape:
            raise MismatchError(f"the window has shape {shown.cells.shape}, its slice {counts.cells.shape}")
        pooled = self._pool(counts, timestamp_ms)
        if pooled.n < self.min_samples:
            return Verdict(
                status="not_enough_data",
                drifted=False,
                n=shown.n,
                severity="none",
                features=self.describe(shown),
                new_episode=False,
            )
        judgement, dependent = self._judge(pooled, shown)
        news = self._follow(judgement, dependent)
        drifted = bool(dependent.columns or judgement.drifted.any())
        return Verdict(
            status="drift" if drifted else "ok",
            drifted=drifted,
            n=shown.n,
            severity=self._severity(judgement, dependent),
            features=self._evidence.describe(shown, judgement, dependent),
            new_episode=news.began,
            notify=news.notify,
            pairs=dependent.pairs,
        )

    def describe(self, window: Counts) -> tuple[FeatureVerdict, ...]:
        """Return the distances of some counts, without a judgement and without taking them in."""
        return self._evidence.describe(window, None)

    @cached_property
    def _no_counts(self) -> bytes:
        return Counts.empty(self.reference.binning).to_bytes()

    @property
    def lookbacks(self) -> tuple[int, ...]:
        """Numbers of slices that are pooled and judged, in ascending order."""
        return self._decision.lookbacks

    def smallest_shifts(self, *, rows: int, slices: int = 1) -> dict[str, float]:
        """Say what can be seen: per column, the shift found in half of the cases after so many slices.

        In standard deviations of the reference: the smallest effect that matters, plus the critical value
        times the standard error, which holds sampling noise, the reference's size and its window-to-window
        variation.

        Raises ``ValueError`` for less than one row or slice.
        """
        if rows < 1 or slices < 1:
            raise ValueError(f"rows and slices must be at least 1, they are {rows} and {slices}")
        effects = self._decision.smallest_effects(rows, slices)
        return dict(zip(self.reference.names, effects.tolist(), strict=True))

    def _pool(self, counts: Counts, timestamp_ms: int | None) -> Counts:
        """Merge a slice into those that wait."""
        if self._pending is None or not self._pending.n or self._pending_since_ms is None:
            self._pending_since_ms = timestamp_ms
        if self._pending is None and counts.n >= self.min_samples and counts.cells.shape == self._shape:
            return counts
        if self._pending is None:
            self._pending = Counts.empty(self.reference.binning)
        self._pending.merge(counts)
        return self._pending

    def _judge(self, counts: Counts, shown: Counts) -> tuple[Judgement, Dependent]:
        since_ms, self._pending, self._pending_since_ms = self._pending_since_ms, None, None
        sums = self.reference.scores.sums(counts.cells)
        self._slices.add(self._decision.deseason(sums, since_ms))
        judgement = self._decision.judge(self._slices)
        if self._dependence is None:
            return judgement, NOTHING
        pairs = self._dependence.add(counts, since_ms)
        if pairs is None:
            return judgement, NOTHING
        names = self.reference.names
        explained = [names[j] for j in np.flatnonzero(judgement.drifted)]
        return judgement, self._dependence.attribute(
            pairs, explained, shown if shown.moments is not None else counts
        )

    def _follow(self, judgement: Judgement, dependent: Dependent) -> News:
        names = self.reference.names
        effects = {names[j]: float(judgement.effect[j]) for j in np.flatnonzero(judgement.drifted)}
        effects |= {name: finding.effect for name, finding in dependent.columns.items()}
        news = follow(self._episode, effects)
        self._episode = news.episode
        return news

    def _severity(self, judgement: Judgement, dependent: Dependent) -> Severity:
        """Page when an output or the integrity of the data moved: a feature alone may do no harm."""
        if not judgement.drifted.any() and not dependent.columns:
            return "none"
        named = np.array([name in dependent.columns for name in self.reference.names])
        outputs = np.array([role not in INPUTS for role in self.reference.roles])
        harmful = (judgement.drifted | named) & outputs | judgement.integrity
        return "page" if bool(harmful.any()) else "ticket"

    def to_bytes(self) -> bytes:
        """Return the state, bound to the reference: for 16 slices 16 bytes a component and 8 a pair."""
        state = _State(
            fingerprint=self.reference.fingerprint,
            slices=self._slices.packed(),
            pending=self._no_counts if self._pending is None else self._pending.to_bytes(),
            pending_since_ms=self._pending_since_ms,
            episode=self._episode,
            pair_slices=[] if self._dependence is None else self._dependence.snapshot(),
        )
        return frame(_MAGIC, _VERSION, msgspec.msgpack.encode(state, order="deterministic"))

    @classmethod
    def from_bytes(cls, data: bytes, reference: Reference, **options: Any) -> Monitor:
        """Restore a monitor; ``options`` are those of the constructor.

        Raises
        ------
        CorruptBytes
            When the bytes fail their checks.
        MismatchError
            When they were written with another reference.
        """
        try:
            state = msgspec.msgpack.decode(unframe(_MAGIC, _VERSION, data), type=_State)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise CorruptBytes(f"DSMN: {exc}") from exc
        if state.fingerprint != reference.fingerprint:
            raise MismatchError(
                f"the monitor's state belongs to reference {state.fingerprint},"
                f" this one is {reference.fingerprint}: start a new monitor"
            )
        monitor = cls(reference, **options)
        for stored in state.slices:
            if len(stored) != monitor._slices.row_bytes:
                components = reference.scores.owner.size
                raise CorruptBytes(
                    f"DSMN: {len(stored)} bytes do not hold a slice of {components} components"
                )
            monitor._slices.load(stored)
        if monitor._dependence is not None:
            monitor._dependence.restore(state.pair_slices)
        if state.pending != monitor._no_counts:
            monitor._pending = Counts.empty(reference.binning)
            monitor._pending.merge(Counts.from_bytes(state.pending))
        monitor._pending_since_ms = state.pending_since_ms
        monitor._episode = state.episode
        return monitor


def _smallest_effects(reference: Reference, min_effect: float, own: Mapping[str, float]) -> dict[str, float]:
    """Return the smallest effect that matters of every column, in their order."""
    unknown = sorted(set(own) - set(reference.names))
    if unknown:
        raise ValueError(f"min_effects names columns that the reference does not have: {', '.join(unknown)}")
    if any(not value >= 0 for value in own.values()):
        raise ValueError(f"min_effects must be at least 0, they are {dict(own)}")
    of_output = min(OUTPUT_MIN_EFFECT, min_effect)
    return {
        name: own.get(name, min_effect if role in INPUTS else of_output)
        for name, role in zip(reference.names, reference.roles, strict=True)
    }
