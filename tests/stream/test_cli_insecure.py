"""``--insecure``: what connects refuses plaintext to another machine, and has the option."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from stream.cli import app, main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEVER_CONNECT = {"config show", "replay"}
"""Take a configuration and say something of it, or of a file."""

OF_REDIS = (
    ("explain",),
    ("reference", "show", "m"),
    ("reference", "export", "m", "--output", "out.json"),
    ("reference", "forget", "m"),
)
OF_KAFKA = (
    ("reference", "build", "--from-kafka", "--model", "m", "--output", "out.json"),
    ("dlq", "ls"),
    ("dlq", "show", "inference-0-1"),
    ("dlq", "purge", "--all"),
)
SLOW_TO_GIVE_UP = ("dlq", "replay")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Kafka and a Redis in clear, at an address that may be any machine; nothing listens there."""
    monkeypatch.delenv("DRIFTSTREAM_INSECURE", raising=False)
    monkeypatch.setattr("stream.learning.kafka_range.TIMEOUT_S", 0.2)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "driftstream.yaml"
    path.write_text(
        "kafka: {bootstrap.servers: '0.0.0.0:1'}\nredis: {url: 'redis://0.0.0.0:1/0'}\n"
        "models: {m: {learn: 24h}}\n"
    )
    return path


@pytest.mark.parametrize("command", [*OF_REDIS, *OF_KAFKA, SLOW_TO_GIVE_UP], ids=" ".join)
def test_in_clear_to_another_machine_is_refused_and_the_option_is_named(
    command: tuple[str, ...], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--config", str(config)]) == 2
    said = capsys.readouterr().err
    assert "0.0.0.0:1" in said
    assert "is in clear" in said
    assert "--insecure" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", [*OF_REDIS, *OF_KAFKA], ids=" ".join)
def test_with_the_option_only_the_service_is_missing(
    command: tuple[str, ...], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--config", str(config), "--insecure"]) == 3
    assert "is in clear" not in capsys.readouterr().err


def _commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _commands(command, (*path, name))
        elif isinstance(command, TyperCommand):
            yield " ".join((*path, name)), command


def test_every_command_that_connects_as_configured_has_the_option() -> None:
    tree = get_command(app)
    assert isinstance(tree, TyperGroup)
    lacking = {
        name
        for name, command in _commands(tree)
        if "config" in (names := {parameter.name for parameter in command.params}) and "insecure" not in names
    }
    assert lacking == NEVER_CONNECT
