"""The command line: one table of commands, one place where errors become exit codes.

Exit codes: 0 fine; 1 the answer is "no"; 2 usage or configuration; 3 a dependency cannot be used; 130 Ctrl-C.

A command module imports typer and nothing heavy at its top: what the command does is imported inside the
function, so that ``driftstream --help`` answers at once.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import Annotated, Final

import typer

from stream import logs
from stream.errors import DriftstreamError

COMMANDS: Final = {
    "worker": "stream.cli.worker:worker",
    "demo": "stream.cli.demo:demo",
    "check": "stream.cli.check:check",
    "topics": "stream.cli.topics:app",
    "config": "stream.cli.config:app",
    "explain": "stream.cli.explain:explain",
    "reference": "stream.cli.reference:app",
    "emit": "stream.cli.emit:emit",
    "replay": "stream.cli.replay:replay",
    "status": "stream.cli.status:status",
    "dlq": "stream.cli.dlq:app",
    "forget": "stream.cli.forget:forget",
    "version": "stream.cli.version:version",
}
"""Command name -> a function, or a ``typer.Typer`` of sub-commands. The order is that of ``--help``."""

app = typer.Typer(
    name="driftstream",
    rich_markup_mode=None,
    help="Watch deployed models for drift: events in Kafka, counts in Redis, alerts on Kafka.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print local variables, and with them secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    log_level: Annotated[
        logs.Level, typer.Option(envvar="DRIFTSTREAM_LOG_LEVEL", help="Least level of the log on stderr.")
    ] = "info",
    log_format: Annotated[
        logs.Form, typer.Option(envvar="DRIFTSTREAM_LOG_FORMAT", help="The log as text or as JSON lines.")
    ] = "text",
) -> None:
    """Watch deployed models for drift: events in Kafka, counts in Redis, alerts on Kafka."""
    logs.configure(level=log_level, form=log_format)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code; this is the console script ``driftstream``."""
    try:
        result = app(args=argv, prog_name="driftstream", standalone_mode=False)
    except DriftstreamError as exc:
        sys.stderr.write(f"driftstream: error: {exc}\n")
        return exc.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except typer.TyperException as exc:
        _show_usage(exc)
        return 2
    except Exception:
        traceback.print_exc()
        return 1
    return result if isinstance(result, int) else 0


def _show_usage(error: typer.TyperException) -> None:
    """Say on stderr what is wrong with the command line, and where its help is."""
    context = getattr(error, "ctx", None)
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    path = context.command_path if context is not None else "driftstream"
    if message.startswith("Usage:"):  # no arguments: the message is the help itself
        sys.stderr.write(f"{message}\n")
        return
    sys.stderr.write(f"driftstream: error: {message.rstrip('.')}; see `{path} --help`\n")


def _register() -> None:
    for name, place in COMMANDS.items():
        module, _, attribute = place.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)


_register()
