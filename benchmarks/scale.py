"""What grows with what: the ingest at more models, wider events, more partitions and more workers.

``python -m benchmarks.scale`` starts Apache Kafka and Redis and lets ``driftstream worker --only ingest``, as
shipped, count topics that differ from workload W in one thing. Every run starts from nothing and its counts
are compared with the events. The cases of a part are run in turns, so that what a machine is slower or faster
for a while is in all of them. Told are CPU ns of the worker's process per event and per feature value, events
a second by the clock, and the largest resident set, as medians; and the ratios to the first row of the part,
turn by turn, as medians too.

Two workers are measured by the clock: they join the group on an empty topic, are stopped while it is filled,
and go on together. Each is pinned to a core of its own where there are enough. Kafka and Redis run on the
same machine, so told is too how many cores were busy in all, and how many of them the workers took. On a
machine whose cores one worker and its services fill, a second worker has nothing to run on: with fewer than
four cores every worker gets 0.3 of one, as a container's limit gives it, and Kafka and Redis the rest of the
machine. ``--worker-cpus`` sets another share.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import psutil
import redis
import typer
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from rich.console import Console

from benchmarks.cpu_quota import can_limit, cpu_quota, hold
from benchmarks.ingest_variants import Case, Filled, fill_case
from benchmarks.report import machine, machine_line, reported, summary, table
from benchmarks.services import Broker, Services, fill, records, services
from benchmarks.turns import interleaved
from benchmarks.usage import Usage, now
from benchmarks.worker_run import AS_SHIPPED, PATIENCE_S, ROOT, Cursors
from benchmarks.workload import MODEL, Shape, Workload, reference, workload
from stream.embedded.process import Process

Say = Callable[[str], None]
MODELS, COPIES, PARTITIONS, WORKERS = (1, 10, 100, 1_000), (1, 5, 50), (1, 8, 64), (1, 2)
LOOK_EVERY_S = 0.005
HELD = {"session_timeout": "2m", "max_poll_interval": "10m"}
"""Workers that are stopped for the filling of a topic stay members of their group."""
FEW_CORES, SHARE_OF_FEW = 4, 0.3


@dataclass(frozen=True)
class Plan:
    """What is run, and on how much; ``parts`` are names of :data:`PARTS`.

    ``worker_cpus`` is the share of a core that each worker of the part ``workers`` gets; None = a whole one.
    """

    events: int
    runs: int
    partitions: int
    broker: str | None
    parts: Sequence[str]
    worker_cpus: float | None = None


@dataclass(frozen=True)
class Row:
    """What a table tells of a case, medians of its runs, and what its ratios are made of, run by run."""

    name: str
    told: dict[str, Any]
    turns: Sequence[Mapping[str, float]]


def by_models(started: Services, plan: Plan, say: Say) -> list[Row]:
    """The same events from more models; a model's are as dense in event time as those of W."""
    shapes = {str(models): Shape(models=models) for models in MODELS}
    cases = [Case(f"m{name}", name, shape) for name, shape in shapes.items()]
    return _in_turns([_filled(started, case, plan.events, say) for case in cases], plan, say)


