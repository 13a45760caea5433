from __future__ import annotations

import numpy as np
import pytest

from detectors import DetectionCounts, Detections, DetectionSpec, MismatchError
from detectors.performance.box_matching import match_boxes

SPEC = DetectionSpec(("cat", "dog", "eel"))
THRESHOLDS = [0.5 + 0.05 * step for step in range(10)]


def images(seed: int, count: int = 40, *, spread: float = 4.0) -> list[Detections]:
    """Images of a few boxes each; found ones are moved true ones, and some made up."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        there = rng.integers(0, 6)
        corner = rng.uniform(0, 80, (there, 2))
        true = np.concatenate((corner, corner + rng.uniform(10, 40, (there, 2))), axis=1)
        truth = rng.integers(0, 3, there)
        kept = rng.random(there) < 0.85
        twice = np.concatenate((np.flatnonzero(kept), np.flatnonzero(rng.random(there) < 0.3)))
        moved = true[twice] + rng.normal(0, spread, (twice.size, 4))
        extra = rng.integers(0, 3)
        corner = rng.uniform(0, 80, (extra, 2))
        false = np.concatenate((corner, corner + rng.uniform(10, 40, (extra, 2))), axis=1)
        boxes = np.concatenate((moved, false))
        boxes = np.concatenate((np.minimum(boxes[:, :2], boxes[:, 2:] - 1), boxes[:, 2:]), axis=1)
        scores = np.concatenate((rng.beta(4, 2, twice.size), rng.beta(2, 4, extra)))
        classes = np.concatenate((truth[twice], rng.integers(0, 3, extra)))
        made.append(Detections(boxes, scores, classes, true, truth))
    return made


def iou(a, b) -> float:
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = wide * high
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def straightforward(pictures, code: int, threshold: float, largest: int = 100) -> float | None:
    """Average precision of one class, as COCOeval computes it: evaluateImg, then accumulate."""
    found, there = [], 0
    for picture in pictures:
        true = [box for box, c in zip(picture.true_boxes, picture.true_classes, strict=True) if c == code]
        there += len(true)
        mine = [
            (s, b)
            for s, b, c in zip(picture.scores, picture.boxes, picture.classes, strict=True)
            if c == code
        ]
        mine.sort(key=lambda row: -row[0])
        taken = set()
        for score, box in mine[:largest]:
            best, match = min(threshold, 1 - 1e-10), None
            for at, other in enumerate(true):
                if at not in taken and iou(box, other) >= best:
                    best, match = iou(box, other), at
            if match is not None:
                taken.add(match)
            found.append((score, match is not None))
    if not there:
        return None
    found.sort(key=lambda row: -row[0])
    hits, points = 0, []
    for rank, (_, hit) in enumerate(found, start=1):
        hits += hit
        points.append((hits / there, hits / rank))
    levels = [
        max((precision for recall, precision in points if recall >= level), default=0.0)
        for level in np.linspace(0.0, 1.0, 101)
    ]
    return sum(levels) / 101


def counted(pictures, spec=SPEC) -> DetectionCounts:
    counts = DetectionCounts(spec)
    counts.add(pictures)
    return counts


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_average_precision_is_that_of_pycocotools_within_the_stated_error(seed):
    pictures = images(seed)
    levels = [[straightforward(pictures, code, t) for t in THRESHOLDS] for code in range(3)]
    found = counted(pictures).metrics()
    assert found["map_error"] < 0.02
    assert abs(found["map"] - np.mean(levels)) <= found["map_error"] + 1e-12
    assert found["map_50"] == pytest.approx(np.mean(levels, axis=0)[0], abs=0.02)
    assert found["true_boxes"] == sum(len(picture.true_boxes) for picture in pictures)


@pytest.mark.parametrize("seed", [4, 5])
def test_it_is_exact_when_no_bin_of_scores_holds_two_boxes(seed):
    pictures = images(seed, count=25)
    rng = np.random.default_rng(seed)
    places = iter(rng.permutation(400))
    spaced = [
        picture._replace(scores=np.array([(next(places) + 50.5) / 512 for _ in picture.scores]))
        for picture in pictures
    ]
    counts = counted(spaced)
    found = counts.metrics()
    levels = [[straightforward(spaced, code, t) for t in THRESHOLDS] for code in range(3)]
    assert found["map_error"] == 0.0
    assert found["map"] == pytest.approx(np.mean(levels), rel=1e-12)
    by_class = counts.by_class()
    for code, name in enumerate(SPEC.classes):
        assert by_class[name]["average_precision"] == pytest.approx(np.mean(levels[code]), rel=1e-12)


def test_of_true_boxes_that_overlap_equally_the_last_is_taken():
    overlap = np.array([[0.8, 0.8], [0.0, 0.9]])
    assert match_boxes(overlap, np.array([0.5])).tolist() == [[True], [False]]


def test_only_the_best_boxes_are_looked_at():
    spec = DetectionSpec(SPEC.classes, thresholds=(0.5,), largest=1)
    pictures = images(6)
    expected = np.mean([straightforward(pictures, code, 0.5, largest=1) for code in range(3)])
    found = counted(pictures, spec).metrics()
    assert abs(found["map"] - expected) <= found["map_error"] + 1e-12
    assert found["map"] < counted(pictures).metrics()["map_50"]


def test_the_bytes_are_those_of_the_images_whatever_the_order():
    pictures = images(7)
    whole = counted(pictures)
    total = counted(pictures[20:])
    total.merge(counted(pictures[:25][::-1]))
    total.add(pictures[20:25], sign=-1)
    assert total.to_bytes() == whole.to_bytes()
    assert DetectionCounts.from_bytes(whole.to_bytes(), SPEC) == whole
    assert len(whole.to_bytes()) < 3_000
    again = whole.copy()
    again.merge(whole, sign=-1)
    assert again == DetectionCounts(SPEC)


def test_perfect_boxes_have_a_precision_of_one():
    pictures = [
        picture._replace(
            boxes=picture.true_boxes,
            classes=picture.true_classes,
            scores=np.linspace(0.2, 0.9, len(picture.true_boxes)),
        )
        for picture in images(8)
    ]
    found = counted(pictures).metrics()
    assert (found["map"], found["mar"], found["map_error"]) == (1.0, 1.0, 0.0)


def test_what_is_not_defined_is_none():
    nothing = DetectionCounts(SPEC).metrics()
    assert [nothing[name] for name in ("map", "mar", "map_error", "map_50", "map_95")] == [None] * 5
    no_eel = [picture for picture in images(9) if not (picture.true_classes == 2).any()]
    assert counted(no_eel).by_class()["eel"] == {"average_precision": None, "support": 0}
    assert counted(images(9)).metrics(min_n=41)["map"] is None


def test_unknown_classes_are_told_and_broken_arrays_refused():
    good = Detections(np.zeros((2, 4)), np.ones(2), np.array([0, 9]), np.zeros((1, 4)), np.array([-1]))
    counts = counted([good])
    assert counts.metrics()["unknown_class"] == 2
    for wrong in (
        good._replace(scores=np.ones(3)),
        good._replace(scores=np.array([0.5, 1.5])),
        good._replace(boxes=np.full((2, 4), np.nan)),
    ):
        with pytest.raises(ValueError, match=r"one of each per box|between 0 and 1|not finite"):
            counts.add([good, wrong])
    assert counts == counted([good])


def test_specs_that_do_not_fit_are_refused():
    other = DetectionSpec(("cat",))
    with pytest.raises(MismatchError, match="cannot join"):
        DetectionCounts(SPEC).merge(DetectionCounts(other))
    with pytest.raises(MismatchError):
        DetectionCounts.from_bytes(DetectionCounts(SPEC).to_bytes(), other)
    for wrong in ({"classes": ()}, {"classes": ("a", "a")}, {"classes": ("a",), "largest": 0}):
        with pytest.raises(ValueError, match=r"each once|one box or more"):
            DetectionSpec(**wrong)
    with pytest.raises(ValueError, match="above 0"):
        DetectionSpec(("a",), thresholds=(0.0,))
