"""The learner of one worker, on a thread of its own, and who takes up what it finds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType

import redis

from stream.errors import DependencyError
from stream.learning.learner import Learner
from stream.learning.sightings import LearningMetrics, Sightings
from stream.learning.store import LearningStore
from stream.pane_reader import PaneReader
from stream.plans import ReferencesByVersion, topics_by_source
from stream.settings.configuration import Settings
from stream.store import ModelStore

log = logging.getLogger(__name__)
LOOK_S = 1.0
BACKOFF_S = 60.0
Follower = Callable[[ReferencesByVersion], None]


class LearningStep:
    """References of files and of the stream together, kept up to date while the context lasts.

    Parameters
    ----------
    name
        Of this worker.
    files
        References that the configuration names.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        name: str,
        files: ReferencesByVersion,
        stores: tuple[LearningStore, ModelStore],
        metrics: LearningMetrics,
    ) -> None:
        learning_store, model_store = stores
        self.sightings = Sightings(learning_store, settings.topics.inference, metrics)
        self._learner = Learner(
            settings,
            name=name,
            store=learning_store,
            clocks=PaneReader(model_store, topics_by_source(settings)),
            metrics=metrics,
            take_up=self._take_up,
        )
        self._files = files
        self._followers: list[Follower] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="learning")

    def __enter__(self) -> LearningStep:
        try:
            self._learner.refresh()
        except redis.RedisError as exc:
            raise DependencyError(f"Redis: no answer while reading learned references: {exc}") from exc
        for model, version in self._learner.references():
            log.info('reference taken up model="%s" version="%s"', model, version)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._learner.stop()
        self._thread.join()

    def follow(self, follower: Follower) -> None:
        """Call with all references now, and again whenever they are others; on the thread of the learner."""
        with self._lock:
            follower(self.references())
            self._followers.append(follower)

    def references(self) -> ReferencesByVersion:
        """All references, the newest version of a model last."""
        return {**self._files, **self._learner.references()}

    def _take_up(self, learned: ReferencesByVersion) -> None:
        with self._lock:
            for follower in self._followers:
                follower({**self._files, **learned})
        names = ", ".join(" ".join(key) for key in learned)
        log.info('references taken up learned="%s"', names)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                self._learner.turn()
            except (redis.RedisError, DependencyError) as exc:
                log.warning('learning waits reason="%s"', exc)
            except Exception:  # whatever events hold: what is watched already goes on being watched
                log.exception("learning broke, it is tried again")
                self._stopping.wait(BACKOFF_S)
