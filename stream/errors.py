"""Every error driftstream raises, in one tree.

DriftstreamError                  exit code 1
├── ConfigError                   exit code 2   a setting, option, file or reference the user must mend
├── DependencyError               exit code 3   Kafka, Redis or another service cannot be used
├── DecodeError                   a record that is not an event: goes to the dead-letter topic
└── StateError                    what Redis holds is not what this worker may write on
    ├── Fenced                    another worker owns the partition now
    ├── OffsetMismatch            Redis went back, or a reply was lost: reload and seek
    ├── Conflict                  another evaluator was first, or Redis is another one
    ├── CorruptState              stored bytes fail their checks: quarantined, never parsed further
    └── NewerState                a newer release wrote them: this worker ends and overwrites nothing

A message names the thing, its value and the remedy, in one line.
"""

from __future__ import annotations


class DriftstreamError(Exception):
    """Root of the tree; ``exit_code`` is what the command line ends with."""

    exit_code = 1


class ConfigError(DriftstreamError):
    """A setting, option or file is wrong. Operator action: mend what the message names."""

    exit_code = 2


class DependencyError(DriftstreamError):
    """A service cannot be reached or refuses to serve. Operator action: see the message."""

    exit_code = 3


class DecodeError(DriftstreamError):
    """A record is not an event; ``reason`` is one of the fixed words of :mod:`stream.codec`."""

    def __init__(self, reason: str, detail: str) -> None:  # one for each bad record: text is made when asked
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        """Reason and detail."""
        return f"{self.reason}: {self.detail}"


class StateError(DriftstreamError):
    """Stored state cannot be written or read as asked."""


class Fenced(StateError):
    """The partition's epoch is ``stored`` now: drop the buffers. 0 = Redis holds none: its state was lost."""

    def __init__(self, epoch: int, stored: int) -> None:
        super().__init__(f"our epoch {epoch}, Redis holds {stored}")
        self.stored = stored


class OffsetMismatch(StateError):
    """The stored offset is not the expected one: drop the buffers, reload, seek to ``stored``."""

    def __init__(self, expected: int, stored: int) -> None:
        super().__init__(f"expected offset {expected}, Redis holds {stored}")
        self.expected = expected
        self.stored = stored


class Conflict(StateError):
    """Another evaluator committed first, or the store is another one: reload the model, look again."""


class CorruptState(StateError):
    """Stored bytes have a wrong magic, version, shape or checksum."""


class NewerState(StateError):
    """Sound stored bytes of a later format. Operator action: run the newer release."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: a newer release wrote it and nothing of it was changed: run that release again, or "
            "start afresh under another redis.prefix"
        )
