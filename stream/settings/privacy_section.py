"""The section about what stands for ids, and for the values of fields that are nobody's business."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from stream.privacy import FieldPrivacy, FieldRule, Pseudonyms
from stream.settings.section import Section
from stream.settings.value_types import EmptyIsNone, parsed_mapping

MOST_KEY_BYTES = 64


def _id_key(value: SecretStr | None) -> SecretStr | None:
    if value is not None and len(value.get_secret_value().encode()) > MOST_KEY_BYTES:
        raise PydanticCustomError("name", f"must be at most {MOST_KEY_BYTES} bytes")
    return value


def _lines(value: object) -> object:
    """Read a text as a list: keys in a file stand on lines of their own, in a variable between commas."""
    if not isinstance(value, str):
        return value
    parts = value.splitlines() if "\n" in value else value.split(",")
    return [part.strip() for part in parts if part.strip()]


IdKey = Annotated[SecretStr, AfterValidator(_id_key)]


def _rule(value: object) -> object:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    kind, _, width = text.partition(" ")
    if kind not in ("hash", "mask", "drop", "bucket") or bool(width) != (kind == "bucket"):
        raise PydanticCustomError("name", "must be hash, mask, drop or bucket WIDTH, such as bucket 1000")
    if (width and not re.fullmatch(r"[0-9]+(\.[0-9]+)?", width)) or (width and float(width) == 0):
        raise PydanticCustomError("name", "must have a WIDTH above 0, such as bucket 1000")
    return text


Rule = Annotated[str, BeforeValidator(_rule)]


class PrivacySettings(Section):
    """What stands for prediction ids in Redis, and for the values of features.

    ``hash``: a category becomes a keyed hash; ``mask``: that there is a value is all that is watched;
    ``bucket WIDTH``: a number is rounded down to a multiple; ``drop``: the feature is not read.
    """

    id_key: Annotated[IdKey | None, EmptyIsNone] = Field(
        default=None,
        description="secret key of the hashes of prediction ids, at most 64 bytes; the same for all workers; "
        "best given by DRIFTSTREAM_PRIVACY__ID_KEY_FILE",
    )
    previous_id_keys: Annotated[tuple[IdKey, ...], BeforeValidator(_lines)] = Field(
        default=(),
        description="keys that `id_key` has taken the place of, while something hashed by them is kept: "
        "`driftstream forget` looks under all of them; a file has one on each line",
    )
    fields: Annotated[dict[str, Rule], BeforeValidator(parsed_mapping)] = Field(
        default={},
        description="features by name, of every model: `hash`, `mask`, `drop` or `bucket WIDTH`; "
        "references are built and live values counted that way",
    )

    @model_validator(mode="after")
    def _keyed(self) -> PrivacySettings:
        hashed = next((name for name, rule in self.fields.items() if rule == "hash"), None)
        if hashed is not None and self.id_key is None:
            raise PydanticCustomError("name", "has fields.{name}: hash, which needs id_key", {"name": hashed})
        return self

    @property
    def field_privacy(self) -> FieldPrivacy:
        """The rules of all fields, with the keys of names."""
        keys = [key for key in (self.id_key, *self.previous_id_keys) if key is not None]
        return FieldPrivacy(
            {name: FieldRule.parse(rule) for name, rule in self.fields.items()},
            Pseudonyms.of(key.get_secret_value().encode() for key in keys),
        )
