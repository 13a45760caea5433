"""Strata of one model as ingest meets them: from the codes of a block to numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream.codec import Declared, InferenceAttributes
from stream.outcomes.join import MAX_STRATA, OTHER_STRATUM
from stream.outcomes.stratum import Stratum


class StratumTable:
    """Strata of one model, numbered locally from 0 in ``names``.

    Numbers that all processes share are given by :meth:`stream.outcomes.join.JoinStore.strata`, later and
    outside: nothing is asked for while events are counted.
    """

    def __init__(self, declared: Declared) -> None:
        self.names: list[str] = []
        self._segments = tuple(declared.segments)
        self._values = (declared.variant_values, *declared.segment_values)
        self._local: dict[tuple[str, int], int] = {}

    def numbers(self, version: str, attributes: InferenceAttributes) -> NDArray[np.uint16]:
        """Local number of the stratum of each event; those beyond ``MAX_STRATA`` share one."""
        mixed = attributes.variant.astype(np.int64)
        for codes, values in zip(attributes.segments, self._values[1:], strict=True):
            mixed = mixed * len(values) + codes
        if not mixed.any():  # no segments, all live
            return np.full(len(mixed), self._number(version, 0), np.uint16)
        found, at = np.unique(mixed, return_inverse=True)
        numbers = [self._number(version, code) for code in found.tolist()]
        return np.array(numbers, np.uint16)[at]

    def _number(self, version: str, mixed: int) -> int:
        known = self._local.get((version, mixed))
        if known is not None:
            return known
        if len(self.names) >= MAX_STRATA:
            return OTHER_STRATUM
        self.names.append(self._stratum(version, mixed).name)
        number = self._local[version, mixed] = len(self.names) - 1
        return number

    def _stratum(self, version: str, mixed: int) -> Stratum:
        codes = _digits(mixed, [len(values) for values in self._values])
        variant, *segments = (values[code] for values, code in zip(self._values, codes, strict=True))
        return Stratum(version, variant, dict(zip(self._segments, segments, strict=True)))


def _digits(mixed: int, sizes: Sequence[int]) -> list[int]:
    digits = []
    for size in reversed(sizes):
        mixed, digit = divmod(mixed, size)
        digits.append(digit)
    return digits[::-1]
