"""Rows of a file as inference and label events, for ``reference build``, ``replay`` and ``emit``.

One reader, so that the rows a reference was built from, the rows a back-test replays and the rows sent to
Kafka are the same rows: the same order, the same ids, the same bytes.

What a file can say and an event cannot is settled here, once, for all three: NaN and infinity have no JSON
form and read as missing; dates and times become ISO 8601 strings (categorical); durations become seconds;
decimals become floats; 32-bit floats keep their exact value.

See :mod:`stream.row_events` for the events made of the rows and their event times.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from stream.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

Kind = Literal["numeric", "categorical"]

_SCANS: dict[str, Callable[[Path], pl.LazyFrame]] = {
    ".parquet": pl.scan_parquet,
    ".csv": lambda path: pl.scan_csv(path, infer_schema_length=None),
    ".jsonl": lambda path: pl.scan_ndjson(path, infer_schema_length=None),
    ".ndjson": lambda path: pl.scan_ndjson(path, infer_schema_length=None),
}
_SPAN = re.compile(r"\s*(\d+)\s*:\s*(\d+)\s*")


@dataclass(frozen=True, slots=True)
class RowRanges:
    """Half-open spans of file rows, in the order given: ``6000:10000,15000:19000``.

    >>> RowRanges.parse("4:6,0:2").indices(10).tolist()
    [4, 5, 0, 1]
    """

    spans: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, text: str) -> RowRanges:
        """Read ``A:B[,C:D...]``; raise ConfigError that names the part which is not a range."""
        spans = []
        for part in text.split(","):
            match = _SPAN.fullmatch(part)
            if match is None:
                raise ConfigError(
                    f"rows {part!r} is not a range: write A:B[,C:D...], rows from 0, B excluded"
                )
            start, end = int(match[1]), int(match[2])
            if start >= end:
                raise ConfigError(f"rows {part!r} is empty: the end {end} must be above the start {start}")
            spans.append((start, end))
        return cls(tuple(spans))

    def indices(self, rows: int, source: str = "the file") -> NDArray[np.int64]:
        """File row of each row read, in order; raise ConfigError when a span leaves the file's ``rows``."""
        for start, end in self.spans:
            if end > rows:
                raise ConfigError(f"rows {start}:{end} are out of range: {source} has {rows} rows (0:{rows})")
        return np.concatenate([np.arange(start, end, dtype=np.int64) for start, end in self.spans])


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a file in the order asked for.

    Attributes
    ----------
    source
        The file.
    frame
        The rows, as the file types them.
    rows
        The row of the file behind each row of ``frame``, from 0.
    """

    source: Path
    frame: pl.DataFrame
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in file order."""
        return tuple(self.frame.columns)

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """``numeric`` or ``categorical`` by the type in the file; a column of nulls is numeric."""
        numeric = {name: _is_numeric(kind) for name, kind in self.frame.schema.items()}
        return {name: "numeric" if is_numeric else "categorical" for name, is_numeric in numeric.items()}

    def require(self, names: Iterable[str], option: str) -> None:
        """Raise ConfigError for the first name the file lacks, with the nearest one it has."""
        for name in names:
            if name not in self.frame.schema:
                near = get_close_matches(name, self.columns, n=1, cutoff=0.5)
                remedy = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self.columns)}"
                raise ConfigError(f"{option} {name!r} is not a column of {self.source.name}: {remedy}")

    def values(self, names: Sequence[str]) -> pl.DataFrame:
        """Columns as an event carries them: int, float, bool or str, and null for whatever is missing.

        Raises
        ------
        ConfigError
            If a column holds lists, objects or bytes.
        """
        return self.frame.select([_event_value(name, self.frame.schema[name], self.source) for name in names])

    def take(self, order: NDArray[np.intp]) -> Table:
        """Return the rows in another order."""
        return Table(self.source, self.frame[order], self.rows[order])

    def prediction_ids(self) -> list[str]:
        """One id a row, ``<file stem>:<row>``; a row read again gets ``#2``, ``#3``, ... behind it."""
        stem = self.source.stem.encode()[:96].decode(errors="ignore")
        seen: Counter[int] = Counter()
        ids = []
        for row in self.rows.tolist():
            seen[row] += 1
            ids.append(f"{stem}:{row}" if seen[row] == 1 else f"{stem}:{row}#{seen[row]}")
        return ids


