"""An Apache Kafka and a Redis that let nobody in without TLS and a name: one start for a module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from stream.embedded import EmbeddedKafka, EmbeddedRedis
from stream.embedded.ports import free_port
from tests.security.identities import Authority, Identity, password
from tests.security.token_endpoint import TokenEndpoint, serving

_LOGIN = "org.apache.kafka.common.security"
_OAUTH = "listener.name.sasl_ssl.oauthbearer.sasl"


class _Kafka(EmbeddedKafka):
    """Reads the keys of tokens from a file, which Kafka allows by a property of the JVM only."""

    allowed = ""

    def listener(self, protocol: str) -> str:
        """By the name that the certificate has; ``127.0.0.1`` is one that it has not."""
        host = "localhost" if protocol in ("SSL", "SASL_SSL") else "127.0.0.1"
        return f"{host}:{self.ports[protocol]}"

    def _command(self) -> Sequence[str]:
        java, *rest = super()._command()
        stem = "-Dorg.apache.kafka.sasl.oauthbearer.allowed"
        return [java, f"{stem}.urls={self.allowed}", *rest]


@dataclass(frozen=True)
class Secured:
    """Both services, who may use them, and by what.

    Principals: ``driftstream`` (by password, token, certificate), ``serving``, ``deployer`` (by password).
    The plain listeners on loopback belong to the test: there everybody may do everything.
    """

    directory: Path
    kafka: EmbeddedKafka
    redis: EmbeddedRedis
    tls_port: int
    tokens: TokenEndpoint
    authority: Authority
    client: Identity
    stranger: Identity
    secrets: dict[str, str]

    @property
    def redis_url(self) -> str:
        return f"rediss://driftstream@localhost:{self.tls_port}/0"

    def redis_section(self) -> dict[str, str]:
        return {
            "url": self.redis_url,
            "ca": str(self.authority.path),
            "certificate": str(self.client.chain),
            "key": str(self.client.key),
        }

    def scram(self, user: str = "driftstream") -> dict[str, Any]:
        return {
            "bootstrap.servers": self.kafka.listener("SASL_SSL"),
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": self.secrets[user],
            "ssl.ca.location": str(self.authority.path),
        }

    def oauth(self) -> dict[str, Any]:
        stem = "sasl.oauthbearer."
        return {
            "bootstrap.servers": self.kafka.listener("SASL_SSL"),
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "OAUTHBEARER",
            f"{stem}method": "oidc",
            f"{stem}token.endpoint.url": self.tokens.url,
            f"{stem}client.id": "driftstream",
            f"{stem}client.secret": self.secrets["token"],
            "https.ca.location": str(self.authority.path),
            "ssl.ca.location": str(self.authority.path),
        }

    def mtls(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.kafka.listener("SSL"),
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.authority.path),
            "ssl.certificate.location": str(self.client.chain),
            "ssl.key.location": str(self.client.key),
        }

    def grant(self, principal: str, operation: str, kind: str, name: str, pattern: str = "LITERAL") -> None:
        """Allow one operation, as ``kafka-acls --add`` does."""
        binding = AclBinding(
            ResourceType[kind],
            name,
            ResourcePatternType[pattern],
            f"User:{principal}",
            "*",
            AclOperation[operation],
            AclPermissionType.ALLOW,
        )
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0})
        for made in admin.create_acls([binding]).values():
            made.result(10)


@contextmanager
def secured(directory: Path, properties: Mapping[str, str] | None = None) -> Iterator[Secured]:
    """Start everything, and end it with the context; ``properties`` are the broker's, over ours."""
    authority, others = Authority.made(directory, "ca"), Authority.made(directory, "other-ca")
    server = authority.issue("server", "localhost")
    secrets = {name: password() for name in ("driftstream", "serving", "deployer", "token", "redis")}
    tokens = TokenEndpoint("driftstream", secrets["token"])
    jwks = directory / "jwks.json"
    with ExitStack() as stack:
        stack.enter_context(serving(tokens, server, jwks))
        redis = EmbeddedRedis(options=_redis_options(authority, server, port := free_port()))
        stack.enter_context(redis)
        users = [
            word
            for name in ("driftstream", "serving", "deployer")
            for word in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={secrets[name]}]")
        ]
        _Kafka.allowed = jwks.as_uri()
        kafka = _Kafka(
            listeners=["SASL_SSL", "SSL"],
            properties={**_kafka_properties(authority, server, jwks), **(properties or {})},
            format_options=users,
        )
        stack.enter_context(kafka)
        yield Secured(
            directory,
            kafka,
            redis,
            port,
            tokens,
            authority,
            authority.issue("driftstream"),
            others.issue("stranger"),
            secrets,
        )


def _redis_options(authority: Authority, server: Identity, port: int) -> dict[str, str]:
    return {
        "tls-port": str(port),
        "tls-cert-file": str(server.chain),
        "tls-key-file": str(server.key),
        "tls-ca-cert-file": str(authority.path),
        "tls-auth-clients": "yes",
    }


def _kafka_properties(authority: Authority, server: Identity, jwks: Path) -> dict[str, str]:
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(server.both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.path),
        "listener.name.ssl.ssl.client.auth": "required",
        "listener.name.ssl.ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
        f"{_OAUTH}.jaas.config": f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required;",
        f"{_OAUTH}.server.callback.handler.class": (
            f"{_LOGIN}.oauthbearer.OAuthBearerValidatorCallbackHandler"
        ),
        f"{_OAUTH}.oauthbearer.jwks.endpoint.url": jwks.as_uri(),
        f"{_OAUTH}.oauthbearer.expected.audience": "kafka",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
