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

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values the variant and each segment have."""
        return tuple(map(len, self._values))

    def mixed(self, attributes: InferenceAttributes) -> NDArray[np.int64]:
        """One number for variant and segments of each event; 0 where all are the first of their values."""
        mixed = attributes.variant.astype(np.int64)
        for codes, values in zip(attributes.segments, self._values[1:], strict=True):
            mixed = mixed * len(values) + codes
        return mixed

    def number(self, version: str, mixed: int) -> int:
        """Local number of a stratum; those beyond ``MAX_STRATA`` share one."""
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


def stratum_numbers(
    blocks: Sequence[tuple[StratumTable, str, int]], attributes: InferenceAttributes
) -> NDArray[np.uint16]:
    """Local number of the stratum of each event, in the table of its model; of others than ``wanted`` any.

    ``blocks`` are table, version and number of rows, one block after the other, their tables of equal sizes.
    """
    sizes = [rows for _, _, rows in blocks]
    mixed = blocks[0][0].mixed(attributes)
    if not mixed.any():  # no segments, all live
        return np.repeat(
            np.array([table.number(version, 0) for table, version, _ in blocks], np.uint16), sizes
        )
    strata = int(np.prod(blocks[0][0].sizes))
    found, at = np.unique(np.repeat(np.arange(len(blocks)), sizes) * strata + mixed, return_inverse=True)
    places = zip((found // strata).tolist(), (found % strata).tolist(), strict=True)
    numbers = [blocks[block][0].number(blocks[block][1], code) for block, code in places]
    return np.array(numbers, np.uint16)[at]


def _digits(mixed: int, sizes: Sequence[int]) -> list[int]:
    digits = []
    for size in reversed(sizes):
        mixed, digit = divmod(mixed, size)
        digits.append(digit)
    return digits[::-1]
