"""Building a reference: from columns in event-time order to bins, counts and variation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, get_args

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.binning import Binning, CategoricalBins, Column, NumericBins
from detectors.calibration import Variation, calibrate
from detectors.chunks import WANTED_CHUNKS, Chunks, chunk_rows, chunk_times, cut_rows, cut_time
from detectors.columns import (
    UNSEEN,
    as_array,
    category_key,
    check_lengths,
    encode_categorical,
    encode_numeric,
    infer_kind,
)
from detectors.edges import cut
from detectors.errors import BuildError
from detectors.estimation.learning import Learned, learn_performance
from detectors.estimation.task import Source
from detectors.levels import KNOWN_RARE, choose_levels
from detectors.pair_building import build_pairs
from detectors.reference_file import ColumnEntry, ReferenceFile, Role, column_variations
from detectors.scores import Scores

CLASSES = 20
COLUMN_LIMIT = 10_000
CHUNKS_AT_ONCE = 64
SMALLEST_SCALE = 1e-290
MOST_CHUNKS = 4000  # more teach nothing new and take memory: 8 bytes a chunk and component


class _Encoded(NamedTuple):
    bins: Column
    values: NDArray[Any]
    caveat: str | None


def build(
    columns: Mapping[str, ArrayLike],
    roles: Mapping[str, Role],
    window_rows: int,
    timestamps_ms: ArrayLike | None,
    categorical: frozenset[str],
    *,
    pairs: bool | None,
) -> ReferenceFile:
    """Do the work of :meth:`Reference.build`."""
    rows = _check(columns, roles, window_rows, categorical)
    times, order = _time_order(timestamps_ms, rows)
    parts = [
        _encode(name, as_array(values)[order], roles.get(name, "feature"), forced=name in categorical)
        for name, values in columns.items()
    ]
    binning = Binning(part.bins for part in parts)
    encoded = {part.bins.name: part.values for part in parts}
    cells = binning.count(encoded)[0]
    scores = Scores(binning, cells)
    chunks = _cut(rows, window_rows, times)
    variation = _calibrate(binning, encoded, scores, chunks)
    outcomes = _learn_outcomes(columns, roles, order, parts, chunks)
    caveats = [part.caveat for part in parts if part.caveat] + _general_caveats(rows, variation.chunks, times)
    by_column = column_variations(variation, scores.per_column)
    entries = [
        ColumnEntry(
            role=roles.get(part.bins.name, "feature"),
            bins=part.bins,
            counts=(*cells[j, : part.bins.value_cells].tolist(), *cells[j, -3:].tolist()),
            variation=by_column[j],
        )
        for j, part in enumerate(parts)
    ]
    return ReferenceFile(
        rows=rows,
        window_rows=window_rows,
        chunks=variation.chunks,
        chunk_rows=variation.rows,
        days=variation.days,
        caveats=(*caveats, *outcomes.caveats),
        columns=tuple(entries),
        pairs=build_pairs(
            binning,
            encoded,
            scores,
            chunks,
            allowed=[n for n in columns if roles.get(n) != "label"],
            wanted=pairs,
        ),
        performance=outcomes.entry or msgspec.UNSET,
    )


def _learn_outcomes(
    columns: Mapping[str, ArrayLike],
    roles: Mapping[str, Role],
    order: NDArray[np.intp] | slice,
    parts: Sequence[_Encoded],
    chunks: Chunks,
) -> Learned:
    """Learn performance where there is a label; the first numeric score column is the model's."""
    by_role: dict[Role, list[Source]] = {role: [] for role in get_args(Role)}
    for part in parts:
        role = roles.get(part.bins.name, "feature")
        raw = as_array(columns[part.bins.name])[order] if role in ("prediction", "label") else part.values
        by_role[role].append(Source(part.bins, raw, part.values))
    if not by_role["label"]:
        return Learned(None, ())
    scores = [score for score in by_role["score"] if isinstance(score.bins, NumericBins)]
    prediction = next(iter(by_role["prediction"]), None)
    score = next(iter(scores), None)
    if prediction is None and score is None:
        return Learned(None, ())
    return learn_performance(by_role["label"][0], prediction, score, by_role["feature"], chunks)


