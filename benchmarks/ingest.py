"""Events a second per core of the worker's ingest as shipped, beside an empty Faust agent.

``python -m benchmarks.ingest`` starts Apache Kafka and Redis, fills a topic with workload W and lets
``driftstream worker --only ingest`` count it: decoding, counting, exactly-once commits to Redis, metrics on.
The agent reads the same topic and does nothing; the straight-line script decodes and counts on the same code
without groups, commits or lateness. "Per core" is events a second of CPU time of the measured
process, all its threads; Kafka and Redis are not in it. Every run starts from nothing and its counts are
compared with the events, cell by cell.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.peer_run import run_faust, run_straight_line
from benchmarks.report import machine, print_json, print_tables, summary
from benchmarks.services import Services, fill, services
from benchmarks.usage import Usage
from benchmarks.worker_run import Expected, expected, run_worker
from benchmarks.workload import reference, workload
from detectors import Reference
from stream.errors import DriftstreamError

OURS, LINE, PEER = "driftstream worker --only ingest", "straight-line script", "empty Faust agent"
OTHER_THREADS = "librdkafka and other threads"

Say = Callable[[str], None]


class Compression(StrEnum):
    """Codecs of Kafka."""

    NONE = "none"
    LZ4 = "lz4"
    ZSTD = "zstd"
    GZIP = "gzip"
    SNAPPY = "snappy"


@dataclass(frozen=True)
class Plan:
    """What to run, how often and on how much."""

    events: int
    peer_events: int
    runs: int
    partitions: int
    compression: Compression
    profile: bool


def measure(plan: Plan, say: Say) -> dict[str, Any]:
    """Run everything and return the report."""
    say(f"Making {plan.events:,} events and their reference")
    load, frozen = workload(plan.events), reference()
    truth = expected(load, frozen, partitions=plan.partitions)
    with services(plan.partitions) as started:
        say("Filling the topic")
        fill(started, load, plan.compression)
        runs: dict[str, list[Usage]] = {OURS: [], LINE: [], PEER: []}
        for turn in range(1, plan.runs + 1):
            say(f"Run {turn} of {plan.runs}")
            config = started.configure(f"run-{turn}", frozen)
            runs[OURS].append(run_worker(started, f"run-{turn}", config, truth))
            runs[LINE].append(run_straight_line(started, f"line-{turn}", plan.events, plan.partitions))
            runs[PEER].append(run_faust(started, f"faust-{turn}", min(plan.peer_events, plan.events)))
        stages = _stages(started, frozen, truth) if plan.profile else {}
        versions = machine(broker=started.kafka.title, redis_server=started.redis.version)
    results = {name: summary(each) for name, each in runs.items()}
    slowest = results[PEER]["events_per_core_second"]
    for result in results.values():
        result["ratio"] = round(result["events_per_core_second"] / slowest, 2)
    size = sum(map(len, load.values)) / len(load.values)
    return {
        "workload": {
            "events": plan.events,
            "bytes": round(size, 1),
            "partitions": plan.partitions,
            "compression": plan.compression,
        },
        "runs": plan.runs,
        "results": results,
        "stages": stages,
        "machine": versions,
    }


def _stages(started: Services, frozen: Reference, truth: Expected) -> dict[str, float]:
    """CPU ns an event by stage, from a run of its own: stopwatches cost a little too."""
    result = started.directory / "stages.json"
    config = started.configure("staged", frozen)
    program = ("-m", "benchmarks.staged_worker", str(result))
    total = run_worker(started, "staged", config, truth, program=program)
    stages = {stage: ns / truth.events for stage, ns in json.loads(result.read_text()).items()}
    stages = dict(sorted(stages.items(), key=lambda stage: -stage[1]))
    return {**stages, OTHER_THREADS: total.cpu_s * 1e9 / truth.events - sum(stages.values())}


def main(
    *,
    events: Annotated[int, typer.Option(help="Events in the topic.")] = 200_000,
    runs: Annotated[int, typer.Option(help="Runs of each way, interleaved.")] = 3,
    peer_events: Annotated[int, typer.Option(help="Events that the Faust agent reads.")] = 50_000,
    partitions: Annotated[int, typer.Option(help="Partitions of the topic.")] = 8,
    compression: Annotated[Compression, typer.Option(help="Codec of the topic.")] = Compression.NONE,
    profile: Annotated[bool, typer.Option("--profile", help="One more run, with times by stage.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Measure the ingest on workload W."""
    plan = Plan(events, peer_events, runs, partitions, compression, profile)
    log = Console(stderr=True)
    try:
        report = measure(plan, lambda text: log.print(text, style="dim") if log.is_terminal else None)
    except (DriftstreamError, RuntimeError) as error:
        typer.echo(f"benchmarks.ingest: error: {error}", err=True)
        raise typer.Exit(3) from None
    if as_json:
        print_json(report)
    else:
        print_tables(report)


if __name__ == "__main__":
    typer.run(main)
