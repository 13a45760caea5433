"""How long after a window closes its record and its alerts can be read from Kafka.

``python -m benchmarks.latency`` starts Apache Kafka and Redis, and ``driftstream worker`` as shipped: ingest,
evaluation, exactly-once commits, metrics. A stream of events at a steady rate feeds many models; event time
is the clock's. The windows of all models end at the same instants, so all close together; with ``--spread``
every model has a grace of its own and they close one after another. A sixth of the models drifts in every
slide.

A window closes when the watermark of the topic reaches its end plus ``grace``: with the first event, in the
partition that is last, whose time is ``end + grace + out_of_orderness`` or later. **Measured** is, for every
window, from the moment that event is handed to the producer (so its way into Kafka counts) to the moment a
consumer of ``drift.metrics``, and of ``drift.alerts``, has the window's first record, or alert, in its hands.
Configured waiting is not in it; fetching, counting, the commit, evaluation, delivery and the reader's fetch
are. Windows are measured after every model has had two of them published. Those that were never published
within the patience of the run are told as missing; they are in no percentile.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.latency_read import POLL_S, WINDOW, Published, Reader, percentiles, print_tables
from benchmarks.paced import PacedLoad, Stream
from benchmarks.report import machine, reported
from benchmarks.services import Services, services
from benchmarks.usage import Moment, now, usage
from benchmarks.worker_run import AS_SHIPPED, ROOT
from benchmarks.workload import MODEL, reference
from stream.embedded.process import Process
from stream.settings.sections import TopicSettings

START_PATIENCE_S = 180.0
LATE_PATIENCE_S = 20.0
WINDOWS_BEFORE = 2
QUICK: Mapping[str, Any] = {
    "models": 10,
    "rate": 600,
    "windows": 3,
    "partitions": 2,
    "size_ms": 1_000,
    "slide_ms": 1_000,
    "grace_ms": 300,
    "out_of_orderness_ms": 300,
}


@dataclass(frozen=True)
class Plan:
    """What is measured; times in ms."""

    models: int
    rate: int
    windows: int
    workers: int
    partitions: int
    size_ms: int
    slide_ms: int
    grace_ms: int
    out_of_orderness_ms: int
    spread: bool
    broker: str | None

    @property
    def names(self) -> list[str]:
        """Names of the models."""
        return [f"{MODEL}-{number:04d}" for number in range(self.models)]

    def grace_of(self, number: int) -> int:
        """Grace of a model; spread, they differ by up to a slide."""
        return self.grace_ms + (number * self.slide_ms // self.models if self.spread else 0)

    @property
    def graces(self) -> dict[str, int]:
        """Grace of each model by its name."""
        return {name: self.grace_of(number) for number, name in enumerate(self.names)}

    def sections(self) -> dict[str, Any]:
        """Settings that differ from what is shipped."""
        return {
            "time": {
                "out_of_orderness": f"{self.out_of_orderness_ms}ms",
                "restate_for": f"{6 * self.size_ms}ms",
            },
            "defaults": {
                "window": f"{self.size_ms}ms",
                "slide": f"{self.slide_ms}ms",
                "min_samples": max(5, min(50, self.rate * self.slide_ms // 1_500 // self.models)),
            },
        }


@contextmanager
def _workers(plan: Plan, config: Path) -> Iterator[list[Process]]:
    with ExitStack() as stack:
        started = []
        for _ in range(plan.workers):
            process = Process("bench-latency", None)
            stack.callback(process.close)
            process.spawn(
                [sys.executable, *AS_SHIPPED, "--config", str(config)],
                {**os.environ, "PYTHONPATH": str(ROOT)},
            )
            started.append(process)
        yield started


def _configure(plan: Plan, started: Services, topics: TopicSettings) -> Path:
    """One reference a model, the same under every name."""
    text = reference().to_json()
    references = {}
    for name in plan.names:
        references[name] = started.directory / f"{name}.json"
        references[name].write_text(text.replace(f'"model":"{MODEL}"', f'"model":"{name}"', 1))
    graces = {name: {"grace": f"{grace_ms}ms"} for name, grace_ms in plan.graces.items()}
    models = {name: {"references": [str(path)], **graces[name]} for name, path in references.items()}
    return started.configure("latency", topics, references, {**plan.sections(), "models": models})


def measure(plan: Plan) -> dict[str, Any]:
    """Run the worker on the stream; return the report."""
    with services(plan.partitions, plan.broker) as started:
        topics = started.topics("live")
        config = _configure(plan, started, topics)
        metrics, alerts = (Reader(started.kafka.client, name) for name in (topics.metrics, topics.alerts))
        stream = Stream(topics.inference, plan.partitions, plan.names, plan.rate, plan.slide_ms)
        with (
            _workers(plan, config) as workers,
            metrics.reading(),
            alerts.reading(),
            PacedLoad(started.kafka.client, stream) as load,
        ):
            first_ms, used = _steady(plan, workers, metrics, load)
        found = Published.of(metrics, alerts)
        ends = [first_ms + turn * plan.slide_ms for turn in range(plan.windows)]
        return {
            "plan": {name: getattr(plan, name) for name in plan.__dataclass_fields__},
            "windows": percentiles(
                load, found, ends, graces=plan.graces, out_of_orderness_ms=plan.out_of_orderness_ms
            ),
            "workers": used,
            "machine": machine(broker=started.kafka.title, redis_server=started.redis.version),
        }


def _steady(
    plan: Plan, workers: Sequence[Process], metrics: Reader, load: PacedLoad
) -> tuple[int, list[dict[str, float]]]:
    """Wait until every model has been told of, and then for the windows to measure.

    Returns the end of the first of them, and what each worker used meanwhile.
    """
    expected = plan.models * WINDOWS_BEFORE
    usual_ms = WINDOWS_BEFORE * plan.slide_ms + plan.grace_ms + plan.out_of_orderness_ms
    patience_s = START_PATIENCE_S + usual_ms / 1000
    _until(lambda: len(metrics.records) >= expected, patience_s, workers, "first windows")
    wait_ms = plan.grace_of(plan.models - 1) + plan.out_of_orderness_ms
    first_ms = (time.time_ns() // 1_000_000 // plan.slide_ms + 1) * plan.slide_ms
    last_ms = first_ms + (plan.windows - 1) * plan.slide_ms + wait_ms
    begun: list[Moment] = [now(worker.pid or 0) for worker in workers]
    _until(
        lambda: time.time_ns() // 1_000_000 > last_ms + POLL_S * 1000, last_ms / 1000, workers, "the clock"
    )
    wanted = plan.models * plan.windows

    def all_read() -> bool:
        records = list(metrics.records)[-2 * wanted - plan.models :]
        ends = (WINDOW.decode(record.value() or b"") for _, record in records)
        return sum(first_ms <= each.window_end_ms <= last_ms - wait_ms for each in ends) >= wanted

    deadline = time.monotonic() + LATE_PATIENCE_S
    while not all_read() and time.monotonic() < deadline:
        time.sleep(1.0)
    used = []
    for worker, start in zip(workers, begun, strict=True):
        spent = usage(worker.pid or 0, start, max(1, len(load.times[0])))
        used.append(
            {
                "cpu_share": round(spent.cpu_s / spent.wall_s, 3),
                "peak_rss_mib": round(spent.peak_rss_bytes / 2**20, 1),
            }
        )
    return first_ms, used


def _until(ready: Any, patience_s: float, workers: Sequence[Process], what: str) -> None:
    deadline = time.monotonic() + patience_s
    while not ready():
        if time.monotonic() > deadline or any(worker.pid is None for worker in workers):
            raise RuntimeError(f"no {what}: " + workers[0].log_text()[-1500:])
        time.sleep(POLL_S)


def main(
    *,
    models: Annotated[int, typer.Option(min=1, help="Models that are evaluated.")] = 1_000,
    rate: Annotated[int, typer.Option(min=10, help="Events a second, of all models together.")] = 4_000,
    windows: Annotated[int, typer.Option(min=1, help="Slides that are measured.")] = 6,
    workers: Annotated[int, typer.Option(min=1, help="Workers that share the models.")] = 1,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of the topic.")] = 4,
    window_s: Annotated[float, typer.Option(help="Length of a window.")] = 20.0,
    slide_s: Annotated[float, typer.Option(help="Distance of windows.")] = 10.0,
    grace_s: Annotated[float, typer.Option(help="How long a window accepts late events.")] = 4.0,
    out_of_orderness_s: Annotated[float, typer.Option(help="How far events may be out of order.")] = 2.0,
    spread: Annotated[bool, typer.Option("--spread", help="Windows of models close one by one.")] = False,
    broker: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A Kafka that runs; by default one is started.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="10 models, windows of a second.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Measure how long after its close a window is told of."""
    size_ms, slide_ms, grace_ms, out_of_orderness_ms = (
        round(seconds * 1000) for seconds in (window_s, slide_s, grace_s, out_of_orderness_s)
    )
    plan = Plan(
        models=models,
        rate=rate,
        windows=windows,
        workers=workers,
        partitions=partitions,
        size_ms=size_ms,
        slide_ms=slide_ms,
        grace_ms=grace_ms,
        out_of_orderness_ms=out_of_orderness_ms,
        spread=spread,
        broker=broker,
    )
    if quick:
        plan = replace(plan, **QUICK)
    reported("latency", lambda: measure(plan), print_tables, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
