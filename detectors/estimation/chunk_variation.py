"""How performance differs from chunk to chunk of the reference: its metrics, and what estimates miss."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from detectors.calibration import calibrate
from detectors.chunks import Chunks
from detectors.estimation.correction import Feature
from detectors.estimation.grouping import Grouped
from detectors.estimation.linear import Floats, Masses
from detectors.estimation.model import OutcomeModel, Shares
from detectors.estimation.table import MetricVariation

NOISELESS = 1e-100  # as good as no variance, and its inverse would overflow
MOST_CHUNKS = 400  # the latest: more teach nothing new and take milliseconds each


def learn_variation(
    model: OutcomeModel, grouped: Grouped, features: Mapping[str, Feature], chunks: Chunks
) -> tuple[int, dict[str, MetricVariation]]:
    """Return the number of chunks, and by metric how realized values vary beyond sampling noise.

    The second half of the components is realized less estimated: what is left of it beyond sampling is how
    far off estimates are on data that the model of outcomes was learned from, in time order.
    """
    whole = _realized(grouped, slice(None), model)
    steady = model.metrics(whole)
    spread = {name: model.row_variance(metric, whole) for name, metric in steady.items()}
    values = {name: metric.value for name, metric in steady.items()}
    parts = [inside for inside in _inside(grouped, chunks) if inside.stop - inside.start > 1]
    if not parts:
        return 0, {name: MetricVariation(spread[name], 0.0, 1.0, None, 0.0) for name in values}
    pairs = [(_realized(grouped, inside, model), _shares(grouped, inside, features)) for inside in parts]
    measured = [_measure(model, *pair, values) for pair in pairs]
    effects, row_noise = (np.stack(columns) for columns in zip(*measured, strict=True))
    row_noise[:, : len(spread)] *= np.array(list(spread.values()))
    row_noise[row_noise < NOISELESS] = 0.0
    rows = np.array([inside.stop - inside.start for inside in parts])
    learned = calibrate(effects, row_noise / rows[:, None], rows, None)
    return len(parts), {
        name: MetricVariation(
            row_variance=spread[name],
            tau2=float(learned.tau2[m]),
            inertia=float(learned.inertia[m]),
            dof=None if np.isinf(learned.dof[m]) else float(learned.dof[m]),
            residual_tau2=float(learned.tau2[m + len(values)]),
        )
        for m, name in enumerate(values)
    }


def _inside(grouped: Grouped, chunks: Chunks) -> list[slice]:
    """Return the usable rows of each of the latest chunks."""
    first = max(chunks.number - MOST_CHUNKS, 0)
    of_row = np.full(grouped.usable.size, chunks.number)
    of_row[: chunks.of_row.size] = chunks.of_row
    bounds = np.searchsorted(of_row[grouped.usable], np.arange(first, chunks.number + 1)).tolist()
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def _measure(
    model: OutcomeModel, masses: Masses, shares: Shares, steady: Mapping[str, float]
) -> tuple[Floats, Floats]:
    """Return the effects of a chunk, and how noisy a row is in each: infinitely where not defined.

    The first half is in units of the metrics' own variance of a row.
    """
    number = len(steady)
    realized, expected = model.metrics(masses), model.expect(shares)
    effects, noise = np.zeros(2 * number), np.full(2 * number, np.inf)
    for m, name in enumerate(steady):
        if name in realized and name in expected:
            value = realized[name].value
            effects[m], noise[m] = value - steady[name], 1.0
            effects[m + number] = value - expected[name].value
            noise[m + number] = expected[name].row_variance
    return effects, noise


def _realized(grouped: Grouped, rows: slice, model: OutcomeModel) -> Masses:
    group, outcomes = grouped.group[rows], grouped.outcomes[rows]
    share = np.bincount(group, minlength=model.rows.size) / group.size
    sums = [np.bincount(group, weights=u, minlength=model.rows.size) for u in outcomes.T]
    return Masses(share, np.stack(sums, axis=1) / group.size)


def _shares(grouped: Grouped, rows: slice, features: Mapping[str, Feature]) -> Shares:
    n = rows.stop - rows.start
    return Shares(
        np.bincount(grouped.score_cell[rows], minlength=grouped.score_cells) / n,
        np.bincount(grouped.predicted[rows], minlength=grouped.classes) / n,
        {name: np.bincount(f.cell[rows], minlength=f.cells) / n for name, f in features.items()},
    )
