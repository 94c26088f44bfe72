"""Failures of runs without a result: their text, and what an operator should do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.failure import NEXT_ON_GLUE, SEE_THE_RUN
from fanout.errors import FanoutError, LeaseLostError, LedgerUnavailableError
from fanout.failures import caught, orphaned


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (None, "UnknownError: the run failed, and the state machine has no error for it"),
        ({"Id": "jr_1", "JobRunState": "STOPPED"}, "GlueJobRunError: job run jr_1 ended STOPPED"),
        ({"Error": "States.Timeout", "Cause": ""}, "States.Timeout: AWS gave no cause"),
        ({"Error": "States.Timeout", "Cause": "60 s"}, "States.Timeout: 60 s"),
        ({"Error": "E"}, "E: AWS gave no cause"),
        ({"Error": "E", "Cause": "null"}, "E: AWS gave no cause"),
        ({"Error": "E", "Cause": '{"errorType": "T", "errorMessage": "m"}'}, "T: m"),
        ({"Error": "E", "Cause": '{"other": 1}'}, "E: {'other': 1}"),
        ({"Error": "E", "Cause": "[1]"}, "E: [1]"),
        ({"Error": "E", "Cause": "7"}, "E: 7"),
        ({"Error": "E", "Cause": "plain"}, "E: plain"),
    ],
)
def test_an_error_caught_by_the_state_machine_becomes_a_failure(result: Any, line: str) -> None:
    assert caught(result).in_one_line() == line


@pytest.mark.parametrize(
    ("result", "cause", "advice"),
    [
        ({"Id": "jr_1", "JobRunState": "TIMEOUT"}, "the job run ended TIMEOUT", "lower MaxBytesPerRun"),
        ({"Id": "jr_1", "JobRunState": "FAILED"}, "the job run ended FAILED", SEE_THE_RUN),
        ({"Error": "States.Timeout", "Cause": "60 s"}, "States.Timeout", "lower MaxBytesPerRun"),
        ({"Error": "Sandbox.Timedout", "Cause": "60 s"}, "Sandbox.Timedout", NEXT_ON_GLUE),
        ({"Error": "E", "Cause": "plain"}, "plain", SEE_THE_RUN),
    ],
)
def test_a_failure_has_a_cause_and_the_advice_for_it(result: Any, cause: str, advice: str) -> None:
    failure = caught(result)

    assert (failure.cause, failure.transient) == (cause, False)
    assert advice in failure.advice


@pytest.mark.parametrize(("kind", "transient"), [(LeaseLostError, False), (LedgerUnavailableError, True)])
def test_the_projects_errors_are_recognized_by_name(kind: type[FanoutError], transient: bool) -> None:
    raised = {"errorType": kind.__name__, "errorMessage": "a: run r1 at fault", "stackTrace": []}

    failure = caught({"Error": kind.__name__, "Cause": json.dumps(raised)})

    assert (failure.type, failure.message) == (kind.__name__, "a: run r1 at fault")
    assert (failure.advice, failure.transient) == (kind.advice, transient)
    assert failure.cause == kind.__doc__, "without provider and run"


def test_an_orphaned_run_is_made_up_for_without_any_change() -> None:
    failure = orphaned("its lease expired")

    assert failure.in_one_line() == "OrphanedRun: the run timed out or was aborted: its lease expired"
    assert failure.transient
