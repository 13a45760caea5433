"""Faust's credentials from the librdkafka properties of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from ssl import SSLContext, create_default_context
from typing import Any

import faust

from stream.errors import ConfigError
from stream.settings.configuration import Settings

_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def faust_credentials(settings: Settings) -> Any:
    """Return what Faust's broker connection needs, or None for plaintext.

    Raises
    ------
    ConfigError
        The mechanism is one that the evaluator's client does not speak.
    """
    properties = settings.kafka.reveal()
    protocol = properties.get("security.protocol", "plaintext").lower()
    context = _context(properties) if protocol in ("ssl", "sasl_ssl") else None
    if protocol == "plaintext":
        return None
    if protocol == "ssl":
        return faust.SSLCredentials(context=context)
    mechanism = properties.get("sasl.mechanism") or properties.get("sasl.mechanisms") or "PLAIN"
    if mechanism not in _MECHANISMS:
        raise ConfigError(
            f"kafka: the evaluator does not speak sasl.mechanism {mechanism}: use {', '.join(_MECHANISMS)}"
        )
    return faust.SASLCredentials(
        username=properties.get("sasl.username"),
        password=properties.get("sasl.password"),
        ssl_context=context,
        mechanism=mechanism,
    )


def _context(properties: Mapping[str, str]) -> SSLContext:
    context = create_default_context(cafile=properties.get("ssl.ca.location"))
    if properties.get("ssl.certificate.location"):
        context.load_cert_chain(
            properties["ssl.certificate.location"],
            properties.get("ssl.key.location"),
            properties.get("ssl.key.password"),
        )
    return context
