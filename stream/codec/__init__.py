"""Record values to columns: the batch decoders of the input topics.

``decode`` takes the values of one batch and gives back a :class:`Batch`: encoded columns for each model
version, and a reason for every record that is no event. It reads no clock and raises nothing for what a
record holds.

Meaning of a value: an absent feature is a missing one, and so is ``null``. A numeric column takes numbers and
booleans (1 and 0); text, objects and numbers beyond a float are in its *invalid* cell. A categorical column
takes text, numbers (12 and 12.0 are ``"12"``) and booleans (``"true"``). Features that the reference does not
have are ignored. Of a key that stands twice in one object, the last value counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from stream.codec.attributes import Attributes, Declared, InferenceAttributes, LabelAttributes
from stream.codec.batch import REASONS, Batch, Block, Decoder, Decoding, Rejected
from stream.codec.engine import Engine, make_decoder
from stream.codec.layout import layouts
from stream.codec.limits import Limits
from stream.codec.structs import INFERENCE, LABEL
from stream.codec.table import Table, table_of

if TYPE_CHECKING:
    from detectors.reference import Reference

__all__ = [
    "REASONS",
    "Attributes",
    "Batch",
    "Block",
    "Declared",
    "Decoder",
    "Decoding",
    "Engine",
    "InferenceAttributes",
    "JsonInferenceDecoder",
    "JsonLabelDecoder",
    "LabelAttributes",
    "Limits",
    "Rejected",
    "Table",
    "table_of",
]

DEFAULT_LIMITS = Limits()
NO_DECLARATIONS: Mapping[str, Declared] = MappingProxyType({})


class JsonInferenceDecoder:
    """Decodes JSON inference events into the feature, prediction and score columns of their reference.

    ``references`` are keyed by model and version, oldest version first: the last one of a model takes the
    events that name no version. ``declared`` are the attributes to keep, by model. ``engine`` says what
    decodes; the batches are the same.
    """

    def __init__(
        self,
        references: Mapping[tuple[str, str], Reference],
        limits: Limits = DEFAULT_LIMITS,
        declared: Mapping[str, Declared] = NO_DECLARATIONS,
        *,
        engine: Engine = "auto",
    ) -> None:
        found = layouts(references, declared, INFERENCE, "inference", limits.string_bytes)
        configured = frozenset(model for model, _ in references)
        self._decoder = make_decoder(found, INFERENCE, limits, configured=configured, engine=engine)

    def begin(self) -> Decoding:
        """Begin a batch; see :class:`Decoder`."""
        return self._decoder.begin()

    def decode(self, values: Sequence[bytes | None], record_ts_ms: Sequence[int]) -> Batch:
        """Decode one batch; see :class:`Decoder`."""
        return self._decoder.decode(values, record_ts_ms)


class JsonLabelDecoder:
    """Decodes JSON label events into the label column of the model's newest reference that has one.

    Rows of configured models without such a reference are ``unmonitored``.
    """

    def __init__(
        self,
        references: Mapping[tuple[str, str], Reference],
        limits: Limits = DEFAULT_LIMITS,
        declared: Mapping[str, Declared] = NO_DECLARATIONS,
        *,
        engine: Engine = "auto",
    ) -> None:
        found = layouts(references, declared, LABEL, "labels", limits.string_bytes)
        configured = frozenset(model for model, _ in references)
        self._decoder = make_decoder(found, LABEL, limits, configured=configured, engine=engine)

    def begin(self) -> Decoding:
        """Begin a batch; see :class:`Decoder`."""
        return self._decoder.begin()

    def decode(self, values: Sequence[bytes | None], record_ts_ms: Sequence[int]) -> Batch:
        """Decode one batch; see :class:`Decoder`."""
        return self._decoder.decode(values, record_ts_ms)
