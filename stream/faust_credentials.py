"""Faust's credentials from the librdkafka properties of the configuration.

One ``kafka`` section serves two clients. What librdkafka understands and Faust's client does not is refused
at start, with what to write instead: a worker whose evaluator cannot log in counts and never judges.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import faust

from stream.errors import ConfigError
from stream.oauth_token import OauthTokens, TokenRequest
from stream.settings.configuration import Settings
from stream.transport import require_private

_PASSWORDS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_OAUTH: Final = "OAUTHBEARER"
_OFF: Final = frozenset({"false", "no", "0", "none", "off"})
_UNKNOWN: Final = {
    "ssl.keystore.location": "write it as PEM: ssl.certificate.location and ssl.key.location",
    "ssl.engine.location": "write the key as PEM: ssl.key.location",
    "ssl.ca.certificate.stores": "write the authority as PEM: ssl.ca.location",
}
"""Properties of librdkafka that Python's TLS has no counterpart of, and what to write instead."""


def faust_credentials(settings: Settings) -> Any:
    """Return what Faust's broker connection needs, or None for plaintext.

    Raises
    ------
    ConfigError
        A mechanism or property that the evaluator's client does not speak, a certificate or key that cannot
        be read, or a link to another machine in clear.
    """
    require_private(settings, "kafka")
    properties = settings.kafka.reveal()
    protocol = properties.get("security.protocol", "plaintext").lower()
    if protocol == "plaintext":
        return None
    context = _context(settings, properties) if protocol in ("ssl", "sasl_ssl") else None
    if protocol == "ssl":
        return faust.SSLCredentials(context=context)
    mechanism = properties.get("sasl.mechanism") or properties.get("sasl.mechanisms") or "GSSAPI"
    if mechanism == _OAUTH:
        return faust.OAuthCredentials(
            oauth_cb=OauthTokens(_request(settings, properties)), ssl_context=context
        )
    if mechanism not in _PASSWORDS:
        known = ", ".join((*_PASSWORDS, _OAUTH))
        raise ConfigError(
            f"{settings.where('kafka', 'sasl.mechanism')}: kafka: the evaluator does not speak "
            f"sasl.mechanism {mechanism}; use {known}"
        )
    return faust.SASLCredentials(
        username=properties.get("sasl.username"),
        password=properties.get("sasl.password"),
        ssl_context=context,
        mechanism=mechanism,
    )


def _request(settings: Settings, properties: Mapping[str, str]) -> TokenRequest:
    """Return how tokens are asked for; ConfigError unless it is by client credentials."""
    stem = "sasl.oauthbearer."
    if properties.get(f"{stem}method", "default").lower() != "oidc":
        place = settings.where("kafka", f"{stem}method")
        raise ConfigError(f"{place}: kafka: OAUTHBEARER needs {stem}method: oidc")
    needed = ("token.endpoint.url", "client.id", "client.secret")
    missing = [f"{stem}{name}" for name in needed if not properties.get(f"{stem}{name}")]
    if missing:
        raise ConfigError(f"{settings.where('kafka')}: kafka: OAUTHBEARER needs {', '.join(missing)}")
    endpoint, client_id, client_secret = (properties[f"{stem}{name}"] for name in needed)
    if not endpoint.lower().startswith(("https://", "http://")):
        place = settings.where("kafka", f"{stem}token.endpoint.url")
        raise ConfigError(f"{place}: kafka.{stem}token.endpoint.url must start with https://")
    return TokenRequest(
        endpoint,
        client_id,
        client_secret,
        scope=properties.get(f"{stem}scope"),
        ca=properties.get("https.ca.location"),
    )


def _context(settings: Settings, properties: Mapping[str, str]) -> ssl.SSLContext:
    """Return the TLS of the properties."""
    for name, remedy in _UNKNOWN.items():
        if name in properties:
            raise ConfigError(
                f"{settings.where('kafka', name)}: kafka: the evaluator does not read {name}; {remedy}"
            )
    name = "ssl.ca.location"
    try:
        context = ssl.create_default_context(
            cafile=properties.get("ssl.ca.location"), cadata=properties.get("ssl.ca.pem")
        )
        if properties.get("ssl.endpoint.identification.algorithm", "https").lower() in _OFF:
            context.check_hostname = False
        if properties.get("enable.ssl.certificate.verification", "true").lower() in _OFF:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        name = "ssl.certificate.location"
        _load_certificate(context, properties)
    except (ssl.SSLError, OSError) as exc:
        reason = exc.strerror or str(exc)
        raise ConfigError(
            f"{settings.where('kafka', name)}: kafka: {name} or what belongs to it cannot be used: {reason}"
        ) from exc
    return context


def _load_certificate(context: ssl.SSLContext, properties: Mapping[str, str]) -> None:
    """Load our own certificate and its key, from files or from the text of properties."""
    password = properties.get("ssl.key.password")
    if "ssl.certificate.location" in properties:
        key = properties.get("ssl.key.location")
        context.load_cert_chain(properties["ssl.certificate.location"], key, password)
    elif "ssl.certificate.pem" in properties:
        # Python's TLS reads keys from files alone: one that nobody else can open, gone when it has been read.
        with tempfile.TemporaryDirectory(prefix="driftstream-") as directory:
            chain = Path(directory, "chain.pem")
            chain.touch(mode=0o600)
            chain.write_text(f"{properties['ssl.certificate.pem']}\n{properties.get('ssl.key.pem', '')}\n")
            context.load_cert_chain(chain, None, password)
