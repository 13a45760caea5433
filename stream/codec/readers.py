"""Functions that read attributes off many structs at once.

They are compiled from text, as ``dataclasses`` does it: an attribute load that the interpreter specialises
takes half the time of ``operator.attrgetter``, a tenth of the whole decoder. Each caller gets functions of
its own, since code shared by the structs of many models cannot be specialised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Rows = Sequence[Any]
Reader = Callable[[Rows], Sequence[Sequence[Any]]]

_ATTRIBUTE = re.compile(
    "[a-z_]+|f[0-9]+"
)  # names of event fields, or numbered features: never text of a user


def row_reader(attributes: Sequence[str]) -> Reader:
    """Return a function from structs to one tuple of ``attributes`` for each struct.

    >>> from types import SimpleNamespace as Row
    >>> row_reader(["f0", "f1"])([Row(f0=1, f1=2), Row(f0=3, f1=4)])
    [(1, 2), (3, 4)]
    """
    return _compiled(attributes, "[({}) for row in rows]", "row.{}, ")


def column_reader(attributes: Sequence[str]) -> Reader:
    """Return a function from structs to one list for each of ``attributes``.

    >>> from types import SimpleNamespace as Row
    >>> column_reader(["f0", "f1"])([Row(f0=1, f1=2), Row(f0=3, f1=4)])
    ([1, 3], [2, 4])
    """
    return _compiled(attributes, "({})", "[row.{} for row in rows], ")


def odd_reader(plain: Mapping[str, str | float | None]) -> Callable[[Rows], Rows]:
    """Return a function from structs to those that differ from ``plain`` in one of its attributes.

    >>> from types import SimpleNamespace as Row
    >>> odd_reader({"status": "ok", "value": None})([Row(status="ok", value=None), Row(status="ok", value=3)])
    [namespace(status='ok', value=3)]
    """
    tests = [f"row.{{}} {'is not' if value is None else '!='} {value!r}" for value in plain.values()]
    conditions = [test.format(attribute) for test, attribute in zip(tests, plain, strict=True)]
    return _function(plain, f"[row for row in rows if {' or '.join(conditions)}]")


def _compiled(attributes: Sequence[str], frame: str, load: str) -> Reader:
    body = frame.format("".join(load.format(attribute) for attribute in attributes))
    return _function(attributes, body)


def _function(attributes: Iterable[str], body: str) -> Reader:
    if not all(map(_ATTRIBUTE.fullmatch, attributes)):
        raise ValueError(f"not all of {list(attributes)} are attributes of an event struct")
    reader: Reader = eval(f"lambda rows: {body}")  # nosec B307 # names are checked above
    return reader
