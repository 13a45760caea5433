"""From raw columns to encoded ones: what a number, a category, a missing and an invalid value is.

Encoded columns are what :class:`~detectors.binning.Binning` counts:

* numeric: float64 ``(n,)``; NaN is missing, an infinity is invalid;
* categorical: int32 codes ``(n,)``; ``>= 0`` is a value cell, :data:`MISSING`, :data:`UNSEEN`,
  :data:`INVALID`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.errors import BuildError

MISSING = -1
UNSEEN = -2
INVALID = -3

Kind = Literal["numeric", "categorical"]
_NUMBERS = (int, float, np.integer, np.floating)


def as_array(values: ArrayLike) -> NDArray[Any]:
    """Return ``values`` as one-dimensional array; sequences of Python objects keep their objects.

    ``np.asarray(["a", float("nan")])`` would turn the missing value into the text ``"nan"``, and ``[1, "a"]``
    into ``["1", "a"]``: hence the detour over ``dtype=object`` for lists and tuples.
    """
    if isinstance(values, list | tuple):
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    array = np.asarray(values)
    if array.ndim != 1:
        raise BuildError(f"a column must be one-dimensional, this one has shape {array.shape}")
    return array


def infer_kind(name: str, values: ArrayLike) -> Kind:
    """Numbers are numeric; strings and booleans are categorical; nothing but missing values is numeric.

    A mix of text and numbers is categorical, since the text could not be put on an axis.

    Raises
    ------
    BuildError
        For values that are neither (dates, lists, objects): the message names the column and the remedy.

    >>> infer_kind("age", [31, None, 42.5]), infer_kind("region", ["north", None])
    ('numeric', 'categorical')
    """
    array = as_array(values)
    if array.dtype.kind in "iuf":
        return "numeric"
    if array.dtype.kind in "bU":
        return "categorical"
    if array.dtype.kind != "O":
        raise BuildError(
            f"column {name!r} has dtype {array.dtype}: convert it to a number or a string, or leave it out"
        )
    kinds = {type(value) for value in array.tolist()} - {type(None)}
    if all(issubclass(kind, _NUMBERS) and not issubclass(kind, bool) for kind in kinds):
        return "numeric"
    for kind in kinds:
        if not issubclass(kind, (*_NUMBERS, bool, np.bool_, str)):
            raise BuildError(
                f"column {name!r} holds {kind.__name__} values:"
                " convert them to numbers or strings, or leave it out"
            )
    return "categorical"


def category_key(value: object) -> str | int | None:
    """Return the category a value stands for: a string, ``None`` for missing, :data:`INVALID` otherwise.

    >>> [category_key(v) for v in (12, 12.0, 1.5, True, "RENT", None, float("nan"))]
    ['12', '12', '1.5', 'true', 'RENT', None, None]
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return _number_key(float(value))
    return INVALID


def _number_key(number: float) -> str | int | None:
    if math.isnan(number):
        return None
    if math.isinf(number):
        return INVALID
    return str(int(number)) if number.is_integer() else repr(number)


def encode_numeric(values: ArrayLike) -> NDArray[np.float64]:
    """Encode a numeric column; what is not a number becomes an infinity (invalid), ``None`` becomes NaN."""
    array = as_array(values)
    if array.dtype.kind in "iufb":
        return array.astype(np.float64)
    return np.fromiter((_number(value) for value in array.tolist()), dtype=np.float64, count=len(array))


def _number(value: object) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, (*_NUMBERS, bool, np.bool_)):
        return math.inf
    try:
        return float(value)
    except OverflowError:
        return math.inf


def encode_categorical(values: ArrayLike, lookup: Mapping[str | None, int]) -> NDArray[np.int32]:
    """Encode a categorical column with ``lookup``; an unknown category is :data:`UNSEEN`."""
    array = as_array(values)
    code = _coder(lookup)
    if array.dtype.kind == "O":
        return np.fromiter((code(value) for value in array.tolist()), dtype=np.int32, count=len(array))
    levels, inverse = np.unique(array, return_inverse=True)
    codes = np.fromiter((code(level) for level in levels.tolist()), dtype=np.int32, count=len(levels))
    return codes[inverse.reshape(-1)]


def _coder(lookup: Mapping[str | None, int]) -> Callable[[object], int]:
    def code(value: object) -> int:
        key = category_key(value)
        if key is None:
            return MISSING
        return key if isinstance(key, int) else lookup.get(key, UNSEEN)

    return code


def check_lengths(columns: Mapping[str, ArrayLike] | Mapping[str, Sequence[Any]]) -> int:
    """Return the common number of rows.

    Raises
    ------
    BuildError
        When two columns differ in length.
    """
    lengths = {name: len(as_array(values)) for name, values in columns.items()}
    rows = next(iter(lengths.values()), 0)
    for name, length in lengths.items():
        if length != rows:
            raise BuildError(
                f"column {name!r} has {length} rows, the first column has {rows}: give equal lengths"
            )
    return rows
