"""Windows that wait for their labels: restated as labels come, final at the horizon. Pure and deterministic.

A window is remembered, an entry of the model's memory each, from its evaluation until a while after it was
final. Its record is published again (revision + 1) when a tenth more of its predictions have their label
than were told of, when all have, and when it is final. A final window whose labels come all the same, because
their topic was quiet and then was not, is stated again at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from stream.errors import CorruptState
from stream.outcomes.records import LabelRules, PastEstimate, WindowOutcomes, breakdown, realized
from stream.records import WindowRecord
from stream.series_memory import entries_of, entry_name
from stream.windows import WindowSpec

_MSGPACK = msgspec.msgpack.Encoder()
_WINDOW = "window"
_TELL_FROM = 1.1


class RememberedWindow(msgspec.Struct, array_like=True):
    """What of a window is needed to state it again; ``told`` is the number of labels last told of."""

    n: int
    status: str
    severity: str
    drifted: list[str]
    revision: int
    told: int
    estimated: dict[str, Any]
    reference: str
    of_slice: PastEstimate | None
    final: bool = False
    digest: int = 0
    incomplete: bool = False


class NewestLabelled(msgspec.Struct, array_like=True, frozen=True):
    """The newest window that was told of with labels: its numbers, for who asks how a model does."""

    end_ms: int
    final: bool
    realized: dict[str, float]
    estimated: dict[str, float]


class LabelledWindows:
    """The windows of one model version whose labels may still come.

    Parameters
    ----------
    name
        Model, source and version.
    memory
        The entries of the model's memory. Raises :class:`CorruptState` when one of a window is damaged.

    Attributes
    ----------
    newest
        What was told of the newest window with labels; None before the first.
    """

    def __init__(
        self, name: tuple[str, str, str], rules: LabelRules, windows: WindowSpec, memory: Mapping[str, bytes]
    ) -> None:
        self.rules = rules
        self.newest: NewestLabelled | None = None
        self._model, self._source, self._version = name
        self._spec = windows
        self._changed: dict[str, bytes | None] = {}
        try:
            self._held = {
                end_ms: msgspec.msgpack.decode(data, type=RememberedWindow)
                for end_ms, data in entries_of(memory, _WINDOW, self._source, self._version, "").items()
            }
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise CorruptState(f"stored window of model {self._model}: {exc}") from exc

    def performance(
        self, window: WindowOutcomes, estimated: Mapping[str, Any], *, final: bool, age_ms: int | None
    ) -> dict[str, Any]:
        """The ``performance`` of a window's record."""
        live = realized(window.live(self._version), self.rules, final=final, age_ms=age_ms)
        parts = breakdown(window, self._version, final=final, age_ms=age_ms)
        return {"realized": live, "estimated": dict(estimated), **parts}

    def remember(
        self, record: WindowRecord, estimated: Mapping[str, Any], told: int, of_slice: PastEstimate | None
    ) -> None:
        """Keep a window that was just evaluated; ``of_slice`` is what was estimated of its newest slice."""
        if record.performance is not msgspec.UNSET:
            self._tell(record.window_end_ms, record.performance)
        self._keep(
            record.window_end_ms,
            RememberedWindow(
                record.n,
                record.status,
                record.severity,
                record.drifted,
                record.revision,
                told,
                dict(estimated),
                record.reference,
                of_slice,
                incomplete=record.incomplete is True,
            ),
        )

    def past_estimate(self, end_ms: int) -> PastEstimate | None:
        """What was estimated of the newest slice of a window before its labels came."""
        held = self._held.get(end_ms)
        return None if held is None else held.of_slice

    def between(self, after_ms: int, watermark_ms: int) -> list[int]:
        """Ends of the remembered windows after ``after_ms`` that are closed at a watermark, in order."""
        return sorted(
            end_ms
            for end_ms in self._held
            if end_ms > after_ms and self._spec.closes_at(end_ms) <= watermark_ms
        )

    def revise(self, end_ms: int, *, n: int, revision: int, incomplete: bool = False) -> None:
        """Take note that late events have restated a window."""
        held = self._held.get(end_ms)
        if held is not None:
            incomplete |= held.incomplete
            self._keep(end_ms, msgspec.structs.replace(held, n=n, revision=revision, incomplete=incomplete))

    def restated(
        self, end_ms: int, window: WindowOutcomes, *, final: bool, age_ms: int | None
    ) -> WindowRecord | None:
        """The record of a window with the labels that have come; None when there is nothing to tell."""
        held = self._held.get(end_ms)
        if held is None:
            return None
        final = final or held.final
        labelled = window.labelled
        if not (final or _worth_telling(held.told, labelled, window.predictions(self._version))):
            return None
        performance = self.performance(window, held.estimated, final=final, age_ms=age_ms)
        digest = zlib.crc32(_MSGPACK.encode(performance))
        if digest == held.digest:
            return None
        held = msgspec.structs.replace(
            held,
            revision=held.revision + 1,
            told=labelled,
            final=final,
            digest=digest,
            incomplete=held.incomplete or window.incomplete,
        )
        self._keep(end_ms, held)
        self._tell(end_ms, performance)
        return self._record(end_ms, held, performance)

    def _tell(self, end_ms: int, performance: Mapping[str, Any]) -> None:
        realized = performance.get("realized") or {}
        if realized.get("n") and (self.newest is None or end_ms >= self.newest.end_ms):
            self.newest = NewestLabelled(
                end_ms, bool(realized["final"]), _numbers(realized), _numbers(performance["estimated"])
            )

    def _record(self, end_ms: int, held: RememberedWindow, performance: dict[str, Any]) -> WindowRecord:
        return WindowRecord(
            model=self._model,
            version=self._version,
            source=self._source,
            window_start_ms=end_ms - self._spec.size_ms,
            window_end_ms=end_ms,
            n=held.n,
            status=held.status,
            severity=held.severity,
            drifted=held.drifted,
            features={},
            revision=held.revision,
            closed_by="labels",
            reference=held.reference,
            performance=performance,
            incomplete=True if held.incomplete else msgspec.UNSET,
        )

    def due(self, watermark_ms: int | None) -> list[int]:
        """Ends of the windows that are not final and whose labels can no longer come, in order."""
        if watermark_ms is None:
            return []
        latest_ms = watermark_ms - self.rules.horizon_ms
        return sorted(
            end_ms
            for end_ms, held in self._held.items()
            if not held.final and self._spec.closes_at(end_ms) <= latest_ms
        )

    def forget(self, data_ms: int) -> None:
        """Let go of final windows a while after the last label could come, by the time events have reached.

        A label that says it is from later than it came moves the watermark ahead of those that are under way.
        """
        latest_ms = data_ms - self.rules.horizon_ms - self.rules.restate_ms
        for end_ms in [end_ms for end_ms, held in self._held.items() if held.final]:
            if self._spec.closes_at(end_ms) <= latest_ms:
                self._forget(end_ms)

    def __contains__(self, end_ms: int) -> bool:
        return end_ms in self._held

    def changed(self) -> dict[str, bytes | None]:
        """Entries of the model's memory to write and to forget since the last call."""
        changed, self._changed = self._changed, {}
        return changed

    def _keep(self, end_ms: int, held: RememberedWindow) -> None:
        self._held[end_ms] = held
        self._changed[self._name(end_ms)] = _MSGPACK.encode(held)

    def _forget(self, end_ms: int) -> None:
        del self._held[end_ms]
        self._changed[self._name(end_ms)] = None

    def _name(self, end_ms: int) -> str:
        return entry_name(_WINDOW, self._source, self._version, "", end_ms)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Those metrics that are known."""
    return {
        name: value
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _worth_telling(told: int, labelled: int, predictions: int) -> bool:
    return labelled > told and (labelled >= _TELL_FROM * told or labelled >= predictions)
