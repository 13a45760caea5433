"""Bytes of a tally: checked, the fewest, and the same for the same tally."""

from __future__ import annotations

import msgspec

from detectors.errors import CorruptBytes, MismatchError
from detectors.framing import frame, unframe
from detectors.performance.tally import Tally
from detectors.performance.whole_numbers import pack_counts, pack_sum, unpack_counts, unpack_sum

_VERSION = 1


class _Stored(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    fingerprint: int
    counts: bytes
    sums: tuple[tuple[int, bytes], ...]


def tally_bytes(magic: bytes, fingerprint: int, tally: Tally) -> bytes:
    """Return checked bytes of a tally; ``fingerprint`` says what was counted."""
    sums = tuple(pack_sum(total) for total in tally.sums)
    stored = _Stored(fingerprint, pack_counts(tally.counts), sums)
    return frame(magic, _VERSION, msgspec.msgpack.encode(stored))


def read_tally(magic: bytes, fingerprint: int, data: bytes, *, cells: int, totals: int) -> Tally:
    """Read what :func:`tally_bytes` wrote.

    Raises :class:`CorruptBytes` for anything else, :class:`MismatchError` for another fingerprint.
    """
    name = magic.decode("ascii")
    try:
        stored = msgspec.msgpack.decode(unframe(magic, _VERSION, data), type=_Stored)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise CorruptBytes(f"{name}: {exc}") from exc
    if stored.fingerprint != fingerprint:
        raise MismatchError(f"{name}: these counts are of something else: use the spec they were made with")
    if len(stored.sums) != totals:
        raise CorruptBytes(f"{name}: {len(stored.sums)} sums where {totals} belong")
    counts = unpack_counts(stored.counts, cells)
    return Tally(counts, [unpack_sum(shift, odd) for shift, odd in stored.sums])
