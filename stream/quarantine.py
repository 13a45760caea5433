"""Stored bytes that failed their checks: told in the log and counted, never parsed further.

Whoever reads stored bytes calls :func:`quarantined`; :class:`QuarantineCollector` shows the counts to
Prometheus. They are those of the process, for the readers are many and know no registry.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

What = Literal["pane", "state", "message", "outcomes", "reference"]
WHATS: Final[tuple[What, ...]] = ("pane", "state", "message", "outcomes", "reference")
_found: Counter[str] = Counter()


def quarantined(what: What, consequence: str, reason: Exception, *, of: str) -> None:
    """Tell of a damaged value each time it is read; ``of`` is the model or key that it belongs to."""
    _found[what] += 1
    log.error('%s quarantined, %s of="%s" reason="%s"', what, consequence, of, reason)


def found(what: What) -> int:
    """How often this process has met damage of a kind."""
    return _found[what]


class QuarantineCollector(Collector):
    """Counts by what was damaged; all start at 0, so that an increase is seen."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """See :class:`prometheus_client.registry.Collector`."""
        family = CounterMetricFamily(
            "driftstream_stored_bytes_quarantined", "Damaged values found in Redis.", labels=["what"]
        )
        for what in WHATS:
            family.add_metric([what], float(_found[what]))
        yield family
