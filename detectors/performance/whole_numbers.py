"""Bytes of counts that are mostly zero, and of sums: the fewest that are the same for the same numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.errors import CorruptBytes
from detectors.performance.spec import Whole

_LONGEST = 9  # bytes of 7 bits each: 63 bits
_LIMITS = np.uint64(1) << np.arange(7, 7 * _LONGEST, 7, dtype=np.uint64)
_LARGEST_SHIFT = 1 << 12
_LONGEST_SUM = 1 << 10


def pack_counts(counts: Whole) -> bytes:
    """Return counts as numbers of variable length; a 0 is followed by how many zeros there are.

    The first number says whether all are as they are (0) or doubled, odd where negative (1).
    """
    signed = bool(counts.size) and int(counts.min()) < 0
    numbers = (counts << 1) ^ (counts >> 63) if signed else counts
    held = np.flatnonzero(numbers)
    bounds = np.concatenate(([-1], held, [counts.size]))
    zeros = np.diff(bounds) - 1  # before each number that is held, and at the end
    tokens = np.zeros((held.size + 1, 3), dtype=np.int64)
    tokens[:, 1] = zeros
    tokens[:-1, 2] = numbers[held]
    kept = np.stack((zeros > 0, zeros > 0, np.arange(held.size + 1) < held.size), axis=1)
    return _pack(np.concatenate(([int(signed)], tokens[kept])).astype(np.uint64))


def unpack_counts(data: bytes, size: int) -> Whole:
    """Read ``size`` counts. Raises :class:`CorruptBytes` when these are not as many."""
    numbers = _unpack(data)
    if not numbers.size or numbers[0] > 1:
        raise CorruptBytes(f"{len(data)} bytes of counts do not say whether they are signed")
    signed, tokens = bool(numbers[0]), numbers[1:].astype(np.int64)
    zero = tokens == 0
    run = np.concatenate(([False], zero[:-1])) if zero.size else zero
    if np.any(zero & run) or (zero.size and zero[-1]):
        raise CorruptBytes("a run of zero counts has no length")
    lengths = np.where(run, tokens, np.where(zero, 0, 1))
    if np.any(lengths > size) or int(lengths.sum()) != size:
        raise CorruptBytes(f"{int(lengths.sum())} counts where {size} belong")
    values = np.repeat(np.where(run, 0, tokens), lengths)
    return (values >> 1) ^ -(values & 1) if signed else values


def _pack(numbers: NDArray[np.uint64]) -> bytes:
    if int(numbers.max()) < 0x80:  # most small panes
        return numbers.astype(np.uint8).tobytes()
    length = np.searchsorted(_LIMITS, numbers, side="right") + 1
    ends = np.cumsum(length)
    place = np.arange(int(ends[-1])) - np.repeat(ends - length, length)
    septets = (np.repeat(numbers, length) >> (7 * place).astype(np.uint64)) & np.uint64(0x7F)
    septets |= np.uint64(0x80)
    septets[ends - 1] &= np.uint64(0x7F)
    return septets.astype(np.uint8).tobytes()


def _unpack(data: bytes) -> NDArray[np.uint64]:
    septets = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(septets < 0x80)
    if not septets.size or not ends.size or ends[-1] != septets.size - 1:
        raise CorruptBytes(f"{len(data)} bytes of numbers end within one")
    starts = np.concatenate(([0], ends[:-1] + 1))
    length = ends - starts + 1
    if int(length.max()) > _LONGEST:
        raise CorruptBytes(f"a number has more than {7 * _LONGEST} bits")
    place = np.arange(septets.size) - np.repeat(starts, length)
    parts = (septets & 0x7F).astype(np.uint64) << (7 * place).astype(np.uint64)
    return np.add.reduceat(parts, starts)


def pack_sum(total: int) -> tuple[int, bytes]:
    """Return a sum as an odd number (little end first, signed) and how often it is to be doubled."""
    if not total:
        return 0, b""
    shift = (total & -total).bit_length() - 1
    odd = total >> shift
    return shift, odd.to_bytes(odd.bit_length() // 8 + 1, "little", signed=True)


def unpack_sum(shift: int, odd: bytes) -> int:
    """Read a sum. Raises :class:`CorruptBytes` when it is beyond all doubles."""
    if not 0 <= shift <= _LARGEST_SHIFT or len(odd) > _LONGEST_SUM:
        raise CorruptBytes(f"a sum of {len(odd)} bytes, doubled {shift} times, is no sum of doubles")
    return int.from_bytes(odd, "little", signed=True) << shift
