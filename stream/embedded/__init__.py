"""Real services on loopback, for the demo, tests and benchmarks: no Docker, nothing to install by hand.

Each is a context manager that serves when it is entered and leaves no process, directory or port behind, also
when its starter is killed. Needs the extra ``driftstream[local]``. Not for production.
"""

from __future__ import annotations

from stream.embedded.jars import kafka_jars
from stream.embedded.kafka import EmbeddedKafka
from stream.embedded.mock import MockKafka
from stream.embedded.prometheus import EmbeddedPrometheus, promtool_path
from stream.embedded.redis import EmbeddedRedis, redis_executable

__all__ = [
    "EmbeddedKafka",
    "EmbeddedPrometheus",
    "EmbeddedRedis",
    "MockKafka",
    "kafka_jars",
    "promtool_path",
    "redis_executable",
]
