"""Findings: what one look at a window says is wrong, by alert kind. Pure: records in, findings out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream.records import WindowRecord

_KIND_OF_ROLE = {"prediction": "prediction_drift", "score": "prediction_drift", "label": "label_drift"}
_NAMED = 5
LINGERING = 0.01
"""A column with a p-value as small keeps an open incident going, and begins none."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One kind of change: what it is about, how large it is, how loud it is told."""

    names: Sequence[str]
    effect: float
    severity: str


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One look at ``[window_start_ms, window_end_ms)`` of a model version.

    ``findings`` are by alert kind, empty when all is well; ``lingering`` are names by kind that would not
    begin an incident and do not end one either. ``describe`` and ``evidence`` give the text and the numbers
    of an alert about some names.
    """

    model: str
    version: str
    window_start_ms: int
    window_end_ms: int
    findings: Mapping[str, Finding]
    describe: Callable[[Sequence[str]], str]
    evidence: Callable[[Sequence[str]], dict[str, Any]]
    lingering: Mapping[str, frozenset[str]] = field(default_factory=dict)


def kind_of(feature: Mapping[str, Any]) -> str:
    """Alert kind of a drifted column, from its role and from which cells moved."""
    if feature.get("integrity"):
        return "data_quality"
    return _KIND_OF_ROLE.get(str(feature["role"]), "data_drift")


def drift(record: WindowRecord) -> Judged:
    """The findings of a window's drifted columns."""
    kinds: dict[str, list[str]] = {}
    for name in record.drifted:
        kinds.setdefault(kind_of(record.features[name]), []).append(name)
    return Judged(
        model=record.model,
        version=record.version,
        window_start_ms=record.window_start_ms,
        window_end_ms=record.window_end_ms,
        findings={
            kind: Finding(
                names=names,
                effect=max(abs(record.features[name].get("effect") or 0.0) for name in names),
                severity=_severity(kind, record),
            )
            for kind, names in kinds.items()
        },
        lingering=_lingering(record),
        describe=lambda names: _description(record, names),
        evidence=lambda names: _evidence(record, names),
    )


def _lingering(record: WindowRecord) -> dict[str, frozenset[str]]:
    """Columns that still stand out: a drift at its threshold comes and goes by chance."""
    found: dict[str, set[str]] = {}
    for name, feature in record.features.items():
        p_value = feature.get("p_value")
        if p_value is not None and p_value <= LINGERING:
            found.setdefault(kind_of(feature), set()).add(name)
    return {kind: frozenset(names) for kind, names in found.items()}


def _severity(kind: str, record: WindowRecord) -> str:
    if kind in ("prediction_drift", "data_quality"):
        return "page"
    return "ticket" if kind == "data_drift" else record.severity


def _description(record: WindowRecord, names: Sequence[str]) -> str:
    lines = []
    for name in names[:_NAMED]:
        feature = record.features.get(name, {})
        effect, threshold, psi = (feature.get(key) for key in ("effect", "threshold", "psi"))
        if effect is None or threshold is None or psi is None:
            continue
        lines.append(f"{name}: effect {effect:.3f} (threshold {threshold:.3f}), PSI {psi:.3f}")
    span = f"{record.n} events in the window of {(record.window_end_ms - record.window_start_ms) / 1000:g} s"
    return "; ".join([span, *lines])


def _evidence(record: WindowRecord, names: Sequence[str]) -> dict[str, Any]:
    pairs = [pair for pair in record.pairs if not set(names).isdisjoint(pair["names"])]
    return {
        "window_start_ms": record.window_start_ms,
        "window_end_ms": record.window_end_ms,
        "n": record.n,
        "reference": record.reference,
        "source": record.source,
        "features": [{"name": name, **record.features[name]} for name in names if name in record.features],
        **({"pairs": pairs} if pairs else {}),
    }
