from __future__ import annotations

import numpy as np
import pytest

from stream.outcomes.coverage import COVERAGE_DROP, LABEL_DROUGHT, Coverage


def kinds(coverage: Coverage, *slices: tuple[int, int]) -> list[list[str]]:
    return [sorted(coverage.observe(*each)[0]) for each in slices]


def test_no_label_for_long_is_a_drought_until_one_comes() -> None:
    coverage = Coverage(arl=1_000, min_predictions=50)
    assert not any(kinds(coverage, *[(40, 4)] * 20))
    # 0.9 ** n < 1 / 1000 from 66 predictions on
    assert kinds(coverage, (40, 0), (20, 0), (40, 0), (40, 0), (40, 4)) == [
        [],
        [],
        [LABEL_DROUGHT],
        [LABEL_DROUGHT],
        [],
    ]


def test_labels_that_never_came_are_missed_too() -> None:
    found = kinds(Coverage(arl=1_000, min_predictions=50), *[(100, 0)] * 12)
    assert [index for index, each in enumerate(found) if each] == [9, 10, 11]


def test_far_fewer_labels_than_usual_are_told_and_do_not_become_usual() -> None:
    coverage = Coverage(arl=1_000, min_predictions=50)
    assert not any(kinds(coverage, *[(1_000, 900)] * 10))
    assert kinds(coverage, *[(1_000, 300)] * 50) == [[COVERAGE_DROP]] * 50
    assert kinds(coverage, (1_000, 600)) == [[]]


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_chance_alone_is_quiet(share: float) -> None:
    rng = np.random.default_rng(3)
    coverage = Coverage(arl=10_000, min_predictions=50)
    slices = [(n, int(rng.binomial(n, share))) for n in rng.integers(0, 400, 1_000).tolist()]
    assert not any(kinds(coverage, *slices))
