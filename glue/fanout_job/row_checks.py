"""The checks of a mapping: each finds the rows of a column whose values are not allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from fanout_job.errors import CheckFailedError
from fanout_job.mapping import Rule

Failed = Callable[[pa.Array], Iterator[tuple[int, str]]]
"""Yields the index of each row that fails, and the reason."""

MAX_UNIQUE_BYTES = 2**27
"""Maximum memory of the values of a unique field in one object."""
VALUE_BYTES = 100
"""Approximate memory of a value without its text."""


def checks_of(name: str, kind: pa.DataType, rule: Rule, read: Callable[[str], pa.Scalar | None]) -> list[Failed]:
    """Return the checks of a field for one object.

    Parameters
    ----------
    name, kind, rule
    read : callable
        Reads a limit as the field's type; None if it is not of this type.

    Raises
    ------
    ValueError
        A check does not fit the field's type.
    """
    found: list[Failed] = []
    if rule.required:
        found.append(lambda values: _each(pc.is_null(values), f"{name} has no value, and the mapping requires one"))
    for limit, compare, word in ((rule.min, pc.less, "less"), (rule.max, pc.greater, "greater")):
        if limit is not None:
            bound = read(limit)
            if bound is None or pa.types.is_boolean(kind):
                raise ValueError(f"cannot be compared with {limit!r}")
            what = f"{name} is {word} than {limit}"
            found.append(lambda values, c=compare, b=bound, w=what: _each(c(values, b), w))  # type: ignore[misc]
    if rule.pattern is not None:
        form, what = f"^(?:{rule.pattern})$", f"{name} does not match its pattern"
        if not pa.types.is_string(kind):
            raise ValueError("is not a string, so it has no pattern")
        try:
            pc.match_substring_regex(pa.array([""]), form)
        except pa.ArrowInvalid:
            raise ValueError("has a pattern that is not a regular expression of RE2") from None
        found.append(lambda values: _each(pc.invert(pc.match_substring_regex(values, form)), what))
    if rule.unique:
        found.append(_Unique(name))
    return found


def _each(wrong: pa.Array, what: str) -> Iterator[tuple[int, str]]:
    return ((place, what) for place in pc.indices_nonzero(wrong).to_pylist())


class _Unique:
    def __init__(self, name: str) -> None:
        self.name, self.seen, self.size = name, set[Any](), 0

    def __call__(self, values: pa.Array) -> Iterator[tuple[int, str]]:
        for place, value in enumerate(values.to_pylist()):
            if value is None:
                continue
            if value in self.seen:
                yield place, f"{self.name} has the same value as an earlier row, and must be unique"
                continue
            self.seen.add(value)
            self.size += VALUE_BYTES + (len(value) if isinstance(value, str) else 0)
            if self.size > MAX_UNIQUE_BYTES:
                raise CheckFailedError(f"has too many different values of {self.name} to check that it is unique")
