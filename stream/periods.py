"""The newest slices of a series against earlier periods, beside the reference. Pure and deterministic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from detectors import Counts, Reference, Verdict
from detectors.previous import PreviousPeriods
from stream.alerts import Alert
from stream.findings import Finding, Judged
from stream.incidents import Incident, IncidentBook, IncidentPolicy
from stream.records import WindowRecord
from stream.series_memory import entries_of, entry_name

KIND = "period_drift"
_HOUR = "hour"


class PeriodState(msgspec.Struct, array_like=True):
    """What a comparison is stored as; the hours compared with are entries of the model's memory."""

    hour: bytes
    incidents: list[Incident]


class PeriodComparison:
    """Compares a series with earlier periods and keeps the incident of what it finds: always a ticket.

    Parameters
    ----------
    periods
        Names as in :mod:`detectors.previous`.
    memory
        The entries of the model's memory.
    options
        Those of :class:`detectors.Monitor`.
    """

    def __init__(
        self,
        reference: Reference,
        name: tuple[str, str],
        periods: Sequence[str],
        *,
        slide_ms: int,
        policy: IncidentPolicy,
        memory: Mapping[str, bytes],
        options: Mapping[str, Any],
    ) -> None:
        self._name = (_HOUR, *name, reference.fingerprint)
        self._reference = reference
        self._options = {"slide_ms": slide_ms, "hours": entries_of(memory, *self._name), **options}
        self._previous = PreviousPeriods(reference, tuple(periods), **self._options)
        self._book = IncidentBook(policy)

    def judge(self, counts: Counts, *, start_ms: int) -> dict[str, Verdict]:
        """The verdicts on the next slice by period; a period without an earlier hour has none."""
        return self._previous.update_counts(counts, timestamp_ms=start_ms)

    def observe(self, verdicts: Mapping[str, Verdict], record: WindowRecord) -> list[Alert]:
        """Take in the verdicts on the newest slice of ``record``'s window; the notifications they cause."""
        judged = {
            period: verdict for period, verdict in verdicts.items() if verdict.status != "not_enough_data"
        }
        return self._book.observe(_judged(judged, record)) if judged else []

    def incidents(self) -> list[Incident]:
        """The open incidents."""
        return self._book.snapshot()

    def changed(self) -> dict[str, bytes | None]:
        """Entries of the model's memory to write and to forget since the last call."""
        return {entry_name(*self._name, ms): data for ms, data in self._previous.changed_hours().items()}

    def snapshot(self) -> PeriodState:
        """The comparison as it is stored."""
        return PeriodState(self._previous.to_bytes(), self._book.snapshot())

    def restore(self, state: PeriodState) -> None:
        """Take up a snapshot. Raises :class:`detectors.DetectorError` when its bytes fail a check."""
        periods = self._previous.periods
        self._previous = PreviousPeriods.from_bytes(state.hour, self._reference, periods, **self._options)
        self._book = IncidentBook(self._book.policy, state.incidents)


def shown(verdicts: Mapping[str, Verdict]) -> dict[str, dict[str, Any]]:
    """The verdicts as they stand in a window's record."""
    return {
        period: {"status": verdict.status, "drifted": list(verdict.drifted_names)}
        for period, verdict in verdicts.items()
    }


def _judged(verdicts: Mapping[str, Verdict], record: WindowRecord) -> Judged:
    effects = {
        f"{feature.name} against {period}": feature.effect or 0.0
        for period, verdict in verdicts.items()
        for feature in verdict.features
        if feature.drifted
    }
    found = Finding(names=sorted(effects), effect=max(effects.values(), default=0.0), severity="ticket")
    return Judged(
        model=record.model,
        version=record.version,
        window_start_ms=record.window_start_ms,
        window_end_ms=record.window_end_ms,
        findings={KIND: found} if effects else {},
        describe=lambda _: "; ".join(
            f"{name}: effect {effect:.3f}" for name, effect in sorted(effects.items())
        ),
        evidence=lambda names: {
            "window_start_ms": record.window_start_ms,
            "window_end_ms": record.window_end_ms,
            "n": record.n,
            "reference": record.reference,
            "source": record.source,
            "effects": {name: effects[name] for name in names if name in effects},
        },
    )
