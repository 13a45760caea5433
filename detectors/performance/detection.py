"""DetectionCounts: found boxes against true ones, to the mean average precision of COCO."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import msgspec
import numpy as np

from detectors.errors import MismatchError
from detectors.performance.box_matching import Detections, match_boxes, overlaps
from detectors.performance.score_bins import BINS, score_bins
from detectors.performance.spec import Floats, Whole
from detectors.performance.tally import Metrics, Tally, empty_tally
from detectors.performance.tally_bytes import read_tally, tally_bytes

_MAGIC = b"DSDT"
_HEAD = 2
_RECALLS = np.linspace(0.0, 1.0, 101)
LARGEST_CLASSES = 100


class DetectionSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How found boxes are judged.

    Parameters
    ----------
    classes
        Names of the classes, 1 to 100, in the order of their codes.
    thresholds
        Overlaps from which a box counts as found: 0.50, 0.55 to 0.95, as of COCO.
    largest
        Boxes of one class in one image that are looked at, best first.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float, ...] = tuple(float(t) for t in np.linspace(0.5, 0.95, 10))
    largest: int = 100

    def __post_init__(self) -> None:
        if not 1 <= len(set(self.classes)) == len(self.classes) <= LARGEST_CLASSES:
            raise ValueError(f"{len(self.classes)} classes: give 1 to {LARGEST_CLASSES}, each once")
        if not self.thresholds or not all(0.0 < t <= 1.0 for t in self.thresholds):
            raise ValueError(f"thresholds are {list(self.thresholds)}: give some above 0, up to 1")
        if self.largest < 1:
            raise ValueError(f"largest is {self.largest}: look at one box or more")

    @property
    def fingerprint(self) -> int:
        """A checksum of what is counted: counts with another one cannot be merged."""
        return zlib.crc32(msgspec.msgpack.encode(self))


class DetectionCounts:
    """Counts found and true boxes by class, overlap and bin of score.

    Mergeable and subtractable image by image, the same bytes for the same images whatever the order.
    """

    __slots__ = ("spec", "tally")

    def __init__(self, spec: DetectionSpec, tally: Tally | None = None) -> None:
        self.spec = spec
        self.tally = tally or empty_tally(_cells(spec), 0)

    @property
    def n(self) -> int:
        """Number of images."""
        return int(self.tally.counts[0])

    def add(self, images: Iterable[Detections], *, sign: int = 1) -> None:
        """Count images, or take them out (``sign=-1``).

        Boxes of classes that the spec does not name are counted as ``unknown_class``, and left out. Raises
        ``ValueError`` for arrays that do not fit together, and for corners or scores that are no numbers.
        """
        checked = [image.checked() for image in images]  # all of them before the first is counted
        fresh = empty_tally(self.tally.counts.size, 0)
        for image in checked:
            self._count(image, fresh)
        self.tally.add(fresh, sign)

    def _count(self, image: Detections, tally: Tally) -> None:
        boxes, scores, classes, true_boxes, truth = image
        known = len(self.spec.classes)
        strange = sum(np.count_nonzero((codes < 0) | (codes >= known)) for codes in (classes, truth))
        tally.counts[0] += 1
        tally.counts[1] += strange
        true, bins = self._views(tally)
        for code in np.union1d(classes, truth).tolist():
            if not 0 <= code < known:
                continue
            mine = np.flatnonzero(classes == code)
            order = mine[np.argsort(-scores[mine], kind="stable")][: self.spec.largest]
            theirs = truth == code
            true[code] += np.count_nonzero(theirs)
            found = match_boxes(overlaps(boxes[order], true_boxes[theirs]), np.array(self.spec.thresholds))
            where = score_bins(scores[order])
            np.add.at(bins[code, 0], where, 1)
            for at, hits in enumerate(found.T):
                np.add.at(bins[code, 1 + at], where[hits], 1)

    def _views(self, tally: Tally) -> tuple[Whole, Whole]:
        """Return true boxes by class, and found boxes by class, all or true at a threshold, and bin."""
        classes = len(self.spec.classes)
        body = tally.counts[_HEAD + classes :].reshape(classes, 1 + len(self.spec.thresholds), BINS)
        return tally.counts[_HEAD : _HEAD + classes], body

    def merge(self, other: DetectionCounts, *, sign: int = 1) -> None:
        """Add other counts, or take them out. Raises :class:`MismatchError` for those of another spec."""
        if other.spec != self.spec:
            raise MismatchError(f"counts of {other.spec} cannot join counts of {self.spec}")
        self.tally.add(other.tally, sign)

    def copy(self) -> DetectionCounts:
        """Return counts that share nothing with these."""
        return DetectionCounts(self.spec, self.tally.copy())

    def metrics(self, *, min_n: int = 1) -> Metrics:
        """Return mean average precision and recall over classes and thresholds.

        ``map_50`` and the like are of one threshold; ``None`` below ``min_n`` images. Boxes are ordered by
        the bin of their score; whatever their order within it, ``map`` is off by at most ``map_error``.
        """
        true, bins = self._views(self.tally)
        enough = self.n >= max(min_n, 1) and bool(np.any(true > 0)) and int(self.tally.counts.min()) >= 0
        found: Metrics = {
            "n": float(self.n),
            "true_boxes": float(true.sum()),
            "unknown_class": float(self.tally.counts[1]),
        }
        names = [f"map_{round(100 * threshold)}" for threshold in self.spec.thresholds]
        if not enough:
            return found | dict.fromkeys(["map", "map_error", "mar", *names])
        held = np.flatnonzero(true).tolist()
        low, high = (np.array(part) for part in zip(*(self._levels(code) for code in held), strict=True))
        recall = bins[held, 1:].sum(axis=2) / true[held, None]
        middle = (low + high) / 2.0
        found |= {"map": float(middle.mean()), "map_error": float(np.mean(high - low) / 2.0)}
        found |= {"mar": float(recall.mean())}
        return found | dict(zip(names, middle.mean(axis=0).tolist(), strict=True))

    def by_class(self) -> dict[str, Metrics]:
        """Return the average precision over thresholds and the number of true boxes of each class."""
        true, _ = self._views(self.tally)
        found: dict[str, Metrics] = {}
        for code, name in enumerate(self.spec.classes):
            level = np.mean(self._levels(code)) if true[code] > 0 else None
            found[name] = {
                "average_precision": None if level is None else float(level),
                "support": float(true[code]),
            }
        return found

    def _levels(self, code: int) -> tuple[Floats, Floats]:
        """Return the least and largest average precision of a class at each threshold."""
        true, bins = self._views(self.tally)
        hits = np.cumsum(bins[code, 1:, ::-1], axis=1)
        taken = np.cumsum(bins[code, 0, ::-1])
        before = taken - bins[code, 0, ::-1] + bins[code, 1:, ::-1]  # the bin's true boxes first
        recall = hits / true[code]
        levels = [
            np.array([average_precision(r, p) for r, p in zip(recall, precision, strict=True)])
            for precision in (hits / np.maximum(taken, 1), hits / np.maximum(before, 1))
        ]
        return levels[0], levels[1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DetectionCounts) and other.spec == self.spec and self.tally.same(other.tally)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def to_bytes(self) -> bytes:
        """Return checked bytes, the same for the same images."""
        return tally_bytes(_MAGIC, self.spec.fingerprint, self.tally)

    @classmethod
    def from_bytes(cls, data: bytes, spec: DetectionSpec) -> DetectionCounts:
        """Read what :meth:`to_bytes` wrote.

        Raises :class:`CorruptBytes` for anything else, :class:`MismatchError` for counts of another spec.
        """
        return cls(spec, read_tally(_MAGIC, spec.fingerprint, data, cells=_cells(spec), totals=0))


def average_precision(recall: Floats, precision: Floats) -> float:
    """Return the mean of precision at recalls 0, 0.01 to 1, each the best at that recall or beyond (COCO).

    Both by falling score. A recall that is never reached counts 0.
    """
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.where(at < best.size, best[np.minimum(at, best.size - 1)], 0.0).mean())


def _cells(spec: DetectionSpec) -> int:
    classes = len(spec.classes)
    return _HEAD + classes + classes * (1 + len(spec.thresholds)) * BINS
