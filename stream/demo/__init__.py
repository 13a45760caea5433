"""``driftstream demo``: a story told through Kafka by a real model on real data, and what was found of it.

``story`` says what happens when, ``serving`` is the watched model, ``services`` brings Kafka, Redis and the
worker, ``traffic`` sends and ``watching`` reads, ``report`` and ``accuracy`` compare, ``screen`` and
``report_text`` show, ``show`` runs it all.
"""

from __future__ import annotations

from stream.demo.show import Choices, run_demo

__all__ = ["Choices", "run_demo"]