def read_rows(path: Path | str, ranges: RowRanges | None = None) -> Table:
    """Read FILE.{parquet,csv,jsonl}, or the given ranges of its rows, in the order given.

    Types are inferred from the whole file, never from the ranges, so that two reads of one file agree.

    Raises
    ------
    ConfigError
        If there is no such file, its format is unknown, it cannot be read, it is empty, or a range leaves it.
    """
    path = Path(path)
    if path.suffix.lower() not in _SCANS:
        raise ConfigError(f"cannot tell the format of {path}: name it .parquet, .csv or .jsonl")
    if not path.is_file():
        raise ConfigError(f"no such file: {path}")
    try:
        scan = _SCANS[path.suffix.lower()](path)
        total = int(scan.select(pl.len()).collect().item())
        if total == 0:
            raise ConfigError(f"{path} has no rows")
        ranges = ranges or RowRanges(((0, total),))
        rows = ranges.indices(total, path.name)
        frame = pl.concat([scan.slice(start, end - start).collect() for start, end in ranges.spans])
    except (pl.exceptions.PolarsError, OSError) as exc:
        reason = str(exc).strip().split("\n", 1)[0]
        raise ConfigError(f"cannot read {path}: {reason}") from exc
    return Table(path, frame, rows)


def column_names(text: str | None) -> list[str] | None:
    """Return the names of a comma separated option; None when it was not given.

    >>> column_names("age, income")
    ['age', 'income']
    """
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _is_numeric(kind: pl.DataType) -> bool:
    return kind.is_numeric() or isinstance(kind, pl.Duration | pl.Null)


def _event_value(name: str, kind: pl.DataType, source: Path) -> pl.Expr:
    column = pl.col(name)
    if kind.is_nested() or isinstance(kind, pl.Binary | pl.Object):
        raise ConfigError(
            f"column {name!r} of {source.name} holds {kind}, not numbers or strings: "
            "flatten it, or leave it out with --features"
        )
    if kind.is_float() or kind.is_decimal():
        exact = column.cast(pl.Float64)
        return pl.when(exact.is_finite()).then(exact).alias(name)
    if isinstance(kind, pl.Duration):
        return column.dt.total_microseconds() / 1e6
    if isinstance(kind, pl.Datetime):
        return column.dt.to_string("iso:strict")
    if isinstance(kind, pl.Date | pl.Time):
        return column.dt.to_string("iso")
    if isinstance(kind, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    return column


@dataclass(frozen=True, slots=True)
class Roles:
    """Which column of a file plays which part in its events."""

    features: tuple[str, ...]
    timestamp: str | None = None
    prediction: str | None = None
    score: str | None = None
    label: str | None = None
    measures: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        table: Table,
        *,
        features: Sequence[str] | None = None,
        timestamp: str | None = None,
        prediction: str | None = None,
        score: str | None = None,
        label: str | None = None,
        label_time: str | None = None,
        measures: Sequence[str] | None = None,
    ) -> Roles:
        """Check the names against the table; features are by default every column without another role.

        ``label_time`` is no part of an event, only no feature.

        Raises
        ------
        ConfigError
            If a column is missing, the score or a measure is not a number, or no feature is left.
        """
        named = {"--timestamp": timestamp, "--prediction": prediction, "--score": score, "--label": label}
        named["--label-time"] = label_time
        for option, name in named.items():
            table.require([name] if name is not None else [], option)
        if score is not None and table.kinds[score] != "numeric":
            raise ConfigError(f"--score {score!r} holds {table.frame.schema[score]}: a score is a number")
        measured = tuple(dict.fromkeys(measures or ()))
        table.require(measured, "--measures")
        for name in measured:
            if table.kinds[name] != "numeric":
                kind = table.frame.schema[name]
                raise ConfigError(f"--measures {name!r} holds {kind}: a measure is a number")
        if features is None:
            features = [name for name in table.columns if name not in (*named.values(), *measured)]
        table.require(features, "--features")
        if not features:
            raise ConfigError(f"{table.source.name} has no feature column left: name some with --features")
        return cls(tuple(dict.fromkeys(features)), timestamp, prediction, score, label, measured)