def _check(
    columns: Mapping[str, ArrayLike], roles: Mapping[str, Role], window_rows: int, categorical: frozenset[str]
) -> int:
    if window_rows < 1:
        raise BuildError(f"window_rows is {window_rows}: give the rows of a live slice, at least 1")
    if not columns:
        raise BuildError("there are no columns: give at least one")
    if len(columns) > COLUMN_LIMIT:
        raise BuildError(f"there are {len(columns)} columns: give at most {COLUMN_LIMIT}")
    for name in (*roles, *sorted(categorical)):
        if name not in columns and name != "score":
            near = get_close_matches(name, list(columns), n=1)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"the columns are {', '.join(list(columns)[:10])}"
            )
            raise BuildError(f"there is no column {name!r}: {hint}")
    rows = check_lengths(columns)
    if rows < 2:
        raise BuildError(f"the reference has {rows} rows: give at least 2, better several thousand")
    return rows


def _time_order(
    timestamps_ms: ArrayLike | None, rows: int
) -> tuple[NDArray[np.int64] | None, NDArray[np.intp] | slice]:
    if timestamps_ms is None:
        return None, slice(None)
    times = np.asarray(timestamps_ms)
    if times.shape != (rows,) or times.dtype.kind not in "iuf" or not np.all(np.isfinite(times)):
        raise BuildError(
            f"timestamps_ms must be {rows} numbers (epoch milliseconds), it is {times.dtype} {times.shape}"
        )
    times = times.astype(np.int64)
    order = np.argsort(times, kind="stable")
    return times[order], order


def _encode(name: str, values: NDArray[Any], role: Role, *, forced: bool) -> _Encoded:
    if forced or infer_kind(name, values) == "categorical":
        return _encode_categorical(name, values)
    numbers = encode_numeric(values)
    finite = numbers[np.isfinite(numbers)]
    distinct = np.unique(finite)
    if role in ("prediction", "label") and 0 < distinct.size <= CLASSES and bool(np.all(distinct % 1 == 0)):
        return _encode_categorical(name, values)
    return _Encoded(_numeric_bins(name, finite), numbers, _numeric_caveat(name, distinct.size, numbers))


def _numeric_bins(name: str, finite: NDArray[np.float64]) -> NumericBins:
    edges, atoms = cut(finite)
    # In units of the largest value, not even the largest floats overflow.
    scale = float(np.abs(finite).max(initial=0.0)) or 1.0
    if scale < SMALLEST_SCALE:  # the edges around a tiny constant are far larger than it is
        scale = float(np.abs(edges).max(initial=scale))
    centers, spread = _centers(finite / scale, edges / scale)
    return NumericBins(
        name=name,
        edges=tuple(edges.tolist()),
        atoms=tuple(atoms.tolist()),
        centers=tuple((centers * scale).tolist()),
        spread=spread * scale,
    )


