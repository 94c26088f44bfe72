"""Bugs in the state machine: each Catch, Retry, branch and field is removed or changed. Each bug names the act that
must fail.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.integration.statemachine.acts import (
    ACTS,
    BUSY,
    CHECK,
    CLAIM,
    ENGINE,
    FAILED,
    FAILURE,
    GLUE,
    REFUSAL,
    REFUSED,
    SMALL,
    SUCCESS,
    check,
)
from tests.integration.statemachine.stage import Theatre

Definition = dict[str, Any]
Edit = Callable[[dict[str, Any]], Any]

OURS = ("LedgerUnavailableError", "LedgerConflictError", "StorageUnavailableError")
REPEATABLE = {
    **{
        f"Lambda.{name}": "of_lambda"
        for name in ("ServiceException", "AWSLambdaException", "SdkClientException", "TooManyRequestsException")
    },
    **dict.fromkeys(
        ("Lambda.ClientExecutionTimeoutException", "Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError"),
        "of_the_sandbox",
    ),
    "States.Timeout": "of_the_sandbox",
    **dict.fromkeys(OURS, "of_ours"),
}
PREFIX = {CLAIM: "claim", SUCCESS: "success", FAILURE: "failure"}
FAILS = {
    CLAIM: "claim_fails_after_its_lease",
    GLUE: "glue_failed",
    SMALL: "lambda_fails",
    SUCCESS: "success_refused",
    FAILURE: "failure_refused",
}
NEVER = {
    CLAIM: "claim_never",
    GLUE: "glue_never_started",
    SMALL: "lambda_never_started",
    SUCCESS: "success_never",
    FAILURE: "failure_never",
}
AT_LAST = {SUCCESS: "success_at_last"}
"""States where only an act that succeeds with the last retry detects too few retries."""
UNSTARTED = {GLUE: "glue_unstarted", SMALL: "lambda_unstarted"}
NOT_AGAIN = (
    (SMALL, "Lambda.Unknown", "lambda_dies"),
    (SMALL, "Runtime.ExitError", "lambda_exits"),
    (SMALL, "Sandbox.Timedout", "lambda_is_cut_off"),
    (SMALL, "States.Timeout", "lambda_hangs"),
    (SMALL, "States.ALL", "lambda_fails"),
    (GLUE, "States.TaskFailed", "glue_failed"),
    (GLUE, "States.Timeout", "glue_hangs"),
    (GLUE, "States.ALL", "glue_timeout"),
    *((state, "States.ALL", FAILS[state]) for state in (CLAIM, SUCCESS, FAILURE)),
)
LEADS = (
    (CLAIM, SUCCESS, "lambda"),
    (GLUE, SUCCESS, "glue_stopped"),
    (SMALL, FAILURE, "lambda"),
    (FAILURE, BUSY, "lambda_fails"),
)


@dataclass(frozen=True)
class MachineMutant:
    """A definition with one bug.

    Attributes
    ----------
    name
        Description of the bug.
    definition
        The whole state machine.
    act
        The act whose result must differ.
    """

    name: str
    definition: Definition
    act: str


def mutants(definition: Definition) -> Iterator[MachineMutant]:
    """All bugs, one at a time."""
    for name, state, edit, act in _edits(definition):
        changed = copy.deepcopy(definition)
        edit(changed["States"][state])
        yield MachineMutant(f"{state}: {name}", changed, act)


def survivors(theatre: Theatre, chosen: Iterable[MachineMutant], first: int = 0) -> list[str]:
    """Names of the bugs whose act ends as if nothing were wrong. No two of a theatre may have the same number."""
    numbered = list(enumerate(chosen, first))
    states = theatre.cloud.client("stepfunctions")
    role = states.describe_state_machine(stateMachineArn=theatre.machine)["roleArn"]

    def noticed(number: int, mutant: MachineMutant) -> bool:
        provider, act = f"m{number}_{mutant.act}", ACTS[mutant.act]
        machine = theatre.build(f"mutant-{number}", role, mutant.definition)
        theatre.prepare(provider, act.scene)
        end = theatre.play(provider, act.scene, machine)
        end.messages = (
            act.messages
        )  # calls are counted for all acts together, and no bug here changes only these counts
        try:
            check(provider, act, end)
        except (AssertionError, KeyError):
            return True
        return False

    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda pair: noticed(*pair), numbered))
    theatre.messages()
    return [mutant.name for (_, mutant), found in zip(numbered, seen, strict=True) if not found]


def _edits(definition: Definition) -> Iterator[tuple[str, str, Edit, str]]:
    yield from _catches()
    yield from _retries(definition)
    yield from _ways()
    yield from _fields(definition)


def _catches() -> Iterator[tuple[str, str, Edit, str]]:
    for state, act in FAILS.items():
        yield "no Catch", state, _without("Catch"), act
        elsewhere = BUSY if state == FAILURE else FAILED
        yield f"Catch leads to {elsewhere}", state, _rule("Catch", -1, Next=elsewhere), act
        if state != FAILURE:
            yield "Catch replaces the whole input with the error", state, _rule("Catch", -1, ResultPath="$"), act
    for state, act in ((SMALL, "lambda_hangs"), (GLUE, "glue_hangs")):
        yield "Catch of failed tasks only", state, _rule("Catch", -1, ErrorEquals=["States.TaskFailed"]), act
    yield "no Catch of rejected starts", CLAIM, _without_rule("Catch", 0), "null_input"
    yield "a refusal leads to the failure", CLAIM, _rule("Catch", 0, Next=FAILURE), "bad_input"
    for error, act in (("InvalidRequestError", "bad_name"), ("InvalidProviderError", "no_provider")):
        yield f"no refusal but {error}", CLAIM, _rule("Catch", 0, ErrorEquals=[error]), act


def _retries(definition: Definition) -> Iterator[tuple[str, str, Edit, str]]:
    for state in FAILS:
        rules = definition["States"][state]["Retry"]
        yield "no Retry", state, _without("Retry"), AT_LAST.get(state, NEVER[state])
        for place, rule in enumerate(rules):
            listed = rule["ErrorEquals"]
            for error in listed:
                left = [other for other in listed if other != error]
                edit = _rule("Retry", place, ErrorEquals=left) if left else _without_rule("Retry", place)
                act = UNSTARTED.get(state) or f"{PREFIX[state]}_{REPEATABLE[error]}"
                yield f"no Retry after {error}", state, edit, act
        # Only the last rule has few enough retries for an act to count them.
        fewer, more = (rules[-1]["MaxAttempts"] + change for change in (-1, 1))
        seen_in = AT_LAST.get(state, NEVER[state])
        yield f"tried again {fewer} times", state, _rule("Retry", -1, MaxAttempts=fewer), seen_in
        yield f"tried again {more} times", state, _rule("Retry", -1, MaxAttempts=more), NEVER[state]
    for state, error, act in NOT_AGAIN:
        listed = definition["States"][state]["Retry"][-1]["ErrorEquals"]
        wrong = [error] if error == "States.ALL" else [*listed, error]
        yield f"Retry after {error}", state, _rule("Retry", -1, ErrorEquals=wrong), act


def _ways() -> Iterator[tuple[str, str, Edit, str]]:
    for state, following, act in LEADS:
        yield f"leads to {following}", state, _with(Next=following), act
    yield "fails after the commit", SUCCESS, lambda state: (state.pop("End"), state.update(Next=FAILED)), "lambda"
    for place, (name, elsewhere) in enumerate((("busy", SUCCESS), ("nothing", BUSY), ("lambda", SUCCESS))):
        yield f"no branch for {name}", ENGINE, _without_branch(place), name
        yield f"{name} leads to {elsewhere}", ENGINE, _branch(place, Next=elsewhere), name
    yield f"otherwise to {SMALL}", ENGINE, _with(Default=SMALL), "large"
    yield "a success leads to the failure", CHECK, _branch(0, Next=FAILURE), "large"
    yield "another word for success", CHECK, _branch(0, StringEquals="RUNNING"), "large"
    yield "every end is a success", CHECK, _with(Default=SUCCESS), "glue_stopped"
    yield "is a failure", BUSY, lambda state: state.update(Type="Fail"), "busy"
    yield "leads to another end", REFUSAL, _with(Next=FAILED), "bad_input"
    yield "shows no error", REFUSED, _without("ErrorPath"), "bad_input"
    yield "shows no cause", REFUSED, _without("CausePath"), "bad_input"
    yield "shows no error", FAILED, _without("ErrorPath"), "lambda_fails"
    yield "shows no cause", FAILED, _without("CausePath"), "lambda_fails"


def _fields(definition: Definition) -> Iterator[tuple[str, str, Edit, str]]:
    acts = {CLAIM: "lambda", SMALL: "lambda", SUCCESS: "lambda", FAILURE: "lambda_fails"}
    for state, act in acts.items():
        for field in definition["States"][state]["Parameters"]["Payload"]:
            seen_in = "failure_refused" if field.startswith("execution_arn") else act
            yield f"without {field}", state, _removed("Payload", field), seen_in
    for field in definition["States"][GLUE]["Parameters"]["Arguments"]:
        yield f"without {field}", GLUE, _removed("Arguments", field), "large"
    yield "named by the input", CLAIM, _replaced("Payload", "run_id.$", "$.provider"), "lambda"
    yield "reports a failure", SUCCESS, _replaced("Payload", "outcome", "failed"), "lambda"
    yield "reports a success", FAILURE, _replaced("Payload", "outcome", "succeeded"), "lambda_fails"
    yield "another job", GLUE, _parameter(JobName="another"), "large"
    yield "another size of worker", GLUE, _parameter(WorkerType="G.2X"), "large"
    yield "a constant number of workers", GLUE, _constant_workers, "large"
    yield "its result in place of the input", CLAIM, _with(ResultPath="$"), "lambda"
    yield "its result at an unused path", FAILURE, _with(ResultPath="$.result"), "lambda_fails"
    yield "its whole answer as the result", FAILURE, _without("ResultSelector"), "lambda_fails"
    yield "nothing of the run's state", GLUE, lambda state: state["ResultSelector"].pop("JobRunState.$"), "large"
    for field in definition["States"][CLAIM]["ResultSelector"]:
        seen_in = "large" if field.startswith("workers") else "lambda"
        yield f"answer without {field}", CLAIM, _unselected(field), seen_in


def _without(name: str) -> Edit:
    return lambda state: state.pop(name)


def _with(**values: Any) -> Edit:
    return lambda state: state.update(values)


def _rule(rules: str, place: int, **values: Any) -> Edit:
    return lambda state: state[rules][place].update(values)


def _without_rule(rules: str, place: int) -> Edit:
    return lambda state: state[rules].pop(place)


def _branch(place: int, **values: Any) -> Edit:
    return lambda state: state["Choices"][place].update(values)


def _without_branch(place: int) -> Edit:
    return lambda state: state["Choices"].pop(place)


def _replaced(where: str, field: str, value: str) -> Edit:
    return lambda state: state["Parameters"][where].update({field: value})


def _removed(where: str, field: str) -> Edit:
    return lambda state: state["Parameters"][where].pop(field)


def _parameter(**values: Any) -> Edit:
    return lambda state: state["Parameters"].update(values)


def _unselected(field: str) -> Edit:
    return lambda state: state["ResultSelector"].pop(field)


def _constant_workers(state: dict[str, Any]) -> None:
    state["Parameters"].pop("NumberOfWorkers.$")
    state["Parameters"]["NumberOfWorkers"] = 2
