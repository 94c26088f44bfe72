"""The state machine: valid, with comments, retries and nested timeouts."""

from __future__ import annotations

from typing import Any

import pytest

from fanout import errors
from fanout.claims import LEASE
from laptop_cloud.stack.template import Template
from tests.template.reading import MACHINE, ROOT, states_of
from tools.definition import faults, placeholders
from tools.iam import Names

LAMBDA = "arn:aws:states:::lambda:invoke"
GLUE = "arn:aws:states:::glue:startJobRun.sync"
THROTTLED = "Lambda.TooManyRequestsException"
GLUE_STATE = "Start change_log Glue Job"
LAMBDA_STATE = "Run change_log in Lambda"
# The errors of Lambda that AWS advises clients to retry:
# https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html
LAMBDA_SERVICE_ERRORS = {
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
}


OUR_TRANSIENT_ERRORS = {"LedgerUnavailableError", "LedgerConflictError", "StorageUnavailableError"}
"""Errors of handlers that may pass on a retry. Faults of the config API and of Step Functions do not fail a handler:
tests/unit/functions/test_machine.py tests each."""


def retried(state: dict[str, Any]) -> set[str]:
    return {error for rule in state.get("Retry", []) for error in rule["ErrorEquals"]}


def test_the_linter_finds_nothing(machine: dict[str, Any]) -> None:
    assert faults(machine) == []


def test_every_state_has_a_comment(machine: dict[str, Any], states: dict[str, dict[str, Any]]) -> None:
    assert machine["Comment"]
    assert not [name for name, state in states.items() if len(state.get("Comment", "")) < 10]


def test_the_names_that_the_customer_gave_are_kept(states: dict[str, dict[str, Any]]) -> None:
    assert {GLUE_STATE, "Update Status Success", "Update Status Failed"} <= set(states)
    job = states[GLUE_STATE]
    assert job["Resource"] == GLUE
    assert job["Parameters"]["Arguments"]["--provider.$"] == "$.provider"
    text = (ROOT / "statemachine/change_log.asl.json").read_text(encoding="utf-8")
    assert '"etl-${dev}-${Job}"' in text
    assert job["Parameters"]["JobName"] == "etl-dev-change_log"


def test_the_job_that_is_started_is_the_template_s(states: dict[str, dict[str, Any]], template: Template) -> None:
    from laptop_cloud.stack.intrinsics import resolve

    name = resolve(template.resources["ChangeLogJob"].properties["Name"], Names(template, None))

    assert states[GLUE_STATE]["Parameters"]["JobName"] == name


def test_substitutions_and_placeholders_are_the_same_set(source: dict[str, Any]) -> None:
    properties = source["Resources"][MACHINE]["Properties"]
    text = (ROOT / properties["DefinitionUri"]).read_text(encoding="utf-8")

    assert placeholders(text) == set(properties["DefinitionSubstitutions"])
    assert "dev" in placeholders(text)


def test_every_task_has_a_timeout(machine: dict[str, Any], states: dict[str, dict[str, Any]]) -> None:
    tasks = {name: state for name, state in states.items() if state["Type"] == "Task"}

    assert tasks
    assert machine["TimeoutSeconds"] > 0
    assert not [name for name, state in tasks.items() if not isinstance(state.get("TimeoutSeconds"), int)]


def test_each_timeout_is_shorter_than_the_enclosing_one(
    template: Template, machine: dict[str, Any], states: dict[str, dict[str, Any]]
) -> None:
    # A job run must time out before its state, the state before the execution, and the execution
    # before the lease: otherwise a second run could start while the first still sends.
    longest_run = 60 * int(template.resources["ChangeLogJob"].properties["Timeout"])

    assert longest_run < states[GLUE_STATE]["TimeoutSeconds"] < machine["TimeoutSeconds"] < LEASE.total_seconds()


def test_no_function_outlives_the_state_that_waits_for_it(
    template: Template, states: dict[str, dict[str, Any]]
) -> None:
    for name, state in states.items():
        if state.get("Resource") == LAMBDA:
            function = next(
                resource
                for logical_id, resource in template.resources.items()
                if resource.type == "AWS::Lambda::Function" and f":function:{logical_id}" in str(state["Parameters"])
            )
            assert function.properties["Timeout"] <= state["TimeoutSeconds"], name


