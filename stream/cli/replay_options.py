"""From the options of ``driftstream replay`` to what is replayed and how it is watched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from detectors.monitor import LONGEST_WINDOW
from stream.codec import Limits
from stream.codec.times import MAX_MS
from stream.errors import ConfigError
from stream.incidents import IncidentPolicy
from stream.privacy import NO_RULES
from stream.replay_intake import ReplaySpec
from stream.row_events import RowTimes, Source, column_times, paced_times, parse_time
from stream.row_labels import LabelTiming, label_times
from stream.settings.configuration import ModelSpec, Settings, load_settings
from stream.settings.sections import AlertSettings, LimitSettings, ModelDefaults, TimeSettings
from stream.settings.units import format_duration, parse_duration_ms
from stream.windows import WindowSpec

if TYPE_CHECKING:
    from pathlib import Path

    from detectors import Reference
    from stream.rows import Roles, Table

DEFAULT_START = "2020-01-01T00:00:00Z"


@dataclass(frozen=True, kw_only=True)
class SpecOptions:
    """How a model is watched, as written on the command line; None = not said there."""

    window: str | None = None
    slide: str | None = None
    grace: str | None = None
    out_of_orderness: str | None = None
    min_samples: int | None = None
    min_effect: float | None = None
    arl: int | None = None
    label_horizon: str | None = None


def replay_spec(told: SpecOptions, settings: Settings | None, *, model: str | None) -> ReplaySpec:
    """Return the specification: the options, before the configuration, before the defaults.

    Without ``--slide`` windows are tumbling, unless both lengths come from the configuration of the model.

    Raises
    ------
    ConfigError
        A duration cannot be read, or the windows do not tile.
    """
    time, limits, alerts = (
        (settings.time, settings.limits, settings.alerts)
        if settings is not None
        else (TimeSettings(), LimitSettings(), AlertSettings())
    )
    base = _base(settings, model)
    out_of_orderness_ms = _ms(told.out_of_orderness, "--out-of-orderness")
    windows = _windows(told, base)
    horizon_ms = _ms(told.label_horizon, "--label-horizon")
    if horizon_ms == 0:
        raise ConfigError("--label-horizon must be longer than 0s")
    own = {} if horizon_ms is None else {"horizon_ms": horizon_ms}
    return ReplaySpec(
        windows=windows,
        min_samples=base.min_samples if told.min_samples is None else told.min_samples,
        min_effect=base.min_effect if told.min_effect is None else told.min_effect,
        min_effects=base.min_effects if isinstance(base, ModelSpec) else {},
        compare_with=base.compare_with,
        arl=_arl(base, windows.slide_ms) if told.arl is None else told.arl,
        out_of_orderness_ms=time.out_of_orderness_ms if out_of_orderness_ms is None else out_of_orderness_ms,
        restate_ms=time.restate_for_ms,
        limits=Limits(
            record_bytes=limits.record_bytes,
            features=limits.features,
            string_bytes=limits.string_bytes,
            depth=limits.depth,
        ),
        incidents=IncidentPolicy(resolve_after=alerts.resolve_after, renotify_ms=alerts.renotify_ms),
        runbook_base_url=alerts.runbook_base_url,
        labels=base.labels.model_copy(update=own),
        privacy=NO_RULES if settings is None else settings.privacy.field_privacy,
    )


def waiting_for_all(spec: ReplaySpec, table: Table, times: RowTimes, timing: LabelTiming) -> ReplaySpec:
    """Return the specification with a horizon that holds every label of the file."""
    happened = label_times(table, times, timing)
    known = happened >= 0
    longest_ms = int(abs(happened[known] - times.ms[known]).max(initial=0))
    labels = spec.labels.model_copy(update={"horizon_ms": max(spec.labels.horizon_ms, longest_ms)})
    return replace(spec, labels=labels)


def configuration(path: Path | None) -> Settings | None:
    """Read the configuration file that was named; a replay looks for none by itself."""
    return None if path is None else load_settings(path)


def _base(settings: Settings | None, model: str | None) -> ModelSpec | ModelDefaults:
    if settings is None:
        return ModelDefaults()
    return settings.model_spec(model) if model in settings.models else settings.defaults


def _arl(base: ModelSpec | ModelDefaults, slide_ms: int) -> int:
    """Return the run length; a budget is turned into that of the slide that is replayed."""
    return base.arl if base.false_alarms is None else max(1, base.false_alarms.arl(slide_ms))


def _windows(told: SpecOptions, base: ModelSpec | ModelDefaults) -> WindowSpec:
    window_ms = _ms(told.window, "--window")
    slide_ms = _ms(told.slide, "--slide")
    grace_ms = _ms(told.grace, "--grace")
    size_ms = base.window_ms if window_ms is None else window_ms
    if slide_ms is None:
        slide_ms = (window_ms is None and base.slide_ms) or size_ms
    if not size_ms or not slide_ms:
        raise ConfigError("--window and --slide must be longer than 0s")
    if size_ms % slide_ms:
        raise ConfigError(
            f"--slide {format_duration(slide_ms)} does not divide the window of {format_duration(size_ms)}: "
            "choose one that does"
        )
    if size_ms // slide_ms > LONGEST_WINDOW:
        raise ConfigError(
            f"--slide {format_duration(slide_ms)} cuts the window of {format_duration(size_ms)} into "
            f"{size_ms // slide_ms} panes: {LONGEST_WINDOW} are the most"
        )
    return WindowSpec(
        size_ms=size_ms, slide_ms=slide_ms, grace_ms=base.grace_ms if grace_ms is None else grace_ms
    )


def _ms(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        return parse_duration_ms(text)
    except ValueError as exc:
        raise ConfigError(f"{option} {text!r} {exc}") from exc


def event_times(table: Table, *, timestamp: str | None, rate: float | None, start: str | None) -> RowTimes:
    """Return the column's times, or 1/rate s a row from ``start`` (2020 unless told: no clock is read).

    Raises
    ------
    ConfigError
        Neither or both of column and rate are given, or one of them gives no times.
    """
    if (timestamp is None) == (rate is None):
        raise ConfigError(
            "give one of --timestamp COL and --rate ROWS_PER_SECOND: they say when a row happened"
        )
    if timestamp is not None:
        if start is not None:
            raise ConfigError(
                "--start and --timestamp both say when the first row happened: give one of them"
            )
        return column_times(table, timestamp)
    start_ms = parse_time(DEFAULT_START if start is None else start, "--start")
    if rate is not None and rate > 0 and start_ms + len(table) * 1000 / rate > MAX_MS:
        raise ConfigError(f"--rate {rate} spreads {len(table)} rows beyond the year 9999: raise it")
    return paced_times(len(table), rate or 0.0, start_ms)


def replayed_sources(reference: Reference, file: Path, table: Table, roles: Roles) -> tuple[Source, ...]:
    """Return the kinds of event to replay, having checked that they have what the reference watches.

    A column that is not there would count as missing, and page.

    Raises
    ------
    ConfigError
        A column of the reference has none in the table.
    """
    given = {"prediction": roles.prediction, "score": roles.score, "label": roles.label}
    if roles.label is not None and "label" not in reference.roles:
        raise ConfigError(f"reference {file.name} has no label: build it with --label, or drop --label")
    if roles.label is None and set(reference.roles) == {"label"}:
        raise ConfigError(f"reference {file.name} watches labels only: name their column with --label")
    for name, role in zip(reference.names, reference.roles, strict=True):
        if role == "feature":
            table.require([name], f"reference {file.name}: feature")
            if name not in roles.features:
                raise ConfigError(
                    f"reference {file.name} watches feature {name!r}: "
                    "do not give its column another role, nor leave it out of --features"
                )
        elif role == "measure":
            if name not in roles.measures:
                raise ConfigError(f"reference {file.name} watches measure {name!r}: name it with --measures")
        elif role != "label" and given[role] is None:
            raise ConfigError(f"reference {file.name} watches the {role}: name its column with --{role}")
    sources: dict[Source, bool] = {
        "inference": reference.for_source("inference") is not None,
        "labels": roles.label is not None,
    }
    return tuple(source for source, is_there in sources.items() if is_there)
