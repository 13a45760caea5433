"""Counts to bytes by the compiled package ``driftstream_native``, where it is installed: same bytes, sooner.

What the bytes are is said by :meth:`Counts.to_bytes`; tests compare the two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

try:
    from driftstream_native import counts_bytes as _counts_bytes
except ImportError:  # not installed, or of a release that packs no counts
    IS_INSTALLED = False
else:
    IS_INSTALLED = True


def compiled_bytes(n: int, cells: NDArray[np.int64], moments: NDArray[np.int64] | None) -> bytes | None:
    """Return the bytes of counts of ``n`` rows; None for arrays in pieces and without columns."""
    return _counts_bytes(n, cells, moments) if IS_INSTALLED else None
