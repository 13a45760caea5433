"""Workload W: inference events of a loan-approval model, about 475 bytes of JSON each, and their reference.

16 numeric and 4 categorical features, 1 % of their values null and 0.5 % absent, a prediction, a score, a
segment and a latency; 333 events a second of event time, up to 200 ms out of order. Deterministic.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from detectors import Reference

MODEL, VERSION = "loan-approval", "v2"
START_MS = 1_760_000_000_000 // 60_000 * 60_000
STEP_MS, JITTER_MS = 3, 200
NULL_SHARE, ABSENT_SHARE = 0.010, 0.005
REFERENCE_ROWS, REFERENCE_WINDOW_ROWS = 20_000, 1_000
CHANNELS = ("web", "app", "branch")
_SEED = 20_251_009

Draw = Callable[[Generator, int], NDArray[Any]]

NUMERIC: dict[str, tuple[int, Draw]] = {  # name: decimals, distribution
    "age": (0, lambda r, n: r.normal(41, 12, n).clip(18, 90)),
    "income": (0, lambda r, n: r.lognormal(10.9, 0.55, n)),
    "amount": (0, lambda r, n: r.lognormal(9.6, 0.7, n)),
    "dti": (3, lambda r, n: r.beta(2, 5, n)),
    "fico": (0, lambda r, n: r.normal(690, 70, n).clip(300, 850)),
    "util": (3, lambda r, n: r.beta(1.2, 2.5, n)),
    "accts": (0, lambda r, n: r.poisson(9, n)),
    "delinq": (0, lambda r, n: r.poisson(0.3, n)),
    "tenure": (0, lambda r, n: r.exponential(70, n)),
    "ltv": (3, lambda r, n: r.normal(0.72, 0.15, n).clip(0.05, 1.4)),
    "payment": (0, lambda r, n: r.lognormal(6.1, 0.6, n)),
    "savings": (0, lambda r, n: r.lognormal(8.1, 1.6, n)),
    "inq": (0, lambda r, n: r.poisson(1.1, n)),
    "hist": (1, lambda r, n: r.gamma(4, 3.2, n)),
    "apr": (2, lambda r, n: r.normal(11.4, 4.1, n).clip(2, 36)),
    "spend": (2, lambda r, n: r.lognormal(3.7, 0.9, n)),
}
_PURPOSES = "debt car home medical moving wedding card energy small_biz vacation house edu"
_STATES = (
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND "
    "OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY"
)
CATEGORICAL: dict[str, tuple[str, ...]] = {
    "home": ("RENT", "OWN", "MORTGAGE", "OTHER", "NONE"),
    "purpose": tuple(_PURPOSES.split()),
    "sector": tuple(f"s{number:02d}" for number in range(24)),
    "state": tuple(_STATES.split()),
}


@dataclass(frozen=True)
class Workload:
    """``values`` are the events as bytes, ``ids`` their keys; ``columns`` and ``ts_ms`` what they say."""

    ids: list[str]
    values: list[bytes]
    ts_ms: NDArray[np.int64]
    columns: dict[str, list[Any]]


def workload(events: int) -> Workload:
    """Return the first ``events`` events of W."""
    columns = _columns(events, stream=1)
    random = np.random.default_rng([_SEED, 2])
    absent = random.random((events, len(NUMERIC) + len(CATEGORICAL))) < ABSENT_SHARE
    latency = np.round(random.lognormal(2.2, 0.4, events), 1).tolist()
    ts_ms = START_MS + np.arange(events) * STEP_MS + random.integers(0, JITTER_MS, events)
    ids = [str(uuid.UUID(bytes=random.bytes(16), version=4)) for _ in range(events)]
    names = [*NUMERIC, *CATEGORICAL]
    encode = msgspec.json.Encoder().encode
    values = []
    for row, features in enumerate(zip(*(columns[name] for name in names), strict=True)):
        kept = dict(zip(names, features, strict=True))
        for place in np.flatnonzero(absent[row]).tolist():
            del kept[names[place]]
        event = {
            "prediction_id": ids[row],
            "model": MODEL,
            "version": VERSION,
            "ts": int(ts_ms[row]),
            "features": kept,
            "prediction": columns["prediction"][row],
            "score": columns["score"][row],
            "measures": {"latency_ms": latency[row]},
            "segments": {"channel": CHANNELS[row % len(CHANNELS)]},
        }
        values.append(encode(event))
    for place, name in enumerate(names):
        for row in np.flatnonzero(absent[:, place]).tolist():
            columns[name][row] = None
    return Workload(ids, values, ts_ms, columns)


def reference() -> Reference:
    """Return the reference of W: other events from the same distributions."""
    return Reference.build(
        _columns(REFERENCE_ROWS, stream=0),
        window_rows=REFERENCE_WINDOW_ROWS,
        prediction="prediction",
        model=MODEL,
        version=VERSION,
    )


def _columns(rows: int, *, stream: int) -> dict[str, list[Any]]:
    """Columns of features with their nulls, prediction and score; the shares of categories never change."""
    random = np.random.default_rng([_SEED, 10 + stream])
    columns: dict[str, list[Any]] = {}
    for name, (decimals, draw) in NUMERIC.items():
        numbers = np.round(np.asarray(draw(random, rows), np.float64), decimals)
        columns[name] = (numbers if decimals else numbers.astype(np.int64)).tolist()
    shares = np.random.default_rng([_SEED, 3])
    for name, categories in CATEGORICAL.items():
        share = shares.dirichlet(np.full(len(categories), 2.0))
        columns[name] = [categories[code] for code in random.choice(len(categories), rows, p=share).tolist()]
    for values in columns.values():
        for row in np.flatnonzero(random.random(rows) < NULL_SHARE).tolist():
            values[row] = None
    score = np.round(random.beta(2, 3, rows), 4)
    columns["prediction"] = (score > 0.5).astype(np.int64).tolist()
    columns["score"] = score.tolist()
    return columns
