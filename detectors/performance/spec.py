"""What is predicted, and the arrays of predictions with their labels that performance is counted from."""

from __future__ import annotations

import zlib
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

LARGEST_CLASSES = 200
LARGEST_K = 1000


class PerformanceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a model's predictions are to be judged.

    Parameters
    ----------
    task
        Kind of prediction.
    classes
        Names of the classes, in the order of their codes. ``binary``: two, or none for ``("0", "1")``;
        ``multiclass``: 2 to 200; none otherwise.
    positive
        The class whose probability the score of a ``binary`` model is; the second where absent.
    k
        Lengths of the list at which a ``ranking`` is judged; the first is the one named without its length.

    Raises
    ------
    ValueError
        When these do not fit together.

    Examples
    --------
    >>> PerformanceSpec("binary", classes=("good", "fraud")).positive_code
    1
    """

    task: Literal["binary", "multiclass", "regression", "ranking"]
    classes: tuple[str, ...] = ()
    positive: str | None = None
    k: tuple[int, ...] = (10,)

    def __post_init__(self) -> None:
        if self.task == "binary" and not self.classes:
            msgspec.structs.force_setattr(self, "classes", ("0", "1"))
        count = len(self.classes)
        if len(set(self.classes)) != count:
            raise ValueError(f"classes {list(self.classes)} name one twice: give each once")
        if self.task == "binary" and count != 2:
            raise ValueError(f"a binary task has two classes, not {count}: name both, or none")
        if self.task == "multiclass" and not 2 <= count <= LARGEST_CLASSES:
            raise ValueError(f"a multiclass task has 2 to {LARGEST_CLASSES} classes, not {count}")
        if self.task in ("regression", "ranking") and count:
            raise ValueError(f"a {self.task} task has no classes: leave them out")
        if self.positive is not None and (self.task != "binary" or self.positive not in self.classes):
            raise ValueError(f"positive is {self.positive!r}: name one of the two classes of a binary task")
        if self.task == "binary" and self.positive is None:
            msgspec.structs.force_setattr(self, "positive", self.classes[1])
        if not self.k or len(set(self.k)) != len(self.k) or not all(1 <= k <= LARGEST_K for k in self.k):
            raise ValueError(f"k is {list(self.k)}: give different lengths from 1 to {LARGEST_K}")

    @property
    def positive_code(self) -> int:
        """Code of the positive class of a binary task."""
        return self.classes.index(self.positive) if self.positive is not None else 1

    @property
    def fingerprint(self) -> int:
        """A checksum of what is counted: counts with another one cannot be merged."""
        return zlib.crc32(msgspec.msgpack.encode(self))


class Outcomes(NamedTuple):
    """Predictions with their labels, n of each.

    Codes of classes are positions in ``spec.classes``; any other number is a class that the reference did
    not know.

    Parameters
    ----------
    prediction
        float64 ``(n,)``: code of the predicted class, or the predicted value. NaN where absent: a class is
        then derived from the score (binary: positive from 0.5 on; multiclass: the likeliest). Rankings do
        not use it.
    score
        float64 ``(n,)``: probability of the positive class (binary) or of the predicted one (multiclass);
        NaN where unknown. Multiclass may give all probabilities, ``(n, classes)``. Not used otherwise.
    label
        float64 ``(n,)``: code of the true class, the true value, or the 1-based rank of the relevant item
        (0 or NaN: it is not in the list).
    """

    prediction: Floats
    score: Floats
    label: Floats

    def checked(self) -> Outcomes:
        """Return the same as float64 arrays. Raises ``ValueError`` when the lengths differ."""
        arrays = Outcomes(*(np.asarray(values, dtype=np.float64) for values in self))
        shapes = [array.shape for array in arrays]
        if arrays.label.ndim != 1 or {shape[:1] for shape in shapes} != {arrays.label.shape}:
            raise ValueError(
                f"prediction, score and label have shapes {shapes}: give one of each per outcome"
            )
        return arrays
