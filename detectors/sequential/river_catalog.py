"""The detectors of river that are offered: class, options with river's defaults, values taken, state.

================  =================================================================  =======
name              watches                                                            values
================  =================================================================  =======
``adwin``         the mean, both ways (Bifet & Gavalda 2007)                         real
``page_hinkley``  the mean, both ways (Page 1954); options are in the values' unit   real
``kswin``         the distribution of the last values (Raab et al. 2020)             real
``hddm_a``        a mean going up, by Hoeffding's bound (Frias-Blanco et al. 2015)   0 to 1
``hddm_w``        the same with exponential weights, by McDiarmid's bound            0 to 1
``ddm``           an error rate going up (Gama et al. 2004)                          0 and 1
``eddm``          the distance between errors going down (Baena-Garcia et al. 2006)  0 and 1
================  =================================================================  =======
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal

from detectors.sequential import river_fields as state
from detectors.sequential.options import Limits, Option
from detectors.sequential.river_adwin import histogram

Domain = Literal["real", "unit", "binary"]


@dataclass(frozen=True)
class RiverKind:
    """One detector of river."""

    module: str
    name: str
    domain: Domain
    options: Mapping[str, Option]
    fields: tuple[state.Field, ...]
    limits: Limits = field(default_factory=dict)

    def build(self, options: Mapping[str, Option]) -> Any:
        """Return a new one. River takes 0.1 s to import and few processes need it, so it is imported here."""
        return getattr(import_module(self.module), self.name)(**options)


_DRIFT = state.flags("_drift_detected")
_WARNING = state.flags("_warning_detected")
_CONFIDENCE = (1e-300, 1.0)
_HOEFFDING: Mapping[str, Option] = {"drift_confidence": 0.001, "warning_confidence": 0.005}
_HOEFFDING_LIMITS: Limits = {"drift_confidence": _CONFIDENCE, "warning_confidence": _CONFIDENCE}

RIVER: Mapping[str, RiverKind] = MappingProxyType(
    {
        "adwin": RiverKind(
            "river.drift",
            "ADWIN",
            "real",
            {"delta": 0.002, "clock": 32, "max_buckets": 5, "min_window_length": 5, "grace_period": 10},
            (*_DRIFT, *histogram("_helper")),
            {"delta": _CONFIDENCE, "clock": (1, 1e6), "max_buckets": (2, 1000)},
        ),
        "page_hinkley": RiverKind(
            "river.drift",
            "PageHinkley",
            "real",
            {"min_instances": 30, "delta": 0.005, "threshold": 50.0, "alpha": 1 - 0.0001, "mode": "both"},
            (
                *_DRIFT,
                *state.means("_x_mean"),
                *state.numbers("_sum_increase", "_sum_decrease", "_min_increase", "_max_decrease"),
            ),
        ),
        "kswin": RiverKind(
            "river.drift",
            "KSWIN",
            "real",
            # River draws its samples unseeded unless told otherwise: a replay would not give the same alarms.
            {"alpha": 0.005, "window_size": 100, "stat_size": 30, "seed": 1},
            (
                *_DRIFT,
                *state.numbers("p_value"),
                *state.counts("n"),
                *state.window("window"),
                *state.mersenne_twister("_rng"),
            ),
            {"alpha": (0.0, 1.0), "window_size": (4, 100_000), "stat_size": (2, 50_000)},
        ),
        "hddm_a": RiverKind(
            "river.drift.binary",
            "HDDMA",
            "unit",
            {**_HOEFFDING, "two_sided_test": False},
            (*_DRIFT, *_WARNING, *state.means("_x_min", "_x_max", "_z")),
            _HOEFFDING_LIMITS,
        ),
        "hddm_w": RiverKind(
            "river.drift.binary",
            "HDDMW",
            "unit",
            {**_HOEFFDING, "lambda_val": 0.05, "two_sided_test": False},
            (
                *_DRIFT,
                *_WARNING,
                *state.ewma_samples("_total", "_s1_decr", "_s1_incr", "_s2_decr", "_s2_incr"),
                *state.numbers("_incr_cutpoint", "_decr_cutpoint"),
            ),
            {**_HOEFFDING_LIMITS, "lambda_val": (0.0, 1.0)},
        ),
        "ddm": RiverKind(
            "river.drift.binary",
            "DDM",
            "binary",
            {"warm_start": 30, "warning_threshold": 2.0, "drift_threshold": 3.0},
            (
                *_DRIFT,
                *_WARNING,
                *state.means("_p"),
                *state.optional_numbers("_p_min", "_s_min"),
                *state.numbers("_ps_min"),
            ),
        ),
        "eddm": RiverKind(
            "river.drift.binary",
            "EDDM",
            "binary",
            {"warm_start": 30, "alpha": 0.95, "beta": 0.9},
            (
                *_DRIFT,
                *_WARNING,
                *state.means("_error_distances.mean"),
                *state.numbers("_error_distances._S", "_p2s_prime_max"),
                *state.counts("_n", "_last_error", "_n_errors"),
            ),
        ),
    }
)
