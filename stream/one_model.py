"""A :class:`~stream.store.ModelStore` asked about one model: for scripts, benchmarks and tests.

The evaluator reads and commits models in groups; it has no use for these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stream.outcomes.join import OutcomeCommit
from stream.store import NO_MEMORY, ModelCommit, ModelStore, Sequenced, landed


def load_model(store: ModelStore, model: str) -> tuple[int, bytes | None]:
    """Revision and packed state of one model; (0, None) if it was never evaluated."""
    stored = store.load_models([model])[model]
    return stored.revision, stored.state


def load_memory(store: ModelStore, model: str) -> dict[str, bytes]:
    """What the model's evaluation remembers beside its state, by name."""
    return dict(store.load_models([model])[model].memory)


def outbox(store: ModelStore, model: str) -> list[Sequenced]:
    """Messages of one model not yet delivered, in order."""
    return list(store.load_models([model])[model].outbox)


def commit_model(
    store: ModelStore,
    model: str,
    revision: int,
    state: bytes,
    messages: Iterable[Sequenced],
    *,
    memory: Mapping[str, bytes | None] = NO_MEMORY,
    outcomes: OutcomeCommit | None = None,
) -> int:
    """Commit one model; the new revision. Raises the Conflict that refuses it."""
    commit = ModelCommit(
        model=model,
        revision=revision,
        state=state,
        messages=list(messages),
        memory=memory,
        outcomes=outcomes,
    )
    return landed(store.decide_all([commit])[0])
