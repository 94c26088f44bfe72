"""Interprets the state machine's definition as Step Functions does: the call of each state, and the next state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEFINITION = Path(__file__).parents[2] / "statemachine/change_log.asl.json"


class Machine:
    """The part of the Amazon States Language that the definition uses. Anything else is an error."""

    def __init__(self) -> None:
        self.definition = json.loads(DEFINITION.read_text(encoding="utf-8"))
        self.states: dict[str, dict[str, Any]] = self.definition["States"]
        self.start: str = self.definition["StartAt"]

    def parameters(self, state: str, data: Mapping[str, Any], execution: str) -> dict[str, Any]:
        """Return the input of a task's resource."""
        context = {"Execution": {"Name": execution, "Id": f"arn:{execution}"}}
        filled: dict[str, Any] = _filled(self.states[state]["Parameters"], data, context)
        return filled

    def succeed(self, state: str, data: dict[str, Any], result: Any) -> tuple[str | None, dict[str, Any]]:
        """Return the next state and its data after a task's result; None at the end."""
        task = self.states[state]
        if "ResultSelector" in task:
            result = _filled(task["ResultSelector"], result, {})
        return self.follow(
            None if task.get("End") else task["Next"], _placed(data, task.get("ResultPath", "$"), result)
        )

    def fail(self, state: str, data: dict[str, Any], error: str, cause: str) -> tuple[str | None, dict[str, Any]]:
        """Return the next state and its data after an error that is no longer retried; None if the execution fails."""
        for catcher in self.states[state].get("Catch", ()):
            if _matches(catcher, error):
                caught = {"Error": error, "Cause": cause}
                return self.follow(catcher["Next"], _placed(data, catcher.get("ResultPath", "$"), caught))
        return "States.Failed", data

    def retries(self, state: str, error: str) -> int:
        """Return how often a state is retried after this error."""
        return next((r["MaxAttempts"] for r in self.states[state].get("Retry", ()) if _matches(r, error)), 0)

    def follow(self, state: str | None, data: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Follow Choice and Pass states to the next task or end."""
        while state is not None and (step := self.states[state])["Type"] in ("Choice", "Pass"):
            if step["Type"] == "Pass":
                state, data = step["Next"], _filled(step["Parameters"], data, {})
                continue
            chosen = (c["Next"] for c in step["Choices"] if _found(c["Variable"], data, {}) == c["StringEquals"])
            state = next(chosen, step["Default"])
        return state, data

    def status(self, end: str | None) -> str | None:
        """Return the status of an execution that ended at this state; None if it continues."""
        if end is None or (end in self.states and self.states[end]["Type"] == "Succeed"):
            return "SUCCEEDED"
        return "FAILED" if end not in self.states or self.states[end]["Type"] == "Fail" else None


def _matches(rule: Mapping[str, Any], error: str) -> bool:
    return error in rule["ErrorEquals"] or "States.ALL" in rule["ErrorEquals"]


def _filled(template: Any, data: Any, context: Mapping[str, Any]) -> Any:
    if not isinstance(template, dict):
        return template
    return {
        name.removesuffix(".$"): _found(value, data, context) if name.endswith(".$") else _filled(value, data, context)
        for name, value in template.items()
    }


def _found(path: str, data: Any, context: Mapping[str, Any]) -> Any:
    if path.startswith("States.StringToJson("):
        return json.loads(_found(path.partition("(")[2].rstrip(")"), data, context))
    found = context if path.startswith("$$") else data
    for name in path.lstrip("$").split(".")[1:]:
        found = found[name]
    return found


def _placed(data: dict[str, Any], path: str | None, result: Any) -> dict[str, Any]:
    if path is None:
        return data
    if path == "$":
        placed: dict[str, Any] = result
        return placed
    _, name = path.split(".")
    return {**data, name: result}
