"""The decoder of topics with fields whose values must not be kept as they are (:mod:`stream.privacy`).

Where names stand for categories it decodes in Python: a category is looked up by its name, so the table that
the compiled decoder works from cannot be made. Topics without such fields never come here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stream.codec.attributes import Declared
from stream.codec.batch import Batch, Block, Decoding
from stream.codec.engine import Engine, make_decoder
from stream.codec.layout import ModelLayout, layouts
from stream.codec.limits import Limits
from stream.codec.structs import INFERENCE
from stream.codec.values import INVALID_CATEGORY
from stream.privacy import FieldPrivacy, bucketed

if TYPE_CHECKING:
    from detectors.reference import Reference


class PrivateInferenceDecoder:
    """Decodes inference events; what it gives holds no value that a rule changes.

    Labels have no features, and so no rules.

    Parameters
    ----------
    references, limits, declared
        As of the plain decoder of the topic; the references are built with the same rules.
    """

    def __init__(
        self,
        references: Mapping[tuple[str, str], Reference],
        limits: Limits,
        declared: Mapping[str, Declared],
        privacy: FieldPrivacy,
        engine: Engine = "auto",
    ) -> None:
        found = layouts(references, declared, INFERENCE, "inference", limits.string_bytes)
        veiled = [_veil(layout, privacy) for layout in found.values()]
        configured = frozenset(model for model, _ in references)
        self._decoder = make_decoder(
            found, INFERENCE, limits, configured=configured, engine="python" if any(veiled) else engine
        )
        self._widths = {name: rule.width for name, rule in privacy.rules.items() if rule.kind == "bucket"}

    def begin(self) -> Decoding:
        """Begin a batch; see :class:`~stream.codec.batch.Decoder`."""
        return _PrivateDecoding(self._decoder.begin(), self._private)

    def decode(self, values: Sequence[bytes | None], record_ts_ms: Sequence[int]) -> Batch:
        """Decode one batch; see :class:`~stream.codec.batch.Decoder`."""
        return self._private(self._decoder.decode(values, record_ts_ms))

    def _private(self, batch: Batch) -> Batch:
        return replace(batch, blocks=[self._bucketed(block) for block in batch.blocks])

    def _bucketed(self, block: Block) -> Block:
        changed: dict[str, NDArray[Any]] = {
            name: bucketed(block.columns[name], width)
            for name, width in self._widths.items()
            if name in block.columns and block.columns[name].dtype == np.float64
        }
        return replace(block, columns={**block.columns, **changed}) if changed else block


@dataclass(frozen=True)
class _PrivateDecoding:
    decoding: Decoding
    private: Callable[[Batch], Batch]

    def take(
        self, values: Sequence[bytes | None], record_ts_ms: Sequence[int], *, newest_ms: int
    ) -> Sequence[int]:
        return self.decoding.take(values, record_ts_ms, newest_ms=newest_ms)

    def finish(self, kept: NDArray[np.bool_] | None = None) -> Batch:
        return self.private(self.decoding.finish(kept))


def _veil(layout: ModelLayout, privacy: FieldPrivacy) -> bool:
    """Have categories of ruled columns found by their names and by nothing else; whether there are any."""
    veiled = False
    for version in layout.versions.values():
        for column in version.columns:
            if column.source != "feature" or column.kind == "numeric" or column.name not in privacy.rules:
                continue
            codes = column.codes
            codes.veil = privacy.code(layout.model, column.name, dict(codes))
            for key in [key for key in codes if key is not None and key is not INVALID_CATEGORY]:
                del codes[key]
            veiled = True
    return veiled
