"""Strata: the part of a model's traffic that a prediction belongs to, as one name.

Outcomes are counted apart by stratum, so that performance can be told by version, variant and segment, and
together. Every value is a configured one, so the number of strata is bounded by the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from stream.errors import CorruptState

_JSON = msgspec.json.Encoder(order="deterministic")


class Stratum(msgspec.Struct, frozen=True, array_like=True):
    """Version and variant of the model, and the value of each declared segment.

    >>> Stratum("v1", "live", {"region": "eu"}).name
    '["v1","live",{"region":"eu"}]'
    >>> Stratum.of('["v1","live",{"region":"eu"}]').segments["region"]
    'eu'
    """

    version: str
    variant: str
    segments: Mapping[str, str] = MappingProxyType({})

    @property
    def name(self) -> str:
        """Unambiguous text: a JSON array (a version may hold any character)."""
        return _JSON.encode([self.version, self.variant, dict(self.segments)]).decode()

    @classmethod
    def of(cls, name: str) -> Stratum:
        """Inverse of :attr:`name`. Raises :class:`CorruptState` for any other text."""
        try:
            version, variant, segments = msgspec.json.decode(name, type=tuple[str, str, dict[str, str]])
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise CorruptState(f"stored stratum {name!r}: {exc}") from exc
        return cls(version, variant, segments)
