"""Rows of loans, a reference of them, and the times at which they happen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors import Reference

T0 = 1_700_000_000_000


def columns(n: int, *, shift: float = 0.0, seed: int = 3) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    return {
        "age": (rng.normal(40 + shift, 10, n)).tolist(),
        "region": rng.choice(["north", "south"], n).tolist(),
        "repaid": rng.choice(["yes", "no"], n).tolist(),
    }


def loan_reference() -> Reference:
    return Reference.build(columns(4000), window_rows=100, label="repaid", model="loans", version="v2")


def every(step_ms: int, n: int) -> NDArray[np.int64]:
    return T0 + step_ms * np.arange(n, dtype=np.int64)
