"""librdkafka's mock cluster with its faults: errors, brokers that go, leaders that move, delay."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from stream.embedded.mock import MockKafka, _librdkafka

PRODUCE, OFFSET_COMMIT, JOIN_GROUP, HEARTBEAT, SYNC_GROUP = 0, 8, 11, 12, 14
"""Kinds of requests, by Kafka's numbers."""
REQUEST_TIMED_OUT, MSG_SIZE_TOO_LARGE, NOT_COORDINATOR, NOT_ENOUGH_REPLICAS = 7, 10, 16, 19
ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS, TOPIC_AUTHORIZATION_FAILED = 22, 25, 27, 29
"""Errors, by Kafka's numbers."""


class FaultyKafka(MockKafka):
    """A mock cluster that does what it is told. Offsets and records are kept while brokers are down."""

    def create_topics(self, topics: Mapping[str, int], _config: Mapping[str, str] | None = None) -> None:
        """Create topics; the mock knows no configuration of topics."""
        super().create_topics(topics)

    def answer_with(self, request: int, *errors: int) -> None:
        """Answer the next requests of a kind with these errors, one each; :meth:`asked` counts from here."""
        self._call("rd_kafka_mock_start_request_tracking")
        self._call("rd_kafka_mock_clear_requests")
        array = (ctypes.c_int * len(errors))(*errors)
        self._call(
            "rd_kafka_mock_push_request_errors_array",
            ctypes.c_int16(request),
            ctypes.c_size_t(len(errors)),
            array,
        )

    def asked(self, request: int) -> int:
        """Requests of a kind since the newest errors were given out."""
        library, number = _librdkafka(), ctypes.c_size_t()
        library.rd_kafka_mock_get_requests.restype = ctypes.POINTER(ctypes.c_void_p)
        requests = library.rd_kafka_mock_get_requests(ctypes.c_void_p(self._cluster), ctypes.byref(number))
        kinds = [
            library.rd_kafka_mock_request_api_key(ctypes.c_void_p(each)) for each in requests[: number.value]
        ]
        library.rd_kafka_mock_request_destroy_array(requests, number)
        return kinds.count(request)

    def down(self, broker: int) -> None:
        """Close a broker's connections and let nobody in."""
        self._call("rd_kafka_mock_broker_set_down", ctypes.c_int32(broker))

    def up(self, broker: int) -> None:
        """Let clients in again."""
        self._call("rd_kafka_mock_broker_set_up", ctypes.c_int32(broker))

    def delay(self, broker: int, milliseconds: int) -> None:
        """Answer everything so much later."""
        self._call("rd_kafka_mock_broker_set_rtt", ctypes.c_int32(broker), ctypes.c_int(milliseconds))

    def lead(self, topic: str, partition: int, broker: int) -> None:
        """Move the leader of a partition."""
        self._call(
            "rd_kafka_mock_partition_set_leader",
            ctypes.c_char_p(topic.encode()),
            ctypes.c_int32(partition),
            ctypes.c_int32(broker),
        )

    def _call(self, name: str, *arguments: Any) -> None:
        function = getattr(_librdkafka(), name)
        function.restype = ctypes.c_int
        assert function(ctypes.c_void_p(self._cluster), *arguments) in (0, None), name
