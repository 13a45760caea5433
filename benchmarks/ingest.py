"""Events a second per core of the worker's ingest as shipped, beside other stream processors.

``python -m benchmarks.ingest`` starts Apache Kafka and Redis, fills a topic with workload W and lets
``driftstream worker --only ingest`` count it: decoding, counting, a pending prediction in Redis for every
event, exactly-once commits, metrics on. The straight-line script decodes and counts on the same code without
groups, commits, join or lateness. The peers keep histograms of the same features by minute
(:mod:`benchmarks.ingest_peers`). "Per core" is events a second of CPU time of the measured process, all its
threads and children; Kafka and Redis are not in it. Every run starts from nothing, and what it counted is
compared with the events: every cell of every window, every pending prediction, every dead letter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.ingest_peers import PEERS, prepare, quantile_edges
from benchmarks.ingest_peers_venv import peers_python
from benchmarks.ingest_report import print_tables
from benchmarks.ingest_variants import CASES, PLAIN, Filled, Variant, fill_case
from benchmarks.peer_run import run_straight_line
from benchmarks.report import machine, reported, summary
from benchmarks.services import Services, services
from benchmarks.turns import interleaved
from benchmarks.usage import Usage
from benchmarks.workload import Workload, workload
from stream.codec.engine import chosen

OURS, LINE = "driftstream worker --only ingest", "straight-line script, same decoder"
FALLBACK = "the same, ingest.decoder: python"
OTHER_THREADS = "librdkafka and other threads"
QUICK_EVENTS = 20_000

Say = Callable[[str], None]
Run = Callable[[int], Usage]


@dataclass(frozen=True)
class Plan:
    """What to run, how often and on how much."""

    events: int
    runs: int
    partitions: int
    broker: str | None = None
    peer_share: float = 1.0
    variants: tuple[Variant, ...] = ()
    profile: bool = False


def measure(plan: Plan, say: Say) -> dict[str, Any]:
    """Run everything and return the report."""
    say(f"Making {plan.events:,} events and their reference")
    load = workload(plan.events)
    with services(plan.partitions, plan.broker) as started:
        say("Filling the topic")
        plain = fill_case(started, PLAIN, plan.events, load)
        ways = {OURS: _ours(plain), LINE: _line(plain)}
        if chosen("auto") == "native":
            ways[FALLBACK] = _fallback(plain)
        if plan.peer_share:
            ways |= _peers(started, load, plan.peer_share, say)
        cases: dict[str, Filled] = {}
        for variant in plan.variants:
            say(f"Filling the topic of {CASES[variant].title}")
            cases[variant] = fill_case(
                started, CASES[variant], plan.events // CASES[variant].shape.copies, load
            )
        runs = interleaved({**ways, **{name: _ours(each) for name, each in cases.items()}}, plan.runs, say)
        stages = _stages(plain) if plan.profile else {}
        versions = machine(broker=started.kafka.title, redis_server=started.redis.version)
    measured = {name: summary(each) for name, each in runs.items()}
    return {
        "workload": {
            "events": plan.events,
            "bytes": round(plain.bytes_per_event, 1),
            "partitions": plan.partitions,
        },
        "decoder": chosen("auto"),
        "runs": plan.runs,
        "results": _compared({name: measured[name] for name in ways}),
        "variants": {name: _variant(each, measured[name], measured[OURS]) for name, each in cases.items()},
        "stages": stages,
        "machine": versions,
    }


def _ours(filled: Filled) -> Run:
    return lambda turn: filled.run(str(turn))


def _fallback(filled: Filled) -> Run:
    return lambda turn: filled.run(f"python-{turn}", sections={"ingest": {"decoder": "python"}})


def _line(filled: Filled) -> Run:
    (path,) = filled.references.values()
    started, topic = filled.services, filled.services.topics(filled.case.name).inference
    return lambda turn: run_straight_line(started, f"line-{turn}", topic, filled.truth.records, path)


def _peers(started: Services, load: Workload, share: float, say: Say) -> dict[str, Run]:
    say("Making the venv of the peers")
    python = peers_python()
    edges = quantile_edges(load.columns)
    ways: dict[str, Run] = {}
    for peer in PEERS:
        say(f"Filling the topic of {peer.title}")
        prepared = prepare(started, load, edges, peer.reading(share))
        ways[peer.title] = lambda turn, prepared=prepared: prepared.run(python, turn)  # type: ignore[misc]
    return ways


def _compared(results: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    ours = results[OURS]["events_per_core_second"]
    slowest = min(result["events_per_core_second"] for result in results.values())
    return {
        name: {
            **result,
            "ours_is": round(ours / result["events_per_core_second"], 2),
            "of_slowest": round(result["events_per_core_second"] / slowest, 1),
        }
        for name, result in results.items()
    }


def _variant(filled: Filled, result: dict[str, float], plain: Mapping[str, float]) -> dict[str, Any]:
    return {
        "title": filled.case.title,
        **result,
        "bytes": round(filled.bytes_per_event, 1),
        "features": filled.case.features,
        "of_plain": round(result["events_per_core_second"] / plain["events_per_core_second"], 3),
        "of_plain_by_clock": round(result["events_per_second"] / plain["events_per_second"], 3),
        "cpu_ns_per_feature_value": round(result["cpu_ns_per_event"] / filled.case.features, 1),
    }


def _stages(filled: Filled) -> dict[str, float]:
    """CPU ns an event by stage, from a run of its own: stopwatches cost a little too."""
    result = filled.services.directory / "stages.json"
    total = filled.run("staged", program=("-m", "benchmarks.staged_worker", str(result)))
    stages = {stage: ns / total.events for stage, ns in json.loads(result.read_text()).items()}
    stages = dict(sorted(stages.items(), key=lambda stage: -stage[1]))
    rest = total.cpu_s * 1e9 / total.events - sum(stages.values())
    return {**stages, OTHER_THREADS: max(rest, 0.0)}  # stages run before the clock and after it, too


def main(
    *,
    events: Annotated[int, typer.Option(min=1_000, help="Events in the topic.")] = 500_000,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each way, interleaved.")] = 3,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of the topic.")] = 8,
    broker: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A Kafka that runs; by default one is started.")
    ] = None,
    peer_share: Annotated[
        float, typer.Option(min=0, help="Share of their usual events that peers read; 0: no peers.")
    ] = 1.0,
    variant: Annotated[
        list[str] | None, typer.Option(help=f"Another workload: {', '.join(Variant)} or all; repeatable.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One run on few events, without peers.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="One more run, with times by stage.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Measure the ingest on workload W."""
    plan = Plan(events, runs, partitions, broker, peer_share, _chosen(variant or []), profile)
    if quick:
        plan = replace(plan, events=min(events, QUICK_EVENTS), runs=1, peer_share=0.0)

    def measured() -> dict[str, Any]:
        with Console(stderr=True).status("Starting") as status:
            return measure(plan, status.update)

    reported("ingest", measured, print_tables, as_json=as_json)


def _chosen(names: list[str]) -> tuple[Variant, ...]:
    unknown = [name for name in names if name not in (*Variant, "all")]
    if unknown:
        raise typer.BadParameter(f"--variant {unknown[0]} is none of {', '.join(Variant)}, all")
    return tuple(Variant) if "all" in names else tuple(dict.fromkeys(map(Variant, names)))


if __name__ == "__main__":
    typer.run(main)
