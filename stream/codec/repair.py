"""The slow path: one record that the typed decoder did not take, looked at field by field.

Either the record is an event after all, with wrong-typed features in the invalid cell, or it gets the reason
why it is not. Checks run from the outside in: size, nesting, JSON, envelope, features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from stream.codec.layout import ModelLayout, VersionLayout
from stream.codec.limits import Limits
from stream.codec.structs import Form, Skipped, make_stranger
from stream.codec.values import Column, utf8_length
from stream.errors import DecodeError
from stream.events import MAX_ID_BYTES

_DECODER = msgspec.json.Decoder(float_hook=float)  # 1e999 is then infinite instead of an error
_JSON_NAMES = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}


class Repair:
    """Decodes one record the slow way, about 10 µs each, exact where the fast path only suspects."""

    def __init__(self, form: Form, layouts: Mapping[str, ModelLayout], limits: Limits) -> None:
        self._layouts = layouts
        self._limits = limits
        self._stranger = make_stranger(form, limits.string_bytes)
        self._decode_stranger = msgspec.json.Decoder(self._stranger).decode
        self._columns = {*form.scalars, "features"}
        self._fields = [field for field in msgspec.structs.fields(form.event) if field.name != "features"]

    def stranger(self, value: bytes | None) -> msgspec.Struct | None:
        """Return the event in ``value`` if its model has no reference: the quick way for unknown models."""
        try:
            event: Any = self._decode_stranger(value)  # type: ignore[arg-type]
        except (ValueError, RecursionError, TypeError):
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
        envelope = {field.name: self._field(field, document) for field in self._fields}
        layout = self._layouts.get(envelope["model"])
        version = layout.version_of(envelope.get("version")) if layout else None
        if layout is None or version is None:
            self._features(document)
            return self._stranger(**envelope)
        return self._event(layout, version, envelope, document)

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

    def _field(self, field: msgspec.structs.FieldInfo, document: dict[str, Any]) -> Any:
        value = document.get(field.name)
        if field.required and field.name not in document:
            raise DecodeError("missing_field", f"{field.name} is required")
        if field.name in self._columns:  # a monitored one is encoded by its column, with an invalid cell
            return None if isinstance(value, list | dict) else value
        self._bounded(field.name, value)
        if field.name in ("segments", "measures"):
            return None if value is None else _converted(field.name, value, Skipped)
        return _converted(field.name, value, field.type)

    def _bounded(self, name: str, value: object) -> None:
        limit = MAX_ID_BYTES if name == "prediction_id" else self._limits.string_bytes
        if isinstance(value, str) and utf8_length(value) > limit:
            raise DecodeError("string_too_long", f"{name} is over {limit} bytes")
        if isinstance(value, float) and not math.isfinite(value) and name != "ts":
            raise DecodeError("not_finite", f"{name} is not a finite number")

    def _features(self, document: dict[str, Any]) -> dict[str, Any]:
        features = document.get("features")
        if "features" not in self._columns or features is None:
            return {}
        if not isinstance(features, dict):
            raise DecodeError("wrong_type", f"features is a JSON {_json_name(features)}, not an object")
        if len(features) > self._limits.features:
            raise DecodeError("too_many_features", f"{len(features)} features, limit {self._limits.features}")
        return features

    def _event(
        self, layout: ModelLayout, version: VersionLayout, envelope: dict[str, Any], document: dict[str, Any]
    ) -> msgspec.Struct:
        features = self._features(document)
        values: dict[str, Any] = {}
        for column in version.columns:
            if column.source == "feature":
                values[layout.structs.path(column)] = self._repaired(column, features.get(column.name))
            else:
                envelope[column.source] = self._repaired(column, document.get(column.source))
        del envelope["model"]
        if "features" in layout.structs.event.__struct_fields__:
            envelope["features"] = layout.structs.features(**values)
        return layout.structs.event(**envelope)

    def _repaired(self, column: Column, value: object) -> Any:
        return column.repaired(value, self._limits.string_bytes)


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
        raise _syntax(value, error) from None


def _syntax(value: bytes, error: msgspec.DecodeError) -> DecodeError:
    try:
        value.decode()
    except UnicodeDecodeError as bad:
        return DecodeError("not_utf8", f"byte {bad.start} is not UTF-8 text")
    return DecodeError("not_json", str(error))


def _converted(name: str, value: object, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        if name == "ts":
            raise DecodeError("bad_timestamp", "ts is neither RFC 3339 with an offset nor epoch ms") from None
        if ", got `" in str(error):
            raise DecodeError("wrong_type", f"{name}: {error}") from None
        if value == "":
            raise DecodeError("missing_field", f"{name} is empty") from None
        raise DecodeError("bad_value", f"{name} is not one of the values it can have") from None


def _json_name(value: object) -> str:
    return _JSON_NAMES.get(type(value), "null")
