"""Reference files: built from the columns of a table, written whole, read back and described."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from detectors import Reference
from detectors.errors import DetectorError
from stream.errors import ConfigError
from stream.explain import column_powers, default_spec, effect_origin, expected_rows, finite
from stream.learning.reference_building import EventColumns, build_named, rows_per_slide
from stream.privacy import NO_RULES, FieldPrivacy
from stream.settings.configuration import DEFAULT_SLIDE_MS
from stream.settings.units import parse_duration_ms
from stream.windows import WindowSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from stream.rows import Roles, Table

DEFAULT_WINDOW_ROWS = 1_000
_WANTED_WINDOWS = 60
_FEWEST_ROWS = 50
_POWER = (
    "seen in 1, in 10: the shift found in half of the cases after so many slices of {slice_rows} rows, in "
    "standard\ndeviations (of a category: of its share), with arl {arl} and min_effect {min_effect}; "
    "`driftstream explain` says more"
)


def read_reference(file: Path) -> Reference:
    """Read one reference file; raise ConfigError that names it when it is not one."""
    try:
        return Reference.from_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigError(f"no such file: {file}; `driftstream reference build` makes references") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"reference {file} cannot be read: {exc}") from exc
    except (DetectorError, ValueError) as exc:
        raise ConfigError(f"{file} is not a reference: {str(exc).partition(chr(10))[0]}") from exc


def build_reference(
    table: Table,
    roles: Roles,
    window_rows: int,
    *,
    times_ms: NDArray[np.int64] | None = None,
    categorical: Iterable[str] = (),
    privacy: FieldPrivacy = NO_RULES,
    model: str,
    version: str,
) -> Reference:
    """Build a reference of a table's columns under the names that the monitor gives them.

    Features keep their names; outputs are called ``prediction``, ``score`` and ``label``, as in the events.

    Raises
    ------
    ConfigError
        If a feature has the name of an output, or the columns give no reference.
    """
    outputs = {"prediction": roles.prediction, "score": roles.score, "label": roles.label}
    named = {name: column for name, column in outputs.items() if column is not None}
    for name in (*roles.features, *roles.measures):
        if name in named and named[name] != name:
            raise ConfigError(
                f"feature {name!r} and --{name} {named[name]!r} would share a name: "
                f"rename the column, or leave it out with --features"
            )
    columns = {name: name for name in (*roles.features, *roles.measures)} | named
    codes = frozenset(categorical)
    values = {name: _values(table, column, as_codes=column in codes) for name, column in columns.items()}
    try:
        given = EventColumns(
            features={name: values[name] for name in roles.features if name not in named},
            measures={name: values[name] for name in roles.measures},
            **{name: values[name] for name in named},
        )
        return build_named(
            given,
            window_rows=window_rows,
            times_ms=times_ms,
            categorical=[name for name, column in columns.items() if column in codes],
            privacy=privacy,
            model=model,
            version=version,
        )
    except DetectorError as exc:
        raise ConfigError(str(exc)) from exc


def _values(table: Table, column: str, *, as_codes: bool) -> ArrayLike:
    """Return a column as the detectors take it: floats with NaN, or Python values with None."""
    values = table.values([column])[column]
    if table.kinds[column] == "numeric" and not as_codes:
        return values.cast(float).to_numpy()
    return values.to_list()


def rows_per_window(
    rows: int,
    times_ms: NDArray[np.int64] | None,
    *,
    window: str | None = None,
    slide: str | None = None,
    window_rows: int | None = None,
) -> int:
    """Return the rows between two verdicts: as told, or the median of the rows' own slides of that length.

    A verdict judges one slide of a window at a time, so it is the slide that the reference is cut by: as in
    the configuration, 1m, or the window where that is shorter. Without any option: 1,000 rows, or fewer
    where that would leave under 60 windows, but at least 50.

    Raises
    ------
    ConfigError
        If rows and a length are given, or a length without times.
    """
    if window is None and slide is not None:
        raise ConfigError(f"--slide {slide} needs --window, the length that it divides")
    if window is None:
        return window_rows or max(_FEWEST_ROWS, min(DEFAULT_WINDOW_ROWS, rows // _WANTED_WINDOWS))
    if window_rows is not None:
        raise ConfigError("--window and --window-rows both say how large a window is: give one of them")
    if times_ms is None:
        raise ConfigError(f"--window {window} needs --timestamp COL; without times give --window-rows N")
    window_ms = _length_ms("--window", window)
    slide_ms = min(DEFAULT_SLIDE_MS, window_ms) if slide is None else _length_ms("--slide", slide)
    spec = WindowSpec(size_ms=window_ms, slide_ms=slide_ms)
    return rows_per_slide(times_ms, spec.slide_ms)


def _length_ms(option: str, given: str) -> int:
    try:
        length_ms = parse_duration_ms(given)
    except ValueError as exc:
        raise ConfigError(f"{option} {given!r} {exc}") from exc
    if length_ms == 0:
        raise ConfigError(f"{option} {given} must be longer than 0")
    return length_ms


def write_whole(path: Path, text: str) -> None:
    """Write a file at once: a reader sees the old content or the new one, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {path}: {exc.strerror}") from exc


def described(reference: Reference) -> dict[str, Any]:
    """Describe a reference for a machine: what ``reference show --output json`` prints."""
    missing = reference.counts.cells[:, reference.binning.width - 3] / max(reference.counts.n, 1)
    spec = default_spec(reference)
    rows = expected_rows(reference, spec)
    powers = column_powers(reference, spec, rows=rows, origin=effect_origin(reference, spec, None))
    return {
        "model": reference.model,
        "version": reference.version,
        "fingerprint": reference.fingerprint,
        "rows": reference.counts.n,
        "window_rows": reference.window_rows,
        "chunks": reference.variation.chunks,
        "seasonal_days": reference.variation.days,
        "power": {"arl": spec.arl, "min_effect": spec.min_effect, "slice_rows": rows},
        "columns": [
            {
                "name": power.name,
                "role": power.role,
                "kind": power.kind,
                "bins": int(bins),
                "missing": float(share),
                "smallest_visible": finite(power.smallest_visible),
            }
            for power, bins, share in zip(powers, reference.binning.value_cells, missing, strict=True)
        ],
        "caveats": list(reference.caveats),
    }


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, its columns two spaces apart."""
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def as_effect(value: float | None) -> str:
    """Return an effect for a table; ``-`` where no shift of any size would be seen."""
    return "-" if value is None else f"{value:.3f}"


def as_text(reference: Reference) -> str:
    """Describe a reference for a reader: a heading, a line a column, a line a caveat."""
    facts = described(reference)
    lines = [
        f"{facts['model']} {facts['version']} ({facts['fingerprint']})",
        f"{facts['rows']} rows in {facts['chunks']} chunks, for live windows of {facts['window_rows']} rows",
        "",
    ]
    table = [("column", "role", "kind", "bins", "missing", "seen in 1", "in 10")]
    table += [
        (
            *(c["name"], c["role"], c["kind"], str(c["bins"]), f"{c['missing']:.2%}"),
            *(as_effect(shift) for shift in c["smallest_visible"].values()),
        )
        for c in facts["columns"]
    ]
    lines += [*aligned(table), "", _POWER.format(**facts["power"])]
    lines += ["", *(f"caveat: {caveat}" for caveat in facts["caveats"])] if facts["caveats"] else []
    return "\n".join(line.rstrip() for line in lines)
