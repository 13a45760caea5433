"""Which decoder decodes: the compiled one where it is installed, else the one in Python."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from stream.codec.batch import Decoder
from stream.codec.batches import BatchDecoder
from stream.codec.compiled import CompiledDecoder
from stream.codec.layout import ModelLayout
from stream.codec.limits import Limits
from stream.codec.plan import compiled_plan
from stream.codec.structs import Form
from stream.errors import ConfigError

if TYPE_CHECKING:
    from driftstream_native import Scanner

Engine = Literal["auto", "native", "python"]
"""``auto`` is ``native`` where the extension is installed, else ``python``."""


def chosen(engine: Engine) -> Literal["native", "python"]:
    """Return what ``engine`` comes to on this machine.

    Raises
    ------
    ConfigError
        ``native`` without the extension.
    """
    if engine == "python":
        return "python"
    if _scanner() is not None:
        return "native"
    if engine == "native":
        raise ConfigError(
            "ingest.decoder is native: driftstream-native is not installed; install it, or set auto"
        )
    return "python"


def make_decoder(
    layouts: Mapping[str, ModelLayout],
    form: Form,
    limits: Limits,
    *,
    configured: frozenset[str],
    engine: Engine,
) -> Decoder:
    """Return the decoder of one topic.

    Raises
    ------
    ConfigError
        See :func:`chosen`.
    """
    python = partial(BatchDecoder, layouts, form, limits, configured=configured)
    scanner = _scanner() if chosen(engine) == "native" else None
    if scanner is None:
        return python()
    plan = compiled_plan(layouts, form, limits)
    try:
        return CompiledDecoder(scanner, plan, python, unmonitored=configured - layouts.keys())
    except (ValueError, OverflowError):  # names that are no Unicode, tens of thousands of columns
        return python()


def _scanner() -> type[Scanner] | None:
    try:
        from driftstream_native import Scanner
    except ImportError:
        return None
    return Scanner
