"""The watched system: a river model on the readings of the Shuttle data set that ships with river.

The rows are used in the order of the file: the model learns from the first, the reference is built of the
next, the story is told with those that follow. Nobody has seen a row twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from river import compose, datasets, linear_model, preprocessing

from detectors import Reference
from stream.demo.story import WINDOW_ROWS, Source, Story
from stream.events import InferenceEvent, LabelEvent

MODEL, VERSION = "shuttle", "v1"
LEARNED_ROWS = 5_000
REFERENCE_ROWS = 24_000
"""96 windows of the live size: enough to learn how windows differ by themselves."""

_JSON = msgspec.json.Encoder()


class Reading(NamedTuple):
    """What nine sensors say, and whether the state was an anomaly (1) or not (0)."""

    features: dict[str, int]
    label: int


class Event(NamedTuple):
    """One record to send: its topic's source, key, value and event time."""

    source: Source
    key: bytes
    value: bytes
    ts_ms: int


def readings() -> list[Reading]:
    """Every row of the data set, in its order."""
    return [Reading(features, label) for features, label in datasets.Shuttle()]


@dataclass
class ServingSystem:
    """A scaler and a logistic regression: probability of an anomaly, and 1 when it is at least 0.5."""

    pipeline: Any = field(
        default_factory=lambda: compose.Pipeline(
            preprocessing.StandardScaler(), linear_model.LogisticRegression()
        )
    )

    @classmethod
    def trained(cls, rows: Sequence[Reading]) -> ServingSystem:
        """A model that has learned from ``rows`` and learns no more."""
        system = cls()
        for features, label in rows:
            system.pipeline.learn_one(features, label)
        return system

    def predict(self, features: dict[str, int]) -> tuple[int, float]:
        """Prediction and score."""
        score = float(self.pipeline.predict_proba_one(features)[1])
        return int(score >= 0.5), score

    def reference(self, rows: Sequence[Reading]) -> Reference:
        """The reference of a quiet time: readings, answers and labels, in the order in which they came."""
        answers = [self.predict(features) for features, _ in rows]
        columns: dict[str, list[float]] = {
            name: [float(features[name]) for features, _ in rows] for name in rows[0].features
        }
        columns["prediction"] = [prediction for prediction, _ in answers]
        columns["score"] = [score for _, score in answers]
        columns["label"] = [label for _, label in rows]
        return Reference.build(
            columns,
            window_rows=WINDOW_ROWS,
            outputs=("score",),
            prediction="prediction",
            label="label",
            model=MODEL,
            version=VERSION,
        )

    def events(self, story: Story, rows: Sequence[Reading]) -> Iterator[Event]:
        """Every event of the story in the order of event time: a label comes windows after its prediction."""
        labels = (self._label(story, i, row) for i, row in enumerate(rows[: story.rows]))
        label = next(labels, None)
        for i, row in enumerate(rows[: story.rows]):
            while label is not None and label.ts_ms <= story.predicted_ms(i):
                yield label
                label = next(labels, None)
            yield self._inference(story, i, row)
        while label is not None:
            yield label
            label = next(labels, None)

    def _inference(self, story: Story, i: int, row: Reading) -> Event:
        features = story.read(i, row.features)
        prediction, score = self.predict(features)
        event = InferenceEvent(
            prediction_id=str(i),
            model=MODEL,
            version=VERSION,
            ts=story.predicted_ms(i),
            features=dict(features),
            prediction=prediction,
            score=score,
        )
        return Event("inference", str(i).encode(), _JSON.encode(event), story.predicted_ms(i))

    def _label(self, story: Story, i: int, row: Reading) -> Event:
        label = story.label(i, row.features, row.label)
        event = LabelEvent(prediction_id=str(i), model=MODEL, label=label, ts=story.labelled_ms(i))
        return Event("labels", str(i).encode(), _JSON.encode(event), story.labelled_ms(i))
