"""``driftstream version``."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

import typer

from stream.cli.options import Output, OutputOption, print_json

_PARTS = ("confluent-kafka", "faust-streaming", "redis", "numpy")


def version(output: OutputOption = Output.TEXT) -> None:
    """Print the version of driftstream and its parts."""
    own = installed_version("driftstream")
    parts = {"python": platform.python_version(), **{name: installed_version(name) for name in _PARTS}}
    parts["decoder"] = _decoder()
    if output is Output.JSON:
        print_json({"driftstream": own, **parts})
        return
    typer.echo(f"driftstream {own} ({', '.join(f'{name} {number}' for name, number in parts.items())})")


def _decoder() -> str:
    """Say what decodes records unless the settings say otherwise."""
    try:
        return f"native {installed_version('driftstream-native')}"
    except PackageNotFoundError:
        return "python"
