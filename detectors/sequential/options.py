"""Options by name, as a configuration gives them: checked against the defaults."""

from __future__ import annotations

from collections.abc import Mapping

Option = bool | int | float | str
Limits = Mapping[str, tuple[float, float]]
_ANY = (0.0, 2.0**31 - 1)


def checked_options(
    name: str, given: Mapping[str, Option], defaults: Mapping[str, Option], limits: Limits
) -> dict[str, Option]:
    """Return all options of detector ``name``; an integer is a float where the default is one.

    Raises ``ValueError`` for an option without a default, of another type, or outside its limits (both
    included; 0 to 2^31 - 1 where none are given).

    >>> checked_options("adwin", {"delta": 1}, {"delta": 0.002, "clock": 32}, {"clock": (1, 1000)})
    {'delta': 1.0, 'clock': 32}
    """
    options = dict(defaults)
    for option, value in given.items():
        if option not in defaults:
            raise ValueError(f"{name} has no option {option!r}: use {', '.join(defaults)}")
        wanted = type(defaults[option])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise ValueError(f"{name}: {option} is {value!r}: give a value like {defaults[option]!r}")
        low, high = limits.get(option, _ANY)
        if not isinstance(value, str) and not low <= value <= high:
            raise ValueError(f"{name}: {option} is {value!r}: give {low:g} to {high:g}")
        options[option] = wanted(value)
    return options
