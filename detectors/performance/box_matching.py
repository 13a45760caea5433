"""Which found boxes are true: intersection over union, and the greedy matching of pycocotools."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.performance.spec import Floats, Whole


class Detections(NamedTuple):
    """What was found in one image, and what is there.

    Parameters
    ----------
    boxes
        float64 ``(n, 4)``: left, top, right, bottom.
    scores
        float64 ``(n,)``, from 0 to 1.
    classes
        int64 ``(n,)``: codes of the classes found.
    true_boxes
        float64 ``(t, 4)``.
    true_classes
        int64 ``(t,)``.
    """

    boxes: Floats
    scores: Floats
    classes: Whole
    true_boxes: Floats
    true_classes: Whole

    def checked(self) -> Detections:
        """Return the same as arrays of their types. Raises ``ValueError`` for shapes that do not fit."""
        boxes, true_boxes = (
            np.asarray(part, dtype=np.float64).reshape(-1, 4) for part in (self.boxes, self.true_boxes)
        )
        scores = np.asarray(self.scores, dtype=np.float64)
        classes, truth = (np.asarray(part, dtype=np.int64) for part in (self.classes, self.true_classes))
        if (
            scores.shape != (len(boxes),)
            or classes.shape != scores.shape
            or truth.shape != (len(true_boxes),)
        ):
            raise ValueError(
                f"{len(boxes)} boxes with {scores.size} scores and {classes.size} classes, {len(true_boxes)}"
                f" true boxes with {truth.size} classes: give one of each per box"
            )
        if not (np.all(np.isfinite(boxes)) and np.all(np.isfinite(true_boxes))):
            raise ValueError("a box has a corner that is not finite: leave it out")
        if not np.all((scores >= 0.0) & (scores <= 1.0)):
            raise ValueError("a box has a score that is not between 0 and 1: leave it out")
        return Detections(boxes, scores, classes, true_boxes, truth)


def overlaps(boxes: Floats, true_boxes: Floats) -> Floats:
    """Return intersection over union of every box with every true box, ``(n, t)``; 0 for empty boxes.

    >>> overlaps(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 3.0, 2.0]])).tolist()
    [[0.3333333333333333]]
    """
    low = np.maximum(boxes[:, None, :2], true_boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], true_boxes[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=2)
    area, true_area = (np.prod(np.maximum(b[:, 2:] - b[:, :2], 0.0), axis=1) for b in (boxes, true_boxes))
    union = area[:, None] + true_area[None, :] - shared
    result: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return result


def match_boxes(overlap: Floats, thresholds: Floats) -> NDArray[np.bool_]:
    """Return which boxes are true at each threshold, ``(n, thresholds)``.

    Boxes are taken in the order given, best score first. Each takes the true box with which it overlaps most,
    at least by the threshold, of those not taken yet; of equals, the last: the rule of pycocotools, without
    crowds.
    """
    boxes, true_boxes = overlap.shape
    found = np.zeros((boxes, thresholds.size), dtype=bool)
    if not true_boxes:
        return found
    free = np.ones((thresholds.size, true_boxes), dtype=bool)
    at_least = np.minimum(thresholds, 1.0 - 1e-10)[:, None]
    every = np.arange(thresholds.size)
    for box in range(boxes):
        candidates = np.where(free & (overlap[box] >= at_least), overlap[box], -1.0)
        best = true_boxes - 1 - np.argmax(candidates[:, ::-1], axis=1)
        found[box] = candidates[every, best] >= 0.0
        free[every, best] &= ~found[box]
    return found
