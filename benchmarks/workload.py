"""Workload W: inference events of a loan-approval model, about 475 bytes of JSON each, and their reference.

16 numeric and 4 categorical features, 1 % of their values null and 0.5 % absent, a prediction, a score, a
segment and a latency; 333 events a second of event time, up to 200 ms out of order. Deterministic. Rows are
made up to a number and then used again, with ids and times of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
MOST_VALUES = 2_000_000
CHANNELS = ("web", "app", "branch")
_SEED = 20_251_009
_ID, _TS, _MODEL = "%(id)s", msgspec.Raw(b"%(ts)d"), "%(model)s"

Draw = Callable[[Generator, int], NDArray[Any]]
Columns = dict[str, list[Any]]

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
FEATURES = (*NUMERIC, *CATEGORICAL)


@dataclass(frozen=True)
class Shape:
    """How a workload differs from W.

    Parameters
    ----------
    copies
        How often each of the 20 features is there, under a name and with values of its own.
    shuffled
        Keys in another order in every row, of the event and of its features.
    models
        Models in turns, each of them as busy as W is.
    """

    copies: int = 1
    shuffled: bool = False
    models: int = 1

    @property
    def names(self) -> list[str]:
        """Names of the models."""
        return [MODEL] if self.models == 1 else [f"{MODEL}-{number}" for number in range(self.models)]


@dataclass(frozen=True)
class Workload:
    """``values`` are the events as bytes, ``ids`` their keys.

    ``columns`` are the rows that they are made of: event ``i`` says what row ``rows[i]`` does, of model
    ``models[model[i]]``. Where ``dead`` is true the value is no event.
    """

    ids: list[str]
    values: list[bytes]
    ts_ms: NDArray[np.int64]
    columns: Columns
    rows: NDArray[np.intp]
    models: list[str]
    model: NDArray[np.intp]
    dead: NDArray[np.bool_]

    def first(self, events: int) -> Workload:
        """Return the first ``events`` events."""
        cut = slice(events)
        return replace(
            self,
            ids=self.ids[cut],
            values=self.values[cut],
            ts_ms=self.ts_ms[cut],
            rows=self.rows[cut],
            model=self.model[cut],
            dead=self.dead[cut],
        )


def workload(events: int, shape: Shape = Shape()) -> Workload:
    """Return the first ``events`` events of W, or of a workload of another shape."""
    distinct = min(events, MOST_VALUES // (len(FEATURES) * shape.copies))
    columns = _columns(distinct, stream=1, copies=shape.copies)
    random = np.random.default_rng([_SEED, 2])
    templates = _templates(columns, random, shuffled=shape.shuffled)
    number = np.arange(events)
    ts_ms = START_MS + number // shape.models * STEP_MS + random.integers(0, JITTER_MS, events)
    ids = _ids(random, events)
    names = [name.encode() for name in shape.names]
    rows, model = number % distinct, number % shape.models
    values = [
        templates[row] % {b"id": key.encode(), b"ts": ts, b"model": names[at]}
        for row, key, ts, at in zip(rows.tolist(), ids, ts_ms.tolist(), model.tolist(), strict=True)
    ]
    return Workload(ids, values, ts_ms, columns, rows, shape.names, model, np.zeros(events, np.bool_))


def reference(copies: int = 1, model: str = MODEL) -> Reference:
    """Return the reference of W: other events from the same distributions, with their labels."""
    columns = _columns(REFERENCE_ROWS, stream=0, copies=copies)
    random = np.random.default_rng([_SEED, 4])
    columns["label"] = (random.random(REFERENCE_ROWS) < np.array(columns["score"])).astype(np.int64).tolist()
    return Reference.build(
        columns,
        window_rows=REFERENCE_WINDOW_ROWS,
        prediction="prediction",
        label="label",
        model=model,
        version=VERSION,
    )


def _ids(random: Generator, events: int) -> list[str]:
    """Random version 4 UUIDs."""
    digits = random.bytes(16 * events).hex()
    starts = range(0, len(digits), 32)
    return [
        f"{digits[s : s + 8]}-{digits[s + 8 : s + 12]}-4{digits[s + 13 : s + 16]}-a{digits[s + 17 : s + 20]}"
        f"-{digits[s + 20 : s + 32]}"
        for s in starts
    ]


def _templates(columns: Columns, random: Generator, *, shuffled: bool) -> list[bytes]:
    """Events as bytes with places for id, time and model; ``columns`` lose the values that are absent."""
    names = [name for name in columns if name not in ("prediction", "score")]
    rows = len(columns["score"])
    absent = random.random((rows, len(names))) < ABSENT_SHARE
    latency = np.round(random.lognormal(2.2, 0.4, rows), 1).tolist()
    encode = msgspec.json.Encoder().encode
    templates = []
    for row, features in enumerate(zip(*(columns[name] for name in names), strict=True)):
        kept = dict(zip(names, features, strict=True))
        for place in np.flatnonzero(absent[row]).tolist():
            del kept[names[place]]
        event = {
            "prediction_id": _ID,
            "model": _MODEL,
            "version": VERSION,
            "ts": _TS,
            "features": _reordered(kept, random) if shuffled else kept,
            "prediction": columns["prediction"][row],
            "score": columns["score"][row],
            "measures": {"latency_ms": latency[row]},
            "segments": {"channel": CHANNELS[row % len(CHANNELS)]},
        }
        templates.append(encode(_reordered(event, random) if shuffled else event))
    for place, name in enumerate(names):
        for row in np.flatnonzero(absent[:, place]).tolist():
            columns[name][row] = None
    return templates


def _reordered(given: dict[str, Any], random: Generator) -> dict[str, Any]:
    items = list(given.items())
    return dict(items[place] for place in random.permutation(len(items)).tolist())


def _columns(rows: int, *, stream: int, copies: int = 1) -> Columns:
    """Columns of features with their nulls, prediction and score; the shares of categories never change."""
    random = np.random.default_rng([_SEED, 10 + stream])
    columns: Columns = {}
    for copy, name in ((copy, name) for copy in range(copies) for name in FEATURES):
        columns[name if copy == 0 else f"{name}_{copy + 1}"] = _draw(name, random, rows)
    for values in columns.values():
        for row in np.flatnonzero(random.random(rows) < NULL_SHARE).tolist():
            values[row] = None
    score = np.round(random.beta(2, 3, rows), 4)
    columns["prediction"] = (score > 0.5).astype(np.int64).tolist()
    columns["score"] = score.tolist()
    return columns


def _draw(name: str, random: Generator, rows: int) -> list[Any]:
    if name in NUMERIC:
        decimals, draw = NUMERIC[name]
        numbers = np.round(np.asarray(draw(random, rows), np.float64), decimals)
        return list((numbers if decimals else numbers.astype(np.int64)).tolist())
    categories = CATEGORICAL[name]
    shares = np.random.default_rng([_SEED, 3, list(CATEGORICAL).index(name)])
    share = shares.dirichlet(np.full(len(categories), 2.0))
    return [categories[code] for code in random.choice(len(categories), rows, p=share).tolist()]
