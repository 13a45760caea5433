"""Names of what a model remembers beside its state: entries by what they are, series and time."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

_JSON = msgspec.json.Encoder()
_NAME = msgspec.json.Decoder(tuple[str, str, str, str, int])


def entry_name(what: str, source: str, version: str, fingerprint: str, ms: int) -> str:
    """Unambiguous name of an entry: a JSON array (a version may hold any character).

    >>> entry_name("hour", "inference", "v1", "0f", 3_600_000)
    '["hour","inference","v1","0f",3600000]'
    """
    return _JSON.encode([what, source, version, fingerprint, ms]).decode()


def entries_of(
    memory: Mapping[str, bytes], what: str, source: str, version: str, fingerprint: str
) -> dict[int, bytes]:
    """The entries of a series by their time."""
    wanted = (what, source, version, fingerprint)
    return {
        name[4]: data
        for name, data in ((_NAME.decode(text), data) for text, data in memory.items())
        if name[:4] == wanted
    }
