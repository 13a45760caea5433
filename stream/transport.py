"""Whether what we say to Kafka, Redis and scrapers can be read or altered on the way.

Judged by the addresses and properties of the configuration, before anything connects. Nothing is resolved:
only an address that is loopback by itself counts as such, so that no name server decides it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from stream.errors import ConfigError
from stream.settings.configuration import Settings
from stream.settings.masking import mask_url
from stream.settings.security_section import Link

_OFF = frozenset({"false", "no", "0", "none", "off"})


def require_private(settings: Settings, link: Link) -> None:
    """Refuse a link to another machine that is in clear, or whose other end proves nothing.

    Raises
    ------
    ConfigError
        It is, and ``security.insecure`` does not name the link.
    """
    fault = _FAULTS[link](settings)
    if fault is None or link in settings.security.insecure:
        return
    path, what, remedy = fault
    raise ConfigError(
        f"{settings.where(*path)}: {what}; {remedy}, or say that the network is trusted: "
        f"--insecure, security.insecure: [{link}] or DRIFTSTREAM_INSECURE={link}"
    )


def require_loopback(servers: str) -> None:
    """Refuse brokers of another machine, where nothing is said of TLS.

    Raises
    ------
    ConfigError
        One of them is not this machine.
    """
    for broker in servers.split(","):
        if not is_loopback(broker_host(broker)):
            raise ConfigError(
                f"--bootstrap-servers {broker.strip()}: plaintext to another machine; give a --config whose "
                "kafka section has TLS, or say that the network is trusted: --insecure"
            )


def is_open(settings: Settings, link: Link) -> bool:
    """Whether the link is in clear to another machine, allowed or not."""
    return _FAULTS[link](settings) is not None


def is_loopback(host: str) -> bool:
    """Whether an address can only be this machine.

    >>> [is_loopback(host) for host in ("127.0.0.1", "[::1]", "localhost", "kafka", "127.evil.example")]
    [True, True, True, False, False]
    """
    name = host.strip().strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def broker_host(broker: str) -> str:
    """Host of an entry of ``bootstrap.servers``.

    >>> [broker_host(text) for text in ("kafka:9092", "SSL://10.0.0.7:9093", "[::1]:9092", "kafka")]
    ['kafka', '10.0.0.7', '::1', 'kafka']
    """
    address = broker.strip().rpartition("://")[2]
    bracketed = re.match(r"\[([^\]]*)\]", address)
    return bracketed[1] if bracketed else address.rpartition(":")[0] or address


Fault = tuple[tuple[str, ...], str, str]
"""Where the setting is, what is wrong with it, how to mend it."""


def _kafka(settings: Settings) -> Fault | None:
    properties = settings.kafka.reveal()
    servers = settings.kafka.bootstrap_servers
    far = next((each for each in servers.split(",") if not is_loopback(broker_host(each))), None)
    if far is not None and (fault := _kafka_link(properties, far.strip())):
        return fault
    return _token_endpoint(properties)


def _kafka_link(properties: Mapping[str, str], broker: str) -> Fault | None:
    protocol = properties.get("security.protocol", "plaintext").lower()
    if protocol not in ("ssl", "sasl_ssl"):
        what = f"kafka: {protocol} to {broker} is in clear: who is on the way reads events and credentials"
        key = "security.protocol" if "security.protocol" in properties else "bootstrap.servers"
        return ("kafka", key), what, "set kafka.security.protocol to SASL_SSL or SSL"
    for name in ("enable.ssl.certificate.verification", "ssl.endpoint.identification.algorithm"):
        if properties.get(name, "true").lower() in _OFF:
            what = f"kafka.{name} is {properties[name]}: {broker} may be anybody"
            return ("kafka", name), what, "remove it and give the authority in kafka.ssl.ca.location"
    return None


def _token_endpoint(properties: Mapping[str, str]) -> Fault | None:
    name = "sasl.oauthbearer.token.endpoint.url"
    address = urlsplit(properties.get(name, ""))
    if address.scheme.lower() != "http" or is_loopback(address.hostname or ""):
        return None
    what = f"kafka.{name} is {mask_url(address.geturl())}: the client secret would travel in clear"
    return ("kafka", name), what, "write https://"


def _redis(settings: Settings) -> Fault | None:
    url = settings.redis.url.get_secret_value()
    try:
        address = urlsplit(url)
        host, _ = address.hostname or "", address.port
    except ValueError:
        return None  # it cannot be read at all: said where it is used
    if address.scheme == "unix" or is_loopback(host or "localhost"):
        return None
    if address.scheme != "rediss":
        what = f"redis.url {mask_url(url)} is in clear: who is on the way reads and writes the state"
        return ("redis", "url"), what, "write rediss:// and give the authority in redis.ca"
    for name in ("ssl_cert_reqs", "ssl_check_hostname"):
        given = parse_qs(address.query).get(name, ["required"])[-1].lower()
        if given in _OFF or given == "optional":
            what = f"redis.url has {name}={given}: {host} may be anybody"
            return ("redis", "url"), what, "remove it and give the authority in redis.ca"
    return None


def _metrics(settings: Settings) -> Fault | None:
    host = settings.metrics.host
    if is_loopback(host) or settings.metrics.token is not None:
        return None
    what = f"metrics.host is {host}: whoever reaches it reads the numbers of every model"
    return ("metrics", "host"), what, "set metrics.token (best by DRIFTSTREAM_METRICS__TOKEN_FILE)"


_FAULTS = {"kafka": _kafka, "redis": _redis, "metrics": _metrics}
