from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from stream.embedded import EmbeddedPrometheus
from stream.embedded.ports import free_port
from stream.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.services

RULES = """
groups:
  - name: doubled
    rules:
      - record: temperature:doubled
        expr: temperature * 2
"""


@pytest.fixture
def target() -> Iterator[str]:
    registry = CollectorRegistry()
    Gauge("temperature", "A number to scrape.", registry=registry).set(21)
    port = free_port()
    server, thread = start_http_server(port, "127.0.0.1", registry)
    yield f"127.0.0.1:{port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_scrapes_its_targets_and_records_its_rules(
    prometheus_binary: str, target: str, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    with EmbeddedPrometheus([target], rules=[rules]) as prometheus:
        (series,) = prometheus.wait_for("temperature:doubled")
        assert series["metric"]["job"] == "driftstream"
        assert series["value"][1] == "42"
        assert prometheus.query("nothing_of_that_name") == []
    assert not prometheus.directory.exists()


def test_refused_expression_says_why(prometheus_binary: str) -> None:
    with EmbeddedPrometheus({"one": [], "two": []}) as prometheus:
        assert prometheus.get("targets")["activeTargets"] == []
        with pytest.raises(DependencyError, match=r"prometheus refuses .*parse error"):
            prometheus.query("rate(")


def test_wrong_rules_say_why_in_one_line(prometheus_binary: str, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: 1")
    with pytest.raises(DependencyError, match=r"prometheus ended with code \d+ while starting: .*rules.yml"):
        EmbeddedPrometheus([], rules=[rules]).start()
