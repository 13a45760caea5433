from __future__ import annotations

import pytest

from stream.gather import batch_for


@pytest.mark.parametrize(
    ("blocks", "records"),
    [(0, 5_000), (1, 5_000), (25, 5_000), (100, 20_000), (1_000, 50_000), (9_999, 50_000)],
)
def test_a_batch_of_many_models_is_larger(blocks: int, records: int) -> None:
    assert batch_for(5_000, blocks) == records
