"""Ports for services of tests and of the demo."""

from __future__ import annotations

import pytest

from stream.embedded import ports
from stream.errors import DependencyError


@pytest.fixture(autouse=True)
def few_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty to choose from, none of them given yet."""
    monkeypatch.setattr(ports, "_GIVEN", set())
    monkeypatch.setattr(ports, "_outgoing_from", lambda: 20_040)


def test_each_port_is_given_once():
    given = [ports.free_port() for _ in range(20)]
    assert len(set(given)) == 20


def test_when_none_is_left_it_says_so(monkeypatch):
    monkeypatch.setattr(ports, "_GIVEN", set(range(20_000, 20_040)))
    with pytest.raises(DependencyError, match="no free port"):
        ports.free_port()
