"""A world of features for measuring quality: blocks of 20 columns, at rest, in seasons, wandering, drifted.

A block holds 8 normals that correlate by 0.5, two t with 3 degrees of freedom, a lognormal, an exponential,
a column of 70 % zeros, a Poisson, a column with 1 % missing, the score of a model that uses two of the
normals and the lognormal, and categories of 2, 5, 20 and 8 levels, rare ones among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors import UNSEEN, Counts, Reference

Columns = dict[str, NDArray[Any]]
Change = Callable[[Columns, np.random.Generator, float], None]

HOUR_MS = 3_600_000
NORMALS = tuple(f"x{j}" for j in range(8))
MOVING = (*NORMALS, "t0", "t1", "lognormal", "exponential", "zeros", "poisson", "holes")
_TAIL = 0.55 * 0.8 ** np.arange(20)
SHARES: Mapping[str, NDArray[np.float64]] = {
    "two": np.array([0.7, 0.3]),
    "five": np.array([0.3, 0.25, 0.2, 0.15, 0.1]),
    "twenty": _TAIL / _TAIL.sum(),
    "eight": np.array([0.4, 0.3, 0.15, 0.1, 0.03, 0.01, 0.006, 0.004]),
}


@dataclass(frozen=True)
class World:
    """``blocks`` independent blocks of 20 columns; those of block 0 carry the drifts."""

    blocks: int = 1

    def draw(
        self, rng: np.random.Generator, rows: int, offsets: NDArray[np.float64] | None = None
    ) -> Columns:
        """Draw rows; ``offsets`` moves the columns of MOVING by so many sd, ``(blocks, columns)``."""
        columns: Columns = {}
        for block in range(self.blocks):
            moved = dict(
                zip(MOVING, np.zeros(len(MOVING)) if offsets is None else offsets[block], strict=True)
            )
            drawn = _block(rng, rows, moved)
            columns |= {f"{name}.{block}" if block else name: values for name, values in drawn.items()}
        return columns

    def reference(
        self,
        columns: Columns,
        window_rows: int,
        *,
        timestamps_ms: NDArray[np.int64] | None = None,
        pairs: bool | None = True,
    ) -> Reference:
        """Build the reference; pairs are watched whatever their number."""
        outputs = [name for name in columns if name.startswith("score")]
        return Reference.build(
            named(columns), window_rows=window_rows, timestamps_ms=timestamps_ms, outputs=outputs, pairs=pairs
        )


def named(columns: Columns) -> Columns:
    """Return drawn columns as a user has them: categories as text."""
    return {name: _names(values) if is_levels(name) else values for name, values in columns.items()}


def count(reference: Reference, columns: Columns) -> Counts:
    """Count drawn columns, past the slow encoding of text."""
    return reference.tally(
        {
            name: _codes(reference, name)[values] if is_levels(name) else values
            for name, values in columns.items()
        }
    )[0]


def is_levels(name: str) -> bool:
    """Tell whether a column of the world holds categories."""
    return name.partition(".")[0] in SHARES


def _names(levels: NDArray[np.intp]) -> NDArray[np.str_]:
    return np.array([f"v{level}" for level in range(32)])[levels]


def _codes(reference: Reference, name: str) -> NDArray[np.int32]:
    """Code of every level; those the reference has not seen are unseen."""
    lookup = reference.binning.lookup(name)
    return np.array([lookup.get(f"v{level}", UNSEEN) for level in range(32)], dtype=np.int32)


def _block(rng: np.random.Generator, rows: int, moved: Mapping[str, float]) -> Columns:
    common = rng.normal(size=rows)
    columns: Columns = {
        name: np.sqrt(0.5) * (common + rng.normal(size=rows)) + moved[name] for name in NORMALS
    }
    for name in ("t0", "t1"):
        columns[name] = rng.standard_t(3, rows) + np.sqrt(3.0) * moved[name]
    columns["lognormal"] = np.exp(0.5 * (rng.normal(size=rows) + moved["lognormal"]))
    columns["exponential"] = rng.exponential(size=rows) * np.exp(moved["exponential"])
    columns["zeros"] = np.where(
        rng.random(rows) < 0.7, 0.0, rng.exponential(size=rows) * np.exp(moved["zeros"])
    )
    columns["poisson"] = rng.poisson(max(1.5 + np.sqrt(1.5) * moved["poisson"], 0.1), rows).astype(np.float64)
    columns["holes"] = np.where(rng.random(rows) < 0.01, np.nan, rng.normal(size=rows) + moved["holes"])
    logit = columns["x0"] + 0.7 * columns["x1"] + 0.5 * columns["lognormal"] - 1.0
    columns["score"] = 1.0 / (1.0 + np.exp(-logit - 0.3 * rng.normal(size=rows)))
    for name, shares in SHARES.items():
        edges = np.cumsum(shares)[:-1]
        columns[name] = np.searchsorted(edges, rng.random(rows), side="right")
    return columns


def wander(
    rng: np.random.Generator, world: World, windows: int, rho: float, spread: float
) -> NDArray[np.float64]:
    """AR(1) offsets ``(windows, blocks, columns)`` with lag-1 correlation ``rho`` and sd ``spread``."""
    shape = (world.blocks, len(MOVING))
    offsets = np.empty((windows, *shape))
    offsets[0] = rng.normal(size=shape)
    for t in range(1, windows):
        offsets[t] = rho * offsets[t - 1] + np.sqrt(1.0 - rho**2) * rng.normal(size=shape)
    return spread * offsets


def daily(world: World, windows: int) -> NDArray[np.float64]:
    """Offsets of hourly windows that follow the hour by 1 sd, each column with a phase of its own."""
    phase = np.arange(len(MOVING)) / len(MOVING)
    hours = np.arange(windows)[:, None] % 24 / 24.0
    cycle = np.sin(2.0 * np.pi * (hours + phase))
    return np.repeat(cycle[:, None, :], world.blocks, axis=1)


def _shift(name: str, by: float) -> Change:
    def change(columns: Columns, _: np.random.Generator, strength: float) -> None:
        columns[name] = columns[name] + by * strength

    return change


def _some(name: str, by: float) -> Change:
    def change(columns: Columns, rng: np.random.Generator, strength: float) -> None:
        columns[name] = columns[name] + by * (rng.random(columns[name].size) < strength)

    return change


def _stretch(columns: Columns, _: np.random.Generator, strength: float) -> None:
    columns["x4"] = columns["x4"] * (1.0 + 0.25 * strength)


def _grow(columns: Columns, _: np.random.Generator, strength: float) -> None:
    columns["lognormal"] = columns["lognormal"] * (1.0 + 0.3 * strength)


def _swap(columns: Columns, _: np.random.Generator, __: float) -> None:
    columns["five"] = np.array([0, 2, 1, 3, 4])[columns["five"]]


def _new_category(columns: Columns, rng: np.random.Generator, strength: float) -> None:
    columns["eight"] = np.where(rng.random(columns["eight"].size) < 0.01 * strength, 30, columns["eight"])


def _holes(columns: Columns, rng: np.random.Generator, strength: float) -> None:
    more = rng.random(columns["holes"].size) < 0.04 / 0.99 * strength
    columns["holes"] = np.where(more, np.nan, columns["holes"])


def _decorrelate(columns: Columns, rng: np.random.Generator, _: float) -> None:
    columns["x4"] = rng.permutation(columns["x4"])


@dataclass(frozen=True)
class Scenario:
    """A drift: the column that it is in, what it does, and over how many windows it comes."""

    column: str
    change: Change
    ramp: int = 1

    @property
    def limit(self) -> int:
        """Windows within which it counts as found."""
        return 10 if self.ramp == 1 else 20

    def apply(self, columns: Columns, rng: np.random.Generator, window: int) -> None:
        """Change the columns of a window, counted from 0 at the first with drift."""
        self.change(columns, rng, min((window + 1) / self.ramp, 1.0))


SCENARIOS: Mapping[str, Scenario] = {
    ".1 sd": Scenario("x4", _shift("x4", 0.1)),
    ".25 sd": Scenario("x4", _shift("x4", 0.25)),
    ".5 sd": Scenario("x4", _shift("x4", 0.5)),
    "sd x1.25": Scenario("x4", _stretch),
    "lognorm x1.3": Scenario("lognormal", _grow),
    "swap .25/.20": Scenario("five", _swap),
    "new cat 1%": Scenario("eight", _new_category),
    "miss 1->5%": Scenario("holes", _holes),
    "corr lost": Scenario("x4", _decorrelate),
    "gradual": Scenario("x4", _some("x4", 0.5), ramp=10),
    "incremental": Scenario("x4", _shift("x4", 0.5), ramp=10),
}
