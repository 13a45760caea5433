"""The section about what stands for ids, and for the values of fields that are nobody's business."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from stream.settings.section import Section
from stream.settings.value_types import EmptyIsNone

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


class PrivacySettings(Section):
    """What stands for prediction ids in Redis."""

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
