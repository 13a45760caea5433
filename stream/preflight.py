"""What must hold before work starts: Kafka answers, topics exist, Redis answers and keeps what it is given.

Each ``require_*`` either returns what it found or raises one line with the thing, its value and the remedy,
within about ten seconds. The worker calls them at start, ``driftstream check`` reports them one by one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.retry import Retry

from stream.errors import ConfigError, DependencyError
from stream.redis_facts import RedisFacts
from stream.settings.configuration import Settings
from stream.settings.masking import mask_url
from stream.topics import KafkaTopics, missing_topics
from stream.transport import require_private

_log = logging.getLogger(__name__)
_TLS = re.compile(r"SSL|certificate|EOF occurred")


def require_kafka(settings: Settings, *, timeout_s: float = 8.0) -> dict[str, int]:
    """Return the topics of the cluster with their number of partitions.

    Raises
    ------
    DependencyError
        Kafka cannot be reached or refuses us.
    ConfigError
        librdkafka refuses the configuration.
    """
    return KafkaTopics(settings, timeout_s=timeout_s).describe()


def require_topics(settings: Settings, existing: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return the number of partitions of every topic that a worker needs.

    Parameters
    ----------
    existing
        What :func:`require_kafka` returned, when it was called before.

    Raises
    ------
    DependencyError
        Kafka cannot be reached.
    ConfigError
        A topic does not exist.
    """
    found = require_kafka(settings) if existing is None else existing
    missing = missing_topics(settings, found)
    if missing:
        names = ", ".join(missing)
        servers = settings.kafka.bootstrap_servers
        raise ConfigError(
            f"{settings.where('topics')}: Kafka at {servers} has no topic {names}; "
            "run `driftstream topics create` or mend topics"
        )
    return {name: found[name] for name in settings.topics.needed}


def require_redis(settings: Settings, *, timeout_s: float = 5.0) -> Redis:
    """Return a connected client of a Redis that keeps what it is given; warnings go to the log.

    Raises
    ------
    DependencyError
        Redis cannot be reached, refuses us, is too old, a replica, a cluster node, or may evict keys.
    """
    client = redis_client(settings, timeout_s=timeout_s)
    facts = read_facts(settings, client)
    refusals = facts.refusals()
    if refusals:
        client.close()
        raise DependencyError(f"{_name(settings)} {refusals[0]} ({settings.where('redis', 'url')})")
    for warning in facts.warnings():
        _log.warning("Redis: %s", warning)
    return client


def redis_client(settings: Settings, *, timeout_s: float = 5.0) -> Redis:
    """Return a client that has not connected yet and never retries: its caller knows what may repeat.

    Raises
    ------
    ConfigError
        The address cannot be read, or leads to another machine in clear.
    """
    require_private(settings, "redis")
    password = settings.redis.password
    try:
        return Redis.from_url(
            settings.redis.url.get_secret_value(),
            password=password.get_secret_value() if password else None,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            client_name="driftstream",
            **_tls(settings),
        )
    except (ValueError, TypeError, RedisError) as exc:
        place = settings.where("redis", "url")
        form = "redis://USER:PASSWORD@HOST:PORT/DATABASE"
        # The reason is left out: it may quote a password that stands where the port belongs.
        raise ConfigError(f"{place}: redis.url {_address(settings)} cannot be read; write {form}") from exc


def _tls(settings: Settings) -> dict[str, str]:
    """Return what the ``redis`` section says of TLS, in redis-py's words; its names in the URL win."""
    found = {}
    for name, word in (("ca", "ssl_ca_certs"), ("certificate", "ssl_certfile"), ("key", "ssl_keyfile")):
        path = getattr(settings.redis, name)
        if path is not None and not path.is_file():
            raise ConfigError(f"{settings.where('redis', name)}: redis.{name} {path} is no file")
        if path is not None and not settings.redis.url.get_secret_value().startswith("rediss://"):
            raise ConfigError(f"{settings.where('redis', name)}: redis.{name} is for TLS: write rediss://")
        if path is not None:
            found[word] = str(path)
    return found


def read_facts(settings: Settings, client: Redis) -> RedisFacts:
    """Connect and return what the server says about itself.

    Raises
    ------
    DependencyError
        It cannot be reached or refuses us.
    """
    try:
        client.ping()
        return RedisFacts.from_info(client.info())
    except NoPermissionError:
        return RedisFacts.from_info({})
    except AuthenticationError as exc:
        remedy = "mend the password in redis.url or redis.password"
        raise _unusable(settings, exc, remedy) from exc
    except (RedisError, OSError, ValueError) as exc:
        is_tls = settings.redis.url.get_secret_value().startswith("rediss://") and _TLS.search(str(exc))
        certificates = "mend redis.ca, redis.certificate and redis.key"
        raise _unusable(settings, exc, certificates if is_tls else "start Redis or mend redis.url") from exc


def _unusable(settings: Settings, error: Exception, remedy: str) -> DependencyError:
    reason = re.sub(r"^Error -?\d+ connecting to \S+\. ", "", str(error)).partition("\n")[0].rstrip(".")
    reason = reason or type(error).__name__
    return DependencyError(
        f"{_name(settings)} cannot be used: {reason}; {remedy} ({settings.where('redis', 'url')})"
    )


def _name(settings: Settings) -> str:
    return f"Redis at {_address(settings)}"


def _address(settings: Settings) -> str:
    return mask_url(settings.redis.url.get_secret_value())
