"""librdkafka's mock cluster: brokers inside this process, up at once, nothing to fetch."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Self

from confluent_kafka import cimpl

from stream.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_PRODUCER = 0
_LOG_ONLY_EMERGENCIES = (b"log_level", b"0")
_TOPIC_ALREADY_EXISTS = 36
_POINTER = ctypes.c_void_p
_ERROR_BYTES = 512


class MockKafka:
    """A cluster of mock brokers that other clients, also in other processes, can use by their address.

    For fault injection and where Apache Kafka cannot be had. It knows producing (idempotent and transactional
    too), fetching and both group protocols. It keeps about 5 MB a partition and nothing over a restart, has
    no CreateTopics request and no offsets for times, and makes an unknown topic of four partitions as soon as
    a client asks for it: create topics first, here. Use :class:`~stream.embedded.kafka.EmbeddedKafka` for
    claims.
    """

    title: ClassVar[str] = "librdkafka mock"

    def __init__(self, *, brokers: int = 1) -> None:
        self._brokers = brokers
        self._client: int | None = None
        self._cluster: int | None = None
        self.bootstrap_servers = ""

    def start(self) -> Self:
        """Start the brokers on free loopback ports; nothing happens when they run already."""
        if self._cluster is not None:
            return self
        library = _librdkafka()
        self._client = _new_client(library)
        self._cluster = library.rd_kafka_mock_cluster_new(self._client, self._brokers)
        # The mock waits 3 s for the first member of a group by default.
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.bootstrap_servers = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        return self

    def close(self) -> None:
        """Stop the brokers; everything they kept is gone."""
        if self._cluster is not None:
            library = _librdkafka()
            library.rd_kafka_mock_cluster_destroy(self._cluster)
            library.rd_kafka_destroy(self._client)
        self._cluster = self._client = None

    def create_topics(self, topics: Mapping[str, int]) -> None:
        """Create topics, given as name to number of partitions.

        Raises
        ------
        DependencyError
            A topic exists already, or the cluster is not started.
        """
        if self._cluster is None:
            raise DependencyError(
                "the mock cluster is not started: call start() or use it in a with statement"
            )
        library = _librdkafka()
        for name, partitions in topics.items():
            code = library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
            if code == _TOPIC_ALREADY_EXISTS:
                raise DependencyError(f"topic {name!r} cannot be created: it already exists")
            if code:
                reason = library.rd_kafka_err2str(code).decode()
                raise DependencyError(f"topic {name!r} cannot be created: {reason}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _new_client(library: ctypes.CDLL) -> int:
    """Make the client that a mock cluster needs for its own book-keeping."""
    reason = ctypes.create_string_buffer(_ERROR_BYTES)
    configuration = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(configuration, *_LOG_ONLY_EMERGENCIES, reason, _ERROR_BYTES)
    client: int | None = library.rd_kafka_new(_PRODUCER, configuration, reason, _ERROR_BYTES)
    if not client:
        raise DependencyError(f"librdkafka gives no client for the mock cluster: {reason.value.decode()}")
    return client


@cache
def _librdkafka() -> ctypes.CDLL:
    """Load the librdkafka that confluent-kafka runs on; its extension module gives its names too."""
    library = ctypes.CDLL(cimpl.__file__)
    buffer = (ctypes.c_char_p, ctypes.c_size_t)
    signatures: dict[str, tuple[object, tuple[object, ...]]] = {
        "rd_kafka_conf_new": (_POINTER, ()),
        "rd_kafka_conf_set": (ctypes.c_int, (_POINTER, ctypes.c_char_p, ctypes.c_char_p, *buffer)),
        "rd_kafka_new": (_POINTER, (ctypes.c_int, _POINTER, *buffer)),
        "rd_kafka_destroy": (None, (_POINTER,)),
        "rd_kafka_err2str": (ctypes.c_char_p, (ctypes.c_int,)),
        "rd_kafka_mock_cluster_new": (_POINTER, (_POINTER, ctypes.c_int)),
        "rd_kafka_mock_cluster_destroy": (None, (_POINTER,)),
        "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, (_POINTER,)),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, (_POINTER, ctypes.c_int32)),
        "rd_kafka_mock_topic_create": (
            ctypes.c_int,
            (_POINTER, ctypes.c_char_p, ctypes.c_int, ctypes.c_int),
        ),
    }
    for name, (result, arguments) in signatures.items():
        try:
            function = getattr(library, name)
        except AttributeError as error:
            raise DependencyError(
                f"confluent-kafka's librdkafka has no {name}: use its wheel from PyPI"
            ) from error
        function.restype, function.argtypes = result, list(arguments)
    return library
