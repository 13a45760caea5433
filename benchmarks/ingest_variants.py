"""The workloads that the ingest is measured on, in topics: W, and what differs from it in one thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.poison import poisoned
from benchmarks.services import Services, fill, records
from benchmarks.usage import Usage
from benchmarks.worker_run import AS_SHIPPED, Expected, expected, run_worker
from benchmarks.workload import MODEL, Shape, Workload, reference, workload
from detectors import Reference

FEATURES = 20


class Variant(StrEnum):
    """What can differ from W."""

    SHUFFLED = "shuffled"
    WIDE = "wide"
    MODELS = "models"
    LZ4 = "lz4"
    ZSTD = "zstd"
    POISON_1 = "poison-1"
    POISON_100 = "poison-100"


@dataclass(frozen=True)
class Case:
    """A workload: its shape, how its topic is compressed, which share of its records are no events.

    ``sections`` of the configuration are all that is not as shipped.
    """

    name: str
    title: str
    shape: Shape = Shape()  # noqa: RUF009  # frozen
    compression: str = "none"
    poison: float = 0.0
    sections: Mapping[str, Any] = field(default_factory=dict)

    @property
    def features(self) -> int:
        """Features of an event."""
        return FEATURES * self.shape.copies


PLAIN = Case("w", "W")
CASES: Mapping[Variant, Case] = {
    Variant.SHUFFLED: Case("shuffled", "keys in another order in every event", Shape(shuffled=True)),
    Variant.WIDE: Case("wide", "100 features", Shape(copies=5)),
    Variant.MODELS: Case("models", "1,000 models in turns", Shape(models=1_000)),
    Variant.LZ4: Case("lz4", "lz4", compression="lz4"),
    Variant.ZSTD: Case("zstd", "zstd", compression="zstd"),
    Variant.POISON_1: Case("poison-1", "1 % poison", poison=0.01),
    # As shipped, a flood of poison pauses the intake: how fast it drains shows where it is told not to.
    Variant.POISON_100: Case(
        "poison-100",
        "100 % poison, errors.tolerance: all",
        poison=1.0,
        sections={"errors": {"tolerance": "all"}},
    ),
}


@dataclass(frozen=True)
class Filled:
    """A case in a topic, and what the worker must make of it."""

    case: Case
    services: Services
    truth: Expected
    references: Mapping[str, Path]
    bytes_per_event: float

    def run(
        self,
        turn: str,
        *,
        sections: Mapping[str, Any] | None = None,
        program: Sequence[str] = AS_SHIPPED,
    ) -> Usage:
        """Let the worker's ingest count the topic, from nothing, with a dead-letter topic of its own."""
        name = f"{self.case.name}-{turn}"
        topics = self.services.topics(self.case.name, dlq=f"dlq-{turn}")
        config = self.services.configure(
            name, topics, self.references, {**self.case.sections, **(sections or {})}
        )
        return run_worker(self.services, name, config, topics, self.truth, program=program)


def fill_case(services: Services, case: Case, events: int, plain: Workload) -> Filled:
    """Make the workload of a case and fill its topic; ``plain`` is W and is used again where it can be."""
    load = plain if case.shape == Shape() else workload(events, case.shape)
    if case.poison:
        load = poisoned(load, case.poison)
    frozen = reference(case.shape.copies)
    paths = _write(services.directory / case.name, frozen, load.models)
    topics = services.topics(case.name)
    fill(services, topics.inference, records(load), case.compression)
    truth = expected(load, frozen, partitions=services.partitions)
    return Filled(case, services, truth, paths, sum(map(len, load.values)) / len(load.values))


def _write(directory: Path, frozen: Reference, models: Sequence[str]) -> dict[str, Path]:
    """Write one reference a model, the same under every name."""
    directory.mkdir()
    text = frozen.to_json()
    paths = {model: directory / f"{number}.json" for number, model in enumerate(models)}
    for model, path in paths.items():
        path.write_text(text.replace(f'"model":"{MODEL}"', f'"model":"{model}"', 1))
    return paths
