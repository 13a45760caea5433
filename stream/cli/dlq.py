"""``driftstream dlq``: dead letters looked at, replayed, purged."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.options import ConfigOption, InsecureOption, Output, OutputOption, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from stream.dlq.letters import Selection

app = typer.Typer(help="Look at, replay and purge dead letters.", no_args_is_help=True)

TopicOption = Annotated[
    list[str] | None, typer.Option("--topic", metavar="TOPIC", help="Only records of this input topic.")
]
ReasonOption = Annotated[
    list[str] | None, typer.Option("--reason", metavar="REASON", help="Only those refused for this reason.")
]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="DURATION", help="Only those refused lately, such as 2h.")
]
PartitionOption = Annotated[
    int | None, typer.Option("--partition", min=0, help="Only records of this input partition.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it; otherwise only say what would be done.")]


@app.callback()
def dlq() -> None:
    """Look at, replay and purge dead letters."""


@app.command("ls")
def list_letters(
    config: ConfigOption = None,
    *,
    topic: TopicOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    partition: PartitionOption = None,
    limit: Annotated[int, typer.Option(min=0, help="Letters to list, the newest.")] = 10,
    insecure: InsecureOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Count dead letters by topic, reason and model, and list the newest. Changes nothing."""
    from collections import deque

    from stream.cli.dlq_output import as_rows, groups_text
    from stream.dlq.letters import Letter, Summary
    from stream.dlq.reading import DeadLetterLog
    from stream.settings.configuration import load_settings

    settings = load_settings(config, insecure=insecure)
    wanted = _selection(topic, reason, since, partition)
    summary, newest = Summary(settings.models), deque[Letter](maxlen=limit)
    with DeadLetterLog(settings, topic or ()) as log, _working("reading dead letters"):
        stretches = log.stretches()
        for entry in log.read(log.since(stretches, wanted.since_ms) if wanted.since_ms else stretches):
            if not isinstance(entry, Letter):
                summary.mark(entry)
            elif wanted.has(entry):
                summary.add(entry)
                newest.append(entry.without_content())
    rows = as_rows(newest, summary)
    if output is Output.JSON:
        print_json(
            {
                "letters": summary.letters,
                "groups": [asdict(each) for each in summary.groups()],
                "newest": rows,
            }
        )
    else:
        typer.echo(groups_text(summary, rows))


@app.command()
def show(
    identity: Annotated[str, typer.Argument(metavar="ID", help="TOPIC-PARTITION-OFFSET of the record.")],
    config: ConfigOption = None,
    *,
    values: Annotated[
        bool, typer.Option("--values", help="Show key, value and headers too: they can be personal data.")
    ] = False,
    insecure: InsecureOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show one dead letter: where it came from, why it was refused, and how large it is."""
    from stream.cli.dlq_output import as_document, letter_text
    from stream.dlq.letters import Letter, Mark, Selection
    from stream.dlq.reading import DeadLetterLog
    from stream.errors import DriftstreamError
    from stream.settings.configuration import load_settings

    settings = load_settings(config, insecure=insecure)
    found, replayed = None, False
    with DeadLetterLog(settings) as log, _working("reading dead letters"):
        wanted = Selection(ids=frozenset({identity}))
        for entry in log.read(log.stretches()):
            replayed |= isinstance(entry, Mark) and entry.id == identity
            if isinstance(entry, Letter) and found is None and wanted.has(entry):
                found = entry
    if found is None:
        raise DriftstreamError(f"no dead letter {identity}; `driftstream dlq ls` lists ids")
    document = as_document(found, is_replayed=replayed, with_values=values)
    if output is Output.JSON:
        print_json(document)
    else:
        typer.echo(letter_text(document))


@app.command()
def replay(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Letters to replay; all of the selection.")
    ] = None,
    config: ConfigOption = None,
    *,
    topic: TopicOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    partition: PartitionOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Replay so many of a topic at most.")] = None,
    yes: YesOption = False,
    insecure: InsecureOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Send dead letters back to their topic as they were, each once however often this is run.

    A record that is refused again is a dead letter again, with an id of its own.
    """
    from stream.cli.dlq_output import replay_text
    from stream.dlq.reading import DeadLetterLog
    from stream.dlq.replaying import Replay, Tally, preview
    from stream.preflight import require_kafka
    from stream.settings.configuration import load_settings

    settings = load_settings(config, insecure=insecure)
    wanted = _selection(topic, reason, since, partition, ids or ())
    partitions = require_kafka(settings)
    tallies: dict[str, Tally] = {}
    for name in topic or settings.topics.inputs:
        with DeadLetterLog(settings, [name]) as log, _working(f"replaying {name}"):
            tallies[name] = Tally()
            if not yes:
                tallies[name] = preview(log, wanted, limit=limit)
                continue
            for tally in Replay(settings, name, partitions=partitions[name]).run(log, wanted, limit=limit):
                tallies[name] = tally
    if output is Output.JSON:
        print_json({"dry_run": not yes, "topics": {name: asdict(each) for name, each in tallies.items()}})
    else:
        typer.echo(replay_text(tallies, is_done=yes))


@app.command()
def purge(
    config: ConfigOption = None,
    topic: TopicOption = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="DURATION", help="Delete what was refused before, such as 7d."),
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Delete every dead letter.")] = False,
    yes: YesOption = False,
    insecure: InsecureOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Delete the oldest dead letters for good; without --yes say what would be deleted."""
    from stream.cli.dlq_output import purge_text
    from stream.dlq.purging import cuts_before
    from stream.dlq.purging import purge as delete
    from stream.dlq.reading import DeadLetterLog
    from stream.errors import ConfigError
    from stream.settings.configuration import load_settings

    if everything == (older_than is not None):
        raise ConfigError("say what to purge: either --older-than DURATION or --all")
    settings = load_settings(config, insecure=insecure)
    before_ms = None if older_than is None else _ago_ms(older_than, "--older-than")
    with DeadLetterLog(settings, topic or ()) as log, _working("reading dead letters"):
        cuts = cuts_before(log, before_ms)
    if yes:
        delete(settings, cuts)
    if output is Output.JSON:
        print_json({"dry_run": not yes, "purged": [asdict(each) for each in cuts]})
    else:
        typer.echo(purge_text(cuts, is_done=yes))


def _selection(
    topics: Sequence[str] | None,
    reasons: Sequence[str] | None,
    since: str | None,
    partition: int | None,
    ids: Sequence[str] = (),
) -> Selection:
    from stream.codec import REASONS
    from stream.dlq.letters import Selection
    from stream.errors import ConfigError
    from stream.settings.tree import did_you_mean

    for reason in reasons or ():
        if reason not in REASONS:
            raise ConfigError(f"--reason {reason} is no reason{did_you_mean(reason, REASONS)}")
    return Selection(
        topics=frozenset(topics or ()),
        reasons=frozenset(reasons or ()),
        partition=partition,
        since_ms=0 if since is None else _ago_ms(since, "--since"),
        ids=frozenset(ids),
    )


def _ago_ms(given: str, option: str) -> int:
    from stream.errors import ConfigError
    from stream.settings.units import parse_duration_ms

    try:
        return time.time_ns() // 1_000_000 - parse_duration_ms(given)
    except ValueError as exc:
        raise ConfigError(f"{option} {given} {exc}") from None


def _working(what: str) -> AbstractContextManager[object]:
    """Show that something is going on, to people."""
    from rich.console import Console

    console = Console(stderr=True)
    return console.status(what) if console.is_terminal else nullcontext()
