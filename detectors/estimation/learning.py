"""Learning a reference's performance: from its rows to the section of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from detectors.binning import CategoricalBins, NumericBins
from detectors.chunks import WANTED_CHUNKS, Chunks
from detectors.estimation.binary import merged
from detectors.estimation.chunk_variation import learn_variation
from detectors.estimation.correction import Feature, learn_corrections
from detectors.estimation.grouping import Grouped, cells_of, concordance, group_rows
from detectors.estimation.model import OutcomeModel
from detectors.estimation.table import STORED, OutcomeTable, PerformanceEntry
from detectors.estimation.task import Judged, Source, judge
from detectors.performance.counts import PerformanceCounts
from detectors.performance.spec import Outcomes
from detectors.performance.tally import NUMBERS

FEWEST_OUTCOMES = 50
FEW_OUTCOMES = 1000


PRIMARY = {"binary": (0, 1), "multiclass": (0,), "regression": (0,)}


class Learned(NamedTuple):
    """The section, ``None`` where performance cannot be known, and what to tell the user about it."""

    entry: PerformanceEntry | None
    caveats: tuple[str, ...]


def learn_performance(
    label: Source, prediction: Source | None, score: Source | None, features: Sequence[Source], chunks: Chunks
) -> Learned:
    """Learn the performance of the reference, in time order.

    Parameters
    ----------
    label, prediction, score, features
        Columns of the reference, all rows.
    chunks
        The chunk of each row.
    """
    judged = judge(label, prediction, score)
    if isinstance(judged, str):
        return Learned(None, (judged,))
    axis = prediction if judged.spec.task == "regression" else score
    bins = axis.bins if axis is not None and isinstance(axis.bins, NumericBins) else None
    grouped = group_rows(judged, bins, None if axis is None or bins is None else axis.encoded)
    rows = int(np.count_nonzero(grouped.usable))
    if rows < FEWEST_OUTCOMES:
        return Learned(
            None, (f"only {rows} rows have a label and a prediction: performance needs {FEWEST_OUTCOMES}",)
        )
    table = _table(judged, prediction, grouped)
    table, chosen = _corrected(table, judged, grouped, features)
    entry = PerformanceEntry(
        spec=judged.spec,
        rows=rows,
        chunks=0,
        metrics=_reached(judged, grouped, table),
        variation={},
        table=table,
    )
    number, variation = learn_variation(OutcomeModel(entry), grouped, chosen, chunks)
    entry = msgspec.structs.replace(entry, chunks=number, variation=variation)
    return Learned(entry, tuple(_caveats(entry, grouped)))


def _reached(judged: Judged, grouped: Grouped, table: OutcomeTable) -> dict[str, float]:
    """Return the metrics of the whole reference."""
    prediction, score, label = (values[grouped.usable] for values in judged.outcomes)
    if judged.spec.task == "binary" and not table.probability:
        positive = judged.spec.positive_code
        prediction = np.where(grouped.predicted == 1, positive, 1 - positive).astype(np.float64)
        score = np.full_like(score, np.nan)
    counts = PerformanceCounts.empty(judged.spec)
    counts.add(Outcomes(prediction, score, label))
    return {k: v for k, v in counts.metrics().items() if v is not None and k not in NUMBERS}


def _caveats(entry: PerformanceEntry, grouped: Grouped) -> list[str]:
    caveats = []
    if entry.rows < FEW_OUTCOMES:
        caveats.append(
            f"only {entry.rows} rows have a label: estimated performance needs about {FEW_OUTCOMES}"
            " to be near, its standard error says how far off it may be"
        )
    if entry.chunks < WANTED_CHUNKS:
        caveats.append(
            f"only {entry.chunks} of the {WANTED_CHUNKS} chunks needed to learn how performance differs"
            " by itself"
        )
    if entry.spec.task == "binary" and entry.table.score is not None and not entry.table.probability:
        caveats.append(
            f"score {entry.table.score!r} is not always from 0 to 1:"
            " log loss, Brier score and areas are left out"
        )
    if entry.spec.task != "regression":
        missing = set(range(grouped.classes)) - set(grouped.predicted.tolist())
        if missing:
            names = ", ".join(repr(entry.spec.classes[code]) for code in sorted(missing)[:5])
            caveats.append(f"class {names} is never predicted in the reference")
    return caveats


def _table(judged: Judged, prediction: Source | None, grouped: Grouped) -> OutcomeTable:
    groups, width = grouped.score_cells * grouped.classes, STORED[judged.spec.task]
    group = grouped.group
    outcomes = merged(grouped.outcomes) if judged.spec.task == "binary" else grouped.outcomes
    sums = np.stack([np.bincount(group, weights=u, minlength=groups) for u in outcomes.T], axis=1)
    pairs = zip(*np.triu_indices(width), strict=True)
    products = np.stack(
        [np.bincount(group, weights=outcomes[:, i] * outcomes[:, j], minlength=groups) for i, j in pairs],
        axis=1,
    )
    probability = bool(np.all((grouped.score >= 0.0) & (grouped.score <= 1.0) | np.isnan(grouped.score)))
    return OutcomeTable(
        score=judged.score,
        prediction=judged.prediction,
        score_cells=grouped.score_cells,
        probability=probability and judged.score is not None,
        predicted=_predicted(judged, prediction),
        rows=tuple(np.bincount(group, minlength=groups).tolist()),
        sums=tuple(sums.reshape(-1).tolist()),
        products=tuple(products.reshape(-1).tolist()),
        inside=concordance(grouped) if judged.spec.task == "binary" else (),
        wrong=_wrong(judged, grouped) if judged.spec.task == "multiclass" else (),
        center=grouped.center,
        scale=grouped.scale,
    )


def _predicted(judged: Judged, prediction: Source | None) -> tuple[int, ...]:
    """Return the predicted class of each value cell of the prediction column."""
    if judged.prediction is None or prediction is None or not isinstance(prediction.bins, CategoricalBins):
        return ()
    known = {name: code for code, name in enumerate(judged.spec.classes)}
    if judged.spec.task == "binary":
        known = {name: int(code == judged.spec.positive_code) for name, code in known.items()}
    return (*(known.get(name, -1) for name in prediction.bins.categories), -1)


def _wrong(judged: Judged, grouped: Grouped) -> tuple[int, ...]:
    label = judged.outcomes.label[grouped.usable].astype(np.intp)
    missed = label != grouped.predicted
    cells = grouped.predicted[missed] * grouped.classes + label[missed]
    return tuple(np.bincount(cells, minlength=grouped.classes**2).tolist())


def _corrected(
    table: OutcomeTable, judged: Judged, grouped: Grouped, features: Sequence[Source]
) -> tuple[OutcomeTable, Mapping[str, Feature]]:
    """Add what features say beyond the groups; return those that do, too."""
    groups = grouped.score_cells * grouped.classes
    candidates = [
        Feature(f.bins.name, cells_of(f.bins, f.encoded)[grouped.usable], f.bins.value_cells + 3)
        for f in features
    ]
    learned = learn_corrections(
        grouped.group, groups, grouped.outcomes, candidates, PRIMARY[judged.spec.task]
    )
    if not learned.features:
        return table, {}
    explained = tuple(learned.explained.reshape(-1).tolist())
    by_name = {candidate.column: candidate for candidate in candidates}
    chosen = {correction.column: by_name[correction.column] for correction in learned.features}
    return msgspec.structs.replace(table, corrections=learned.features, explained=explained), chosen