def by_features(started: Services, plan: Plan, say: Say) -> list[Row]:
    """As many feature values in fewer, wider events."""
    cases = [Case(f"f{20 * copies}", str(20 * copies), Shape(copies=copies)) for copies in COPIES]
    sizes = [max(2_000, plan.events // copies) for copies in COPIES]
    filled = [_filled(started, case, events, say) for case, events in zip(cases, sizes, strict=True)]
    return _in_turns(filled, plan, say)


def by_partitions(started: Services, plan: Plan, say: Say) -> list[Row]:
    """The same events over more partitions."""
    filled = []
    for partitions in PARTITIONS:
        parted = replace(started, partitions=partitions, tag=f"{started.tag}.p{partitions}", _made=set())
        filled.append(_filled(parted, Case(f"p{partitions}", str(partitions)), plan.events, say))
    return _in_turns(filled, plan, say)


def _filled(started: Services, case: Case, events: int, say: Say) -> Filled:
    say(f"{case.name}: filling")
    return fill_case(started, case, events, workload(events if case.shape == Shape() else 1))


def _in_turns(cases: Sequence[Filled], plan: Plan, say: Say) -> list[Row]:
    ways = {filled.case.name: lambda turn, filled=filled: filled.run(str(turn)) for filled in cases}
    measured = interleaved(ways, plan.runs, say)
    return [_told(filled.case, measured[filled.case.name]) for filled in cases]


def _told(case: Case, runs: Sequence[Usage]) -> Row:
    told = summary(runs)
    told["cpu_ns_per_value"] = round(told["cpu_ns_per_event"] / case.features, 1)
    turns = [
        {
            "cpu_ns_per_event": run.cpu_s / run.events * 1e9,
            "cpu_ns_per_value": run.cpu_s / run.events / case.features * 1e9,
            "events_per_second": run.per_second,
        }
        for run in runs
    ]
    return Row(case.title, told, turns)


def by_workers(started: Services, plan: Plan, say: Say) -> list[Row]:
    """One worker and two on the same events, by the clock, in turns."""
    load = workload(plan.events)

    def sharing(count: int) -> Callable[[int], dict[str, Any]]:
        return lambda turn: _share(started, plan, count, f"w{count}-{turn}", load)

    runs = interleaved({str(count): sharing(count) for count in WORKERS}, plan.runs, say)
    return [Row(count, _middle(told), told) for count, told in runs.items()]


def _middle(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return sorted(runs, key=lambda run: float(run["events_per_second"]))[len(runs) // 2]


def _share(started: Services, plan: Plan, count: int, name: str, load: Workload) -> dict[str, Any]:
    topics = started.topics(name, dlq=f"dlq-{name}")
    path = started.directory / "w.json"
    path.write_text(reference().to_json())
    sections = {
        "consumer": {**HELD, "group": f"{started.tag}.{name}"},
        "topics": topics.model_dump() | {"labels": None},  # partitions of one topic can be shared evenly
    }
    config = started.configure(name, topics, {MODEL: path}, sections)
    client = redis.Redis.from_url(started.redis.url)
    cursors = Cursors(name, topics.inference)
    with _workers(count, config, plan.worker_cpus) as workers:
        _joined(started.kafka, f"{started.tag}.{name}", topics.inference, count, started.partitions)
        for worker in workers:
            os.kill(worker.pid or 0, signal.SIGSTOP)
        fill(started, topics.inference, records(load))
        begun, busy = [now(worker.pid or 0) for worker in workers], _busy_s()
        for worker in workers:
            os.kill(worker.pid or 0, signal.SIGCONT)
        deadline = time.monotonic() + PATIENCE_S
        while cursors.progress(client, started.partitions)[1] < len(load.values):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{count} workers did not finish:\n{workers[0].log_text()[-1500:]}")
            time.sleep(LOOK_EVERY_S)
        ended, busy = [now(worker.pid or 0) for worker in workers], _busy_s() - busy
    client.flushdb()
    client.close()
    wall_s = ended[0].wall_s - begun[0].wall_s
    cpu_s = sum(end.cpu_s - start.cpu_s for start, end in zip(begun, ended, strict=True))
    return {
        "events": plan.events,
        "events_per_second": round(plan.events / wall_s),
        "cpu_ns_per_event": round(cpu_s / plan.events * 1e9),
        "cores_of_workers": round(cpu_s / wall_s, 2),
        "cores_busy": round(busy / wall_s, 2),
    }


@contextmanager
def _workers(count: int, config: Path, worker_cpus: float | None) -> Iterator[list[Process]]:
    """Workers with a core each where there are enough; or with the same share of any core."""
    command = [sys.executable, *AS_SHIPPED, "--config", str(config), "--only", "ingest"]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    workers: list[Process] = []
    with ExitStack() as stack:
        for number in range(count):
            name = f"bench-scale-{number}"
            group = stack.enter_context(cpu_quota(name, worker_cpus)) if worker_cpus else None
            worker = stack.enter_context(_worker(name, command))
            workers.append(worker)
            if group is not None:
                hold(group, worker.pid or 0)
            elif len(cores) >= count:
                os.sched_setaffinity(worker.pid or 0, {cores[number]})
        yield workers


@contextmanager
def _worker(name: str, command: Sequence[str]) -> Iterator[Process]:
    worker = Process(name, None)
    try:
        worker.spawn(command, {**os.environ, "PYTHONPATH": str(ROOT)})
        yield worker
    finally:
        if worker.pid is not None:
            os.kill(worker.pid, signal.SIGCONT)
        worker.close()


def _joined(kafka: Broker, group: str, topic: str, count: int, partitions: int) -> None:
    """Wait until so many members share all partitions of the topic, evenly."""
    admin, deadline = AdminClient(kafka.client), time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        time.sleep(0.2)
        try:
            members = admin.describe_consumer_groups([group])[group].result().members
        except KafkaException:  # the coordinator of a new group is being found
            continue
        shares = [
            sum(each.topic == topic for each in member.assignment.topic_partitions) for member in members
        ]
        if len(shares) == count and sum(shares) == partitions and max(shares) - min(shares) <= 1:
            return
    raise RuntimeError(f"{count} workers did not share {partitions} partitions within {PATIENCE_S:.0f} s")


def _busy_s() -> float:
    """Seconds that all cores together have worked."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


PARTS: Mapping[str, Callable[[Services, Plan, Say], list[Row]]] = {
    "models": by_models,
    "features": by_features,
    "partitions": by_partitions,
    "workers": by_workers,
}


def measure(plan: Plan, say: Say) -> dict[str, Any]:
    """Run the parts and return the report."""
    with services(plan.partitions, plan.broker) as started:
        parts = {part: _compared(PARTS[part](started, plan, say)) for part in plan.parts}
        on = machine(broker=started.kafka.title, redis_server=started.redis.version)
    return {"runs": plan.runs, "worker_cpus": plan.worker_cpus, "parts": parts, "machine": on}


def _compared(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Add what a row is of the first one: the median of the turns' ratios."""
    return [{"name": row.name, **row.told} | _ratios(row.turns, rows[0].turns) for row in rows]


def _ratios(turns: Sequence[Mapping[str, float]], firsts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {
        f"{number}_ratio": round(median(t[number] / f[number] for t, f in zip(turns, firsts, strict=True)), 2)
        for number in ("cpu_ns_per_event", "cpu_ns_per_value", "events_per_second")
        if number in turns[0]
    }


def print_tables(report: Mapping[str, Any]) -> None:
    """Write the report as a table a part."""
    console = Console(width=None if sys.stdout.isatty() else 110)
    for part, rows in report["parts"].items():
        columns = [
            name for name in rows[0] if name not in ("name", "events", "spread", "events_per_core_second")
        ]
        shown = table(part, *(name.replace("_", " ") for name in columns))
        for row in rows:
            shown.add_row(row["name"], *(f"{row[name]:,}" for name in columns))
        console.print(shown)
    share = f", {report['worker_cpus']:g} of a core a worker" if report["worker_cpus"] else ""
    console.print(f"{report['runs']} runs, medians{share}. {machine_line(report)}")


def main(
    *,
    events: Annotated[int, typer.Option(min=1_000, help="Events in a topic.")] = 1_000_000,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each.")] = 3,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions, where they do not differ.")] = 8,
    part: Annotated[
        list[str] | None, typer.Option(help=f"Only this: {', '.join(PARTS)}; repeatable.")
    ] = None,
    broker: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A Kafka that runs; by default one is started.")
    ] = None,
    worker_cpus: Annotated[
        float | None,
        typer.Option(
            min=0.05,
            help="Part workers: share of a core that each gets, as containers do; as root. By default 0.3 on "
            "machines of fewer than 4 cores, where limits can be set, and a whole one elsewhere.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Measure what an event costs as things grow."""
    parts = part or list(PARTS)
    if unknown := [each for each in parts if each not in PARTS]:
        raise typer.BadParameter(f"--part {unknown[0]} is none of {', '.join(PARTS)}")
    if worker_cpus is None and "workers" in parts and (os.cpu_count() or 1) < FEW_CORES and can_limit():
        worker_cpus = SHARE_OF_FEW
    plan = Plan(events, runs, partitions, broker, parts, worker_cpus)

    def measured() -> dict[str, Any]:
        with Console(stderr=True).status("Starting") as status:
            return measure(plan, status.update)

    reported("scale", measured, print_tables, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
