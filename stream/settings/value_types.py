"""The types of settings beside plain text and numbers, with the message each gives when it does not fit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from stream.settings.masking import SecretUrl

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "must be a number")
    return value


def _none_if_empty(value: object) -> object:
    """Read an empty text as "none": an environment variable cannot say null."""
    return None if value == "" else value


def _topic(value: str) -> str:
    if _TOPIC.fullmatch(value) is None or value in {".", ".."}:
        raise PydanticCustomError("topic", "must be a Kafka topic name: letters, digits, '.', '_' and '-'")
    return value


def _prefix(value: str) -> str:
    if _PREFIX.fullmatch(value) is None:
        raise PydanticCustomError("prefix", "must be letters, digits, '.', '_', ':' and '-', without braces")
    return value


def _redis_url(value: SecretUrl) -> SecretUrl:
    if not value.get_secret_value().startswith(_REDIS_SCHEMES):
        raise PydanticCustomError("redis_url", "must start with redis://, rediss:// (TLS) or unix://")
    return value


def comma_separated(value: object) -> object:
    """Read a text as a list: an environment variable has no other way to say one."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def parsed_mapping(value: object) -> object:
    """A mapping in an environment variable is JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise PydanticCustomError("name", 'must be JSON, such as {"region": ["eu", "us"]}') from None


def _absolute(path: Path, info: ValidationInfo) -> Path:
    """Resolve against the directory of the configuration file, not the working directory."""
    directory = info.context.get("directory", Path()) if isinstance(info.context, dict) else Path()
    return (directory / path.expanduser()).absolute()


EmptyIsNone = BeforeValidator(_none_if_empty)
Count = Annotated[int, Field(ge=1), BeforeValidator(_not_bool)]
Topic = Annotated[str, AfterValidator(_topic)]
KeyPrefix = Annotated[str, AfterValidator(_prefix)]
RedisUrl = Annotated[SecretUrl, AfterValidator(_redis_url), WithJsonSchema({"type": "string"})]
FilePath = Annotated[Annotated[Path, AfterValidator(_absolute)] | None, EmptyIsNone]
ReferencePath = Annotated[Path, AfterValidator(_absolute)]
ReferencePaths = Annotated[
    tuple[ReferencePath, ...],
    Field(min_length=1),
    BeforeValidator(comma_separated),
]
Port = Annotated[int, Field(ge=0, le=65535), BeforeValidator(_not_bool)]