def test_the_handlers_are_retried_on_every_transient_error(states: dict[str, dict[str, Any]]) -> None:
    tasks = {name for name, state in states.items() if state.get("Resource") == LAMBDA} - {LAMBDA_STATE}

    assert tasks == {"Claim Partition", "Update Status Success", "Update Status Failed"}
    for name in tasks:
        assert retried(states[name]) >= LAMBDA_SERVICE_ERRORS, name
        own = {error for error in retried(states[name]) if "." not in error}
        assert own == OUR_TRANSIENT_ERRORS, name


@pytest.mark.fault(12)
def test_the_job_is_retried_only_when_it_could_not_be_started(states: dict[str, dict[str, Any]]) -> None:
    # After any other error it may have sent messages and, on Glue, cost money.
    assert retried(states[LAMBDA_STATE]) >= LAMBDA_SERVICE_ERRORS
    assert {"Glue.ConcurrentRunsExceededException", "Glue.AWSGlueException"} <= retried(states[GLUE_STATE])
    for name in (GLUE_STATE, LAMBDA_STATE):
        assert all(error.startswith(("Lambda.", "Glue.")) for error in retried(states[name])), name


@pytest.mark.fault(12)
def test_no_task_retries_permanent_errors(states: dict[str, dict[str, Any]]) -> None:
    terminal = {kind.__name__ for kind in errors.TerminalError.__subclasses__()}

    for name, state in states.items():
        # States.TaskFailed and States.ALL include the script's own failure: a retry would pay and send again.
        assert not retried(state) & ({"States.ALL", "States.TaskFailed"} | terminal), name


@pytest.mark.fault(30)
def test_every_function_is_retried_for_an_hour_while_lambda_throttles(states: dict[str, dict[str, Any]]) -> None:
    """10,000 runs in an account with ten concurrent functions: 20,000 calls of half a second make 1,000 seconds."""
    tasks = {name: state for name, state in states.items() if state.get("Resource") == LAMBDA}

    assert len(tasks) == 4
    for name, state in tasks.items():
        rule = state["Retry"][0]
        assert rule["ErrorEquals"] == [THROTTLED], name
        waits = [min(rule["IntervalSeconds"] * rule["BackoffRate"] ** n, rule["MaxDelaySeconds"]) for n in range(90)]
        assert 2_000 < sum(waits[: rule["MaxAttempts"]]) / 2 < 4_000, f"{name}: full jitter waits half of it on average"


@pytest.mark.fault(12)
def test_every_retry_is_bounded_and_spread(states: dict[str, dict[str, Any]]) -> None:
    rules = [(name, rule) for name, state in states.items() for rule in state.get("Retry", [])]

    assert rules
    for name, rule in rules:
        assert 1 <= rule["MaxAttempts"] <= (90 if rule["ErrorEquals"] == [THROTTLED] else 10), name
        assert rule["BackoffRate"] >= 1.5, name
        assert rule["JitterStrategy"] == "FULL", name


def test_the_state_of_the_job_run_is_checked(states: dict[str, dict[str, Any]]) -> None:
    # Emulators treat a STOPPED run of .sync differently, so only SUCCEEDED is a success.
    choice = states[states[GLUE_STATE]["Next"]]

    assert choice["Type"] == "Choice"
    rules = [rule for rule in choice["Choices"] if rule.get("StringEquals") == "SUCCEEDED"]
    assert [rule["Next"] for rule in rules] == ["Update Status Success"]
    assert choice["Default"] == "Update Status Failed"


def test_every_choice_has_a_default(states: dict[str, dict[str, Any]]) -> None:
    assert not [name for name, state in states.items() if state["Type"] == "Choice" and "Default" not in state]


def test_a_failed_run_is_recorded_before_the_execution_fails(states: dict[str, dict[str, Any]]) -> None:
    for name in (GLUE_STATE, LAMBDA_STATE):
        catchers = states[name]["Catch"]
        assert [catcher["ErrorEquals"] for catcher in catchers] == [["States.ALL"]], name
        assert catchers[0]["ResultPath"] == "$.result", name
        assert catchers[0]["Next"] == "Update Status Failed", name


def test_states_of_includes_the_states_of_maps_and_branches() -> None:
    inner = {"States": {"B": {"Type": "Succeed"}}}
    outer = {
        "States": {
            "A": {"Type": "Parallel", "Branches": [inner]},
            "C": {"Type": "Map", "ItemProcessor": inner},
        }
    }

    assert [name for name, _ in states_of(outer)] == ["A", "B", "C", "B"]
