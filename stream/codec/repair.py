"""The slow path: one record that the typed decoder did not take, looked at field by field.

Either the record is an event after all, with wrong-typed features in the invalid cell, or it gets the reason
why it is not. Checks run from the outside in: size, nesting, JSON, envelope, features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from stream.codec.layout import ModelLayout
from stream.codec.limits import Limits
from stream.codec.refusal import BAD_TIME, JSON_NAMES, Refusals, not_json
from stream.codec.structs import Form, Skipped, Structs, make_stranger, unannotated
from stream.codec.values import category, number, utf8_length
from stream.errors import DecodeError
from stream.events import MAX_ID_BYTES

_AT_MODEL = " - at `$.model`"
_DECODER = msgspec.json.Decoder(float_hook=float)  # 1e999 is then infinite instead of an error


class Repair:
    """Decodes one record the slow way, up to 30 µs each, exact where the fast path only suspects."""

    def __init__(self, form: Form, layouts: Mapping[str, ModelLayout], limits: Limits) -> None:
        self._layouts = layouts
        self._limits = limits
        self._stranger = make_stranger(form, limits.string_bytes)
        self._decode_stranger = msgspec.json.Decoder(self._stranger).decode
        self._required = [field.name for field in msgspec.structs.fields(form.event) if field.required]
        self._refusals = Refusals(self._required)
        self._read_apart = {*form.scalars, "features"}
        self._types = {
            field.name: Skipped if field.name in ("segments", "measures") else field.type
            for field in msgspec.structs.fields(form.event)
            if field.name not in self._read_apart
        }
        # What is right without the cost of a conversion: most fields of most records.
        plain: set[tuple[str, type]] = {("ts", int), ("segments", dict), ("measures", dict)}
        texts = (name for name, kind in self._types.items() if unannotated(kind) in (str, str | None))
        self._plain = plain | {(name, str) for name in texts}
        self._has_features = "features" in form.event.__struct_fields__

    def second_look(
        self, value: bytes | None, error: Exception, *, suspect: bool
    ) -> msgspec.Struct | DecodeError:
        """Return the event in ``value``, or why it is none.

        Parameters
        ----------
        error
            What the typed decoder said of it.
        suspect
            The typed decoder was not asked: the record may exceed a bound.
        """
        if value and not suspect:
            if type(error) is msgspec.ValidationError and str(error).endswith(_AT_MODEL):
                event = self._stranger_in(value)
                if event is not None:
                    return event
            refusal = self._refusals.of(value, error)
            if refusal is not None:
                return refusal
        try:
            return self.event(value)
        except DecodeError as refused:
            # Another one: what was raised holds the frames of its callers, and the whole batch with them.
            return DecodeError(refused.reason, refused.detail)

    def _stranger_in(self, value: bytes) -> msgspec.Struct | None:
        """Return the event in ``value`` if its model has no reference: the quick way for unknown models."""
        try:
            event: Any = self._decode_stranger(value)
        except (ValueError, RecursionError):
            return None
        return None if event.model in self._layouts else event

    def event(self, value: bytes | None) -> msgspec.Struct:
        """Return the event in ``value``: of its model's struct, or a stranger.

        Raises
        ------
        DecodeError
            When it is none.
        """
        document = self._document(value)
        envelope = self._envelope(document)
        features = self._features(document)
        layout = self._layouts.get(envelope["model"])
        version = layout.version_of(envelope.get("version")) if layout else None
        if layout is None or version is None:
            return self._stranger(**envelope)
        values: dict[str, Any] = {}
        for column, path in version.paths:
            found, given = (values, features) if column.source == "feature" else (envelope, document)
            name = column.name if column.source == "feature" else column.source
            found[path] = column.repaired(given.get(name), self._limits.string_bytes)
        del envelope["model"]
        _keep_declared(envelope, layout.structs)
        if self._has_features:
            envelope["features"] = layout.structs.features(**values)
        return layout.structs.event(**envelope)

    def _document(self, value: bytes | None) -> dict[str, Any]:
        limits = self._limits
        if not value:
            raise DecodeError("empty", "the record has no value")
        if len(value) > limits.record_bytes:
            raise DecodeError("too_large", f"{len(value)} bytes, limit {limits.record_bytes}")
        if limits.too_deep(value):
            raise DecodeError("too_deep", f"objects or arrays nest deeper than {limits.depth}")
        document = _parsed(value)
        if not isinstance(document, dict):
            raise DecodeError("not_an_object", f"the record is a JSON {_json_name(document)}")
        return document

    def _envelope(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the fields that are no columns, checked; those that may be are taken if they are scalars."""
        for name in self._required:
            if name not in document:
                raise DecodeError("missing_field", f"{name} is required")
        envelope: dict[str, Any] = {}
        for name, value in document.items():
            if name in self._types:
                self._bounded(name, value)
                fine = (name, type(value)) in self._plain and value != ""
                fine |= value is None and name not in self._required
                envelope[name] = value if fine else _converted(name, value, self._types[name])
            elif name in self._read_apart and name != "features":
                envelope[name] = None if isinstance(value, list | dict) else value
        return envelope

    def _bounded(self, name: str, value: object) -> None:
        limit = MAX_ID_BYTES if name == "prediction_id" else self._limits.string_bytes
        if isinstance(value, str) and utf8_length(value) > limit:
            raise DecodeError("string_too_long", f"{name} is over {limit} bytes")
        if isinstance(value, float) and not math.isfinite(value) and name != "ts":
            raise DecodeError("not_finite", f"{name} is not a finite number")

    def _features(self, document: dict[str, Any]) -> dict[str, Any]:
        features = document.get("features")
        if features is None or not self._has_features:
            return {}
        if not isinstance(features, dict):
            raise DecodeError("wrong_type", f"features is a JSON {_json_name(features)}, not an object")
        if len(features) > self._limits.features:
            raise DecodeError("too_many_features", f"{len(features)} features, limit {self._limits.features}")
        return features


def _keep_declared(envelope: dict[str, Any], structs: Structs) -> None:
    """Turn segments and measures into their structs; a wrong type is another value, or an invalid number."""
    segments, measures = envelope.get("segments"), envelope.get("measures")
    if isinstance(segments, dict):
        envelope["segments"] = structs.segments(*map(category, map(segments.get, structs.declared.segments)))
    if isinstance(measures, dict):
        envelope["measures"] = structs.measures(*map(number, map(measures.get, structs.declared.measures)))


def _parsed(value: bytes) -> Any:
    try:
        return _DECODER.decode(value)
    except RecursionError:
        raise DecodeError("too_deep", "objects or arrays nest too deep to be read") from None
    except UnicodeDecodeError:
        raise DecodeError("not_utf8", "the record is not UTF-8 text") from None
    except msgspec.ValidationError as error:  # the syntax is right: a number is out of range
        raise DecodeError("not_finite", f"a number has too many digits: {error}") from None
    except msgspec.DecodeError as error:
        raise not_json(value, error) from None


def _converted(name: str, value: object, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        if name == "ts":
            raise DecodeError("bad_timestamp", BAD_TIME) from None
        if ", got `" in str(error):
            raise DecodeError("wrong_type", f"{name}: {error}") from None
        if value == "":
            raise DecodeError("missing_field", f"{name} is empty") from None
        raise DecodeError("bad_value", f"{name} is not one of the values it can have") from None


def _json_name(value: object) -> str:
    kind = (
        "array" if isinstance(value, list) else "object" if isinstance(value, dict) else type(value).__name__
    )
    return JSON_NAMES.get(kind, "null")
