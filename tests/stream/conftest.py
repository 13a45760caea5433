"""Fixtures of the tests without services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stream.decoders import using

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.codec import Engine


@pytest.fixture
def decoded_by(engine: Engine) -> Iterator[None]:
    """Let a test hold for both decoders."""
    with using(engine):
        yield
