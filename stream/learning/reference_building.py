"""A reference from the columns of events, however they were read: from a file, or from Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors import Reference
from stream.privacy import NO_RULES, FieldPrivacy


@dataclass(frozen=True, kw_only=True)
class EventColumns:
    """Values of the same events, a column each; NaN or None is missing.

    Features keep their names; the others are called ``prediction``, ``score`` and ``label``, as in the
    events, so no feature may have such a name beside them.
    """

    features: Mapping[str, ArrayLike] = field(default_factory=dict)
    prediction: ArrayLike | None = None
    score: ArrayLike | None = None
    label: ArrayLike | None = None
    measures: Mapping[str, ArrayLike] = field(default_factory=dict)

    @property
    def outputs(self) -> dict[str, ArrayLike]:
        """The columns that are no features, by name."""
        found = {"prediction": self.prediction, "score": self.score, "label": self.label}
        return {name: values for name, values in found.items() if values is not None}


def build_named(
    columns: EventColumns,
    *,
    window_rows: int,
    times_ms: NDArray[np.int64] | None,
    categorical: Iterable[str] = (),
    privacy: FieldPrivacy = NO_RULES,
    model: str,
    version: str,
) -> Reference:
    """Build the reference of a model version from its events' columns.

    Parameters
    ----------
    window_rows
        Rows of a live slice.
    times_ms
        Event time of each row; None: the rows are in order.
    privacy
        What becomes of the values of features first.

    Raises
    ------
    BuildError
        The columns give no reference.
    """
    outputs = columns.outputs
    return Reference.build(
        {**privacy.built(columns.features, model), **columns.measures, **outputs},
        window_rows=window_rows,
        timestamps_ms=times_ms,
        outputs=("score",) if "score" in outputs else (),
        prediction="prediction" if "prediction" in outputs else None,
        label="label" if "label" in outputs else None,
        measures=tuple(columns.measures),
        categorical=frozenset(categorical) - privacy.dropped,
        model=model,
        version=version,
    )


def rows_per_slide(times_ms: NDArray[np.int64], slide_ms: int) -> int:
    """Return the median of the rows in the slides that have any.

    >>> rows_per_slide(np.array([0, 10, 20, 60_000, 600_001]), 60_000)
    1
    """
    _, sizes = np.unique(times_ms // slide_ms, return_counts=True)
    return max(1, int(np.median(sizes)))