def _centers(values: NDArray[np.float64], edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Mean of the values in each cell (of an empty one: the middle), increasing; their standard deviation."""
    if not values.size:
        return np.zeros(edges.size + 1), 0.0
    low, high = float(values.min()), float(values.max())
    cell = np.searchsorted(edges, values, side="right")
    number = np.bincount(cell, minlength=edges.size + 1)
    sums = np.bincount(cell, weights=values, minlength=edges.size + 1)
    bounds = np.clip(np.concatenate(([low], edges, [high])), low, high)
    centers = np.where(number > 0, sums / np.maximum(number, 1), (bounds[:-1] + bounds[1:]) / 2)
    return np.maximum.accumulate(np.clip(centers, low, high)), float(values.std())


def _numeric_caveat(name: str, distinct: int, numbers: NDArray[np.float64]) -> str | None:
    if distinct == 0:
        return f"column {name!r} has no finite value: only its missing and invalid rates are watched"
    if distinct == 1:
        return f"column {name!r} is constant: any other value counts as change"
    if np.isnan(numbers).mean() > 0.5:
        return f"column {name!r} is missing in more than half of the rows"
    return None


def _encode_categorical(name: str, values: NDArray[Any]) -> _Encoded:
    keys = [key for key in map(category_key, values.tolist()) if isinstance(key, str)]
    levels = choose_levels(keys)
    bins = CategoricalBins(name=name, categories=levels.own, rare=levels.rare)
    lookup: dict[str | None, int] = {key: code for code, key in enumerate(levels.own)}
    # Good & Turing: the share of levels seen once is the chance that the next row brings a new one. Each
    # row is counted as it would look to a reference without it, so a live window's `unseen` meets its
    # expectation here.
    lookup.update((key, len(levels.own)) for key in levels.rare if key not in levels.once)
    codes = encode_categorical(values, lookup)
    return _Encoded(bins, codes, _categorical_caveat(name, bins, codes))


def _categorical_caveat(name: str, bins: CategoricalBins, codes: NDArray[np.int32]) -> str | None:
    if not bins.categories and not bins.rare:
        return f"column {name!r} has no valid value: every category will count as unseen"
    if len(bins.rare) >= KNOWN_RARE or float(np.mean(codes == UNSEEN)) > 0.2:
        return f"column {name!r} has mostly categories that occur once, like an identifier: leave it out"
    if len(bins.categories) == 1 and not bins.rare:
        return f"column {name!r} has one category: any other counts as unseen"
    return None


def _general_caveats(rows: int, chunks: int, times: NDArray[np.int64] | None) -> list[str]:
    caveats = []
    if chunks < WANTED_CHUNKS:
        caveats.append(
            f"only {chunks} of the {WANTED_CHUNKS} chunks needed to learn how windows differ by themselves"
            f" ({rows} rows): expect false alarms where they do"
        )
    if times is None:
        caveats.append("no timestamps: rows are taken in the order given, and no season is learned")
    return caveats


def _cut(rows: int, window_rows: int, times: NDArray[np.int64] | None) -> Chunks:
    size = chunk_rows(rows, window_rows)
    timed = None if times is None else cut_time(times, size)
    if times is None or timed is None:
        return Chunks(_latest(cut_rows(rows, size)), None)
    of_row = _latest(timed[0])
    return Chunks(of_row, chunk_times(times, of_row, timed[1]))


def _latest(chunk: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number the latest chunks from 0; the rows of those before get negative numbers, and are left out."""
    return chunk - max(int(chunk.max(initial=-1)) + 1 - MOST_CHUNKS, 0)


def _calibrate(
    binning: Binning, encoded: Mapping[str, NDArray[Any]], scores: Scores, chunks: Chunks
) -> Variation:
    number = chunks.number
    effects, noise = np.empty((number, scores.owner.size)), np.empty((number, scores.owner.size))
    variance = np.where(scores.is_indicator, scores.share * (1.0 - scores.share) / scores.scale**2, 1.0)
    for first in range(0, number, CHUNKS_AT_ONCE):
        stop = min(first + CHUNKS_AT_ONCE, number)
        inside = chunks.rows(first, stop)
        part = {name: values[inside] for name, values in encoded.items()}
        counted = binning.count(part, chunks.of_row[inside] - first, stop - first)
        for b, cells in enumerate(counted, start=first):
            sums = scores.sums(cells)
            effects[b] = scores.effects(sums)
            noise[b] = np.divide(variance, sums.n, out=np.full_like(sums.n, np.inf), where=sums.n > 0)
    rows = np.bincount(chunks.of_row[chunks.of_row >= 0], minlength=number)
    return calibrate(effects, noise, rows, chunks.times_ms)
