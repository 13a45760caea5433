"""Other stream processors on the same events, each in a process of its own that measures itself.

Every one keeps the same of a minute: 65 cells of each numeric feature and a counter of each categorical one
(:mod:`benchmarks.peers.histograms`). What they counted is compared with the events. Their records are keyed
by model and spread over the partitions in turns: windows are kept by key, and the ids of W are all different.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peer_run import run_program
from benchmarks.peers.histograms import CELLS, MISSING, WINDOW_MS
from benchmarks.services import Record, Services, fill
from benchmarks.usage import Usage
from benchmarks.workload import CATEGORICAL, MODEL, NUMERIC, Columns, Workload

SCRIPTS = Path(__file__).parent / "peers"
_LATER_MS = 3_600_000

Windows = dict[int, dict[str, Any]]


@dataclass(frozen=True)
class Peer:
    """A script in ``peers/``, and how many events keep it busy for some seconds.

    Parameters
    ----------
    counts
        Whether it says what it counted.
    closed
        Whether it hears of a window only when a later event closes it.
    """

    title: str
    script: str
    events: int
    way: str = ""
    counts: bool = True
    closed: bool = False

    def reading(self, share: float) -> Peer:
        """Return the peer on a share of its usual events: on a slow machine, or to try it."""
        return replace(self, events=max(2_000, round(self.events * share)))

    @property
    def name(self) -> str:
        """Its name in topics and files."""
        return "-".join(filter(None, (self.script, self.way))).replace("_", "-")


PEERS = (
    Peer("bytewax 0.21.1, dict in a map", "bytewax_window", 700_000, way="map"),
    Peer("bytewax 0.21.1, fold_window", "bytewax_window", 500_000),
    Peer("quixstreams 3.28.1, tumbling_window.reduce", "quix_window", 130_000, closed=True),
    Peer("faust-streaming 0.15.3, empty agent", "faust_agent", 70_000, counts=False),
    Peer("faust-streaming 0.15.3, Table.tumbling", "faust_window", 30_000),
)
SLOWEST = PEERS[-1].title


@dataclass(frozen=True)
class Prepared:
    """A peer whose topic is filled: what runs need, and what they must count."""

    peer: Peer
    services: Services
    events: int
    layout: Path
    truth: Windows

    def run(self, python: Path, turn: int) -> Usage:
        """Run the peer once on the whole topic, from nothing.

        Raises
        ------
        RuntimeError
            It failed, took too long, or counted something else than the events.
        """
        peer, name = self.peer, f"{self.peer.name}-{turn}"
        topic = self.services.topic(peer.name)
        state = self.services.directory / f"state-{name}"
        state.mkdir()
        command = [str(python), str(SCRIPTS / f"{peer.script}.py"), self.services.kafka.bootstrap_servers]
        arguments = [topic, topic + f".{turn}", str(self.events), str(self.layout)]
        result = self.services.directory / f"{name}.json"
        said = run_program(result, [*command, *arguments], [str(state), peer.way])
        if peer.counts:
            _check(peer, said["windows"], self.truth)
        return Usage(**said["usage"])


def prepare(services: Services, load: Workload, edges: Mapping[str, list[float]], peer: Peer) -> Prepared:
    """Fill the topic of a peer with the first events of the workload."""
    layout = services.directory / "peers.json"
    layout.write_text(json.dumps({"numeric": edges, "categorical": list(CATEGORICAL)}))
    share = load.first(peer.events)
    topic = services.topic(peer.name)
    fill(services, topic, _records(share, services.partitions, closed=peer.closed))
    return Prepared(peer, services, len(share.values), layout, windows(share, edges))


def quantile_edges(columns: Columns) -> dict[str, list[float]]:
    """Return the inner edges of 64 bins of as many values each, by numeric feature."""
    shares = np.linspace(0, 1, MISSING + 1)[1:-1]
    return {name: np.nanquantile(_numbers(columns[name]), shares).tolist() for name in NUMERIC}


def windows(load: Workload, edges: Mapping[str, list[float]]) -> Windows:
    """Count the workload from its columns, as every peer should."""
    starts, group = np.unique(load.ts_ms // WINDOW_MS * WINDOW_MS, return_inverse=True)
    found: Windows = {start: {} for start in starts.tolist()}
    for name in (*NUMERIC, *CATEGORICAL):
        column = load.columns[name]
        if name in edges:
            numbers = _numbers(column)
            codes = np.searchsorted(edges[name], numbers, side="right")
            codes[np.isnan(numbers)] = MISSING
            size = CELLS
        else:
            known = [*CATEGORICAL[name], "missing"]
            codes = np.array([known.index(value or "missing") for value in column])
            size = len(known)
        cells = np.bincount(group * size + codes[load.rows], minlength=len(starts) * size)
        for start, each in zip(found, cells.reshape(-1, size).tolist(), strict=True):
            found[start][name] = each if name in edges else _present(known, each)
    return found


def _present(names: list[str], counts: list[int]) -> dict[str, int]:
    return {name: n for name, n in zip(names, counts, strict=True) if n}


def _numbers(column: list[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.nan if value is None else value for value in column], np.float64)


def _records(load: Workload, partitions: int, *, closed: bool) -> Iterator[Record]:
    for row, value in enumerate(load.values):
        yield MODEL, value, row % partitions
    if closed:
        end = {"model": MODEL, "ts": int(load.ts_ms.max()) + _LATER_MS, "features": {}}
        for partition in range(partitions):
            yield MODEL, json.dumps(end).encode(), partition


def _check(peer: Peer, said: list[Any], truth: Windows) -> None:
    """Compare what a peer counted, in parts of windows, with the truth."""
    found: Windows = {}
    for start, cells in said:
        found[start] = _sum(found[start], cells) if start in found else cells
    if found != truth:
        wrong = [start for start in truth if found.get(start) != truth[start]]
        raise RuntimeError(f"{peer.title} counted {len(wrong)} of {len(truth)} windows wrong")


def _sum(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    numeric = {name: [a + b for a, b in zip(one[name], other[name], strict=True)] for name in NUMERIC}
    keys = {name: one[name].keys() | other[name].keys() for name in CATEGORICAL}
    return numeric | {
        name: {key: one[name].get(key, 0) + other[name].get(key, 0) for key in keys[name]} for name in keys
    }
