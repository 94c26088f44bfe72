"""A failure on the screen: its fields by name, or in one line of a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from contract.failure import Failure
from fanout.failures import caught, orphaned
from fanout.runs import RunRecord

COLUMNS = ("OBJECT", ">LINE", "ERROR")


def facts_of_failure(failure: Failure) -> list[tuple[str, object]]:
    """The fields of a failure that have a value, by name."""
    facts: list[tuple[str, object]] = [("error", f"{failure.type}: {failure.message}")]
    if failure.object:
        facts.append(("object", failure.object))
    if failure.line:
        facts.append((failure.unit, failure.line))
    return [*facts, ("advice", failure.advice)]


def rows_of_failures(failures: Iterable[Failure]) -> list[tuple[object, ...]]:
    """Failures as rows of a table, in the order of `COLUMNS`."""
    return [(one.object, one.line, f"{one.type}: {one.message}") for one in failures]


def brief(failure: Failure, count: int = 1) -> str:
    """The first of a run's failures in one line with the object's name instead of its URI, for a narrow column."""
    name = failure.object.rpartition("/")[2] if failure.object else None
    return replace(failure, object=name).in_one_line(count)


def failure_of(record: RunRecord | None, execution: dict[str, Any] | None) -> Failure:
    """The failure of a failed run, from its record, or else from its execution.

    Parameters
    ----------
    execution
        The answer of DescribeExecution; None if the execution no longer exists.
    """
    if record is not None and record.failure is not None:
        return record.failure
    if execution is None:
        return orphaned("its lease expired")
    if execution.get("error"):
        return caught({"Error": execution["error"], "Cause": execution.get("cause")})
    return orphaned(f"its execution is {execution['status']}")
