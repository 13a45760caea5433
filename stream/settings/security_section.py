"""The section about what may travel or be shown in clear."""

from __future__ import annotations

from typing import Annotated, Final, Literal, cast

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from stream.errors import ConfigError
from stream.settings.section import Section
from stream.settings.value_types import comma_separated

Link = Literal["kafka", "redis", "metrics"]
LINKS: Final[tuple[Link, ...]] = ("kafka", "redis", "metrics")
_ALL = frozenset({"true", "yes", "all", "1"})
_NONE = frozenset({"false", "no", "0", ""})


def _links(value: object) -> object:
    """``true`` is every link, ``false`` none; a text is a list, as the environment writes it."""
    if isinstance(value, bool):
        return LINKS if value else ()
    if isinstance(value, str) and value.strip().lower() in _ALL | _NONE:
        return LINKS if value.strip().lower() in _ALL else ()
    listed = comma_separated(value)
    if isinstance(listed, list | tuple) and set(listed) <= set(LINKS):
        return tuple(link for link in LINKS if link in cast("list[object]", listed))
    raise PydanticCustomError("links", "must be true, false, or a list of kafka, redis and metrics")


class SecuritySettings(Section):
    """What may travel in clear to another machine. Loopback and Unix sockets always may."""

    insecure: Annotated[
        tuple[Link, ...],
        BeforeValidator(_links),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "boolean"},
                    {"type": "array", "items": {"enum": list(LINKS)}, "uniqueItems": True},
                ]
            }
        ),
    ] = Field(
        default=(),
        description="links that need no TLS, or no token: `kafka`, `redis`, `metrics`; `true` for all three, "
        "as the option `--insecure`",
    )


def links_of(variable: str, text: str) -> tuple[Link, ...]:
    """Links that an environment variable names; none for an empty one.

    Raises
    ------
    ConfigError
        It names something else.
    """
    try:
        return SecuritySettings.model_validate({"insecure": text}).insecure
    except ValidationError:
        raise ConfigError(
            f"environment: {variable} is {text!r}; write true, or some of {', '.join(LINKS)}"
        ) from None
