"""Every path through the state machine: what happens on it, and the expected result."""

from __future__ import annotations

from dataclasses import dataclass

from contract.document import read
from contract.failure import Failure
from tests.integration.statemachine.stage import Answers, Ending, Ends, Fails, Hangs, Played, Refused, Scene

CLAIM, ENGINE = "Claim Partition", "Choose Engine"
SMALL, GLUE, CHECK = "Run change_log in Lambda", "Start change_log Glue Job", "Check Job Run"
SUCCESS, FAILURE = "Update Status Success", "Update Status Failed"
FAILED, BUSY = "Run Failed", "Already Running"
REFUSAL, REFUSED = "Read Refusal", "Input Refused"

OF_LAMBDA = tuple(
    map(Refused, ("ServiceException", "AWSLambdaException", "SdkClientException", "TooManyRequestsException"))
)
UNSTARTED_IN_LAMBDA = (*OF_LAMBDA, Refused("ClientExecutionTimeoutException"))
UNSTARTED_ON_GLUE = (
    *map(Refused, ("ConcurrentRunsExceededException", "ResourceNumberLimitExceededException")),
    *map(Refused, ("InternalServiceException", "OperationTimeoutException", "AWSGlueException")),
)
# Transient errors of handlers that can be repeated; a state retries five times.
PASSING = {
    "of_lambda": OF_LAMBDA,
    "of_the_sandbox": (
        Refused("ClientExecutionTimeoutException"),
        Fails("Lambda.Unknown", after=True),
        Fails("Sandbox.Timedout", after=True),
        Fails("Runtime.ExitError", after=True),
        Hangs(),
    ),
    "of_ours": tuple(map(Fails, ("LedgerUnavailableError", "LedgerConflictError", "StorageUnavailableError"))),
}
WORKERS = 7
"""Number of workers in the claim's answer in every act on Glue; differs from the job's default."""
PLANNED = (Answers({"workers": WORKERS}),)
BROKEN = Fails("ValueError", "broken for good")
NEVER = (Fails("LedgerUnavailableError", "no ledger"),) * 6
"""One failure more than a state retries."""


@dataclass(frozen=True)
class Act:
    """A scene and its expected result.

    Attributes
    ----------
    scene
        An execution and the endings of its calls.
    path
        The states that are entered.
    calls
        Function, or "glue" -> number of invocations, or of job runs.
    messages
        Number of messages in the queue.
    says
        Text that the execution's cause, the ledger and the config API give for a failure; "" for a success.
    recorded
        Whether ledger and config API have a record of the end.
    """

    scene: Scene
    path: tuple[str, ...]
    calls: dict[str, int]
    messages: int = 0
    says: str = ""
    recorded: bool = True


def small(**parts: tuple[Ending, ...]) -> Act:
    """A Lambda run that succeeds in the end: each of its parts is retried until the real handler runs."""
    calls = {who: len(parts.get(who, ())) + 1 for who in ("claim", "lambda", "update")}
    return Act(Scene("lambda", parts), (CLAIM, ENGINE, SMALL, SUCCESS), calls, messages=1)


ACTS = {
    "nothing": Act(Scene(), (CLAIM, ENGINE, SUCCESS), {"claim": 1, "update": 1}),
    "lambda": small(),
    "large": Act(
        Scene("large", {"claim": PLANNED}),
        (CLAIM, ENGINE, GLUE, CHECK, SUCCESS),
        {"claim": 1, "glue": 1, "update": 1},
        messages=1,
    ),
    "busy": Act(Scene("lambda", held_by="another-run"), (CLAIM, ENGINE, BUSY), {"claim": 2}),
    # ---- the claim
    **{f"claim_{name}": small(claim=endings) for name, endings in PASSING.items()},
    "claim_never": Act(
        Scene("lambda", {"claim": NEVER}),
        (CLAIM, FAILURE, FAILED),
        {"claim": 6, "update": 1},
        says="LedgerUnavailableError: no ledger",
        recorded=False,
    ),
    "claim_fails_before_its_lease": Act(
        Scene("lambda", {"claim": (BROKEN,)}),
        (CLAIM, FAILURE, FAILED),
        {"claim": 1, "update": 1},
        says="ValueError: broken for good",
        recorded=False,
    ),
    "claim_fails_after_its_lease": Act(
        Scene("lambda", {"claim": (Fails("ValueError", "broken for good", after=True),)}),
        (CLAIM, FAILURE, FAILED),
        {"claim": 1, "update": 1},
        says="ValueError: broken for good",
    ),
    **{
        name: Act(Scene(given=given), (CLAIM, REFUSAL, REFUSED), calls, says=says, recorded=False)
        for name, given, calls, says in (
            ("bad_input", '{"provider": "bad_input", "replay": "no"}', {"claim": 1}, "input is invalid: replay"),
            # These calls are not counted: calls are counted by the provider that they name.
            ("null_input", "null", {}, "start the execution with an object"),
            ("text_input", '"text_input"', {}, "start the execution with an object"),
            ("no_provider", "{}", {}, "the execution's input is invalid: provider: is missing"),
            ("bad_name", '{"provider": "../bad_name"}', {}, "is not allowed"),
        )
    },
    # ---- the Lambda run
    "lambda_unstarted": small(**{"lambda": UNSTARTED_IN_LAMBDA}),
    "lambda_waits_for_a_function": small(**{"lambda": (Refused("TooManyRequestsException"),) * 20}),
    "claim_waits_for_a_function": small(claim=(Refused("TooManyRequestsException"),) * 20),
    **{
        name: Act(
            Scene("lambda", {"lambda": endings}),
            (CLAIM, ENGINE, SMALL, FAILURE, FAILED),
            {"claim": 1, "lambda": len(endings), "update": 1},
            messages,
            says,
        )
        for name, endings, messages, says in (
            ("lambda_never_started", (Refused("ServiceException"),) * 9, 0, "Lambda.ServiceException"),
            ("lambda_fails", (Fails("RunFailedError", "the row is bad"),), 0, "RunFailedError: the row is bad"),
            ("lambda_dies", (Fails("Lambda.Unknown", "gone", after=True),), 1, "Lambda.Unknown: gone"),
            ("lambda_exits", (Fails("Runtime.ExitError", "gone", after=True),), 1, "Runtime.ExitError: gone"),
            ("lambda_is_cut_off", (Fails("Sandbox.Timedout", "late", after=True),), 1, "Sandbox.Timedout: late"),
            ("lambda_hangs", (Hangs(),), 0, "States.Timeout"),
        )
    },
    # ---- the job run
    "glue_unstarted": Act(
        Scene("large", {"claim": PLANNED, "glue": UNSTARTED_ON_GLUE}),
        (CLAIM, ENGINE, GLUE, CHECK, SUCCESS),
        {"claim": 1, "glue": 6, "update": 1},
        messages=1,
    ),
    **{
        name: Act(
            Scene("large", {"claim": PLANNED, "glue": endings}),
            (CLAIM, ENGINE, GLUE, *states, FAILURE, FAILED),
            {"claim": 1, "glue": len(endings), "update": 1 + (SUCCESS in states)},
            messages,
            says,
        )
        for name, endings, states, messages, says in (
            ("glue_never_started", (Refused("AWSGlueException"),) * 9, (), 0, "Glue.AWSGlueException: injected"),
            ("glue_failed", (Ends("FAILED", works=False),), (), 0, "ended FAILED"),
            ("glue_timeout", (Ends("TIMEOUT"),), (), 1, "ended TIMEOUT"),
            ("glue_error", (Ends("ERROR", works=False),), (), 0, "ended ERROR"),
            ("glue_stopped", (Ends("STOPPED"),), (CHECK,), 1, "ended STOPPED"),
            ("glue_hangs", (Hangs(),), (), 0, "States.Timeout"),
            ("glue_without_result", (Ends("SUCCEEDED", works=False),), (CHECK, SUCCESS), 0, "left no result"),
        )
    },
    # ---- the end of a run that succeeded
    **{f"success_{name}": small(update=endings) for name, endings in PASSING.items()},
    "success_at_last": small(update=NEVER[:-1]),
    **{
        name: Act(
            Scene("lambda", {"update": endings}),
            (CLAIM, ENGINE, SMALL, SUCCESS, FAILURE, FAILED),
            {"claim": 1, "lambda": 1, "update": len(endings) + 1},
            messages=1,
            says=says,
        )
        for name, endings, says in (
            ("success_never", NEVER, "LedgerUnavailableError: no ledger"),
            ("success_refused", (Fails("LeaseLostError", "another took over"),), "LeaseLostError: another took over"),
        )
    },
    # ---- the end of a run that failed
    **{
        f"failure_{name}": Act(
            Scene("lambda", {"lambda": (BROKEN,), "update": endings}),
            (CLAIM, ENGINE, SMALL, FAILURE, FAILED),
            {"claim": 1, "lambda": 1, "update": len(endings) + left},
            says=says,
            recorded=bool(left),
        )
        for name, endings, left, says in (
            *((name, endings, 1, "ValueError: broken for good") for name, endings in PASSING.items()),
            ("never", NEVER, 0, "no ledger"),
            ("refused", (Fails("SettingsError", "misconfigured"),), 0, "misconfigured"),
        )
    },
}


def check(provider: str, act: Act, end: Played) -> None:
    """Compare the expected result of an act with the real one.

    Raises
    ------
    AssertionError, KeyError
        Something differs, or is not there.
    """
    run = f"run-of-{provider}"
    assert tuple(end.path) == act.path
    assert {who: len(made) for who, made in end.calls.items()} == act.calls
    assert end.execution["status"] == ("FAILED" if act.says else "SUCCEEDED")
    assert act.says in end.execution.get("cause", "")
    assert bool(end.execution.get("error")) is bool(act.says)
    assert end.messages == act.messages
    if act.path[-1] == BUSY:
        assert end.item["lease"]["run_id"] == act.scene.held_by
        assert "last_run" not in end.item
    elif act.recorded:
        _check_record(act, end, run)
    elif ENGINE not in act.path:  # it never had the lease
        assert not end.item
        assert end.entry.get("status", "new") == "new"
    else:  # the lease stays until the next tick finds that the execution has ended
        assert end.item["lease"]["run_id"] == run
        assert end.item["lease"]["execution_arn"] == end.execution["executionArn"]
    _check_plan(provider, run, end)


def _check_record(act: Act, end: Played, run: str) -> None:
    """Assert that ledger and config API say the same, and that the lease is released."""
    last, status = end.item["last_run"], "failed" if act.says else "succeeded"
    failure = read(Failure, last["failure"]) if "failure" in last else None
    assert "lease" not in end.item
    assert (last["run_id"], last["status"]) == (run, status)
    assert end.item["bookmark"]["generation"] == (0 if act.says else 1)
    assert (end.item["failures"] > 0) is bool(act.says)
    assert (end.entry["run_id"], end.entry["status"]) == (run, status)
    assert act.says in (failure.in_one_line() if failure else "")
    assert act.says in end.entry.get("error", "")
    assert end.entry["last_success"].endswith("1970 00:00:00 GMT") is bool(act.says)
    if ENGINE in act.path:
        assert last["run_dir"].endswith(f"_{run}/")
        assert last["reason"]
    if failure:
        assert (end.execution["error"], end.execution["cause"]) == ("RunFailed", failure.in_one_line())
    else:
        assert last["engine"] == ("glue" if GLUE in act.path else "lambda" if SMALL in act.path else "none")
        assert last["rows"] == last["messages"] == act.messages


def _check_plan(provider: str, run: str, end: Played) -> None:
    """Assert that Lambda or the job run gets the claim's plan."""
    planned = next((item["run_dir"] for item in (end.item.get("lease"), end.item.get("last_run")) if item), "")
    wanted = {"provider": provider, "run_id": run, "manifest": planned + "manifest.json", "run_dir": planned}
    for event in end.calls.get("lambda", []):
        assert event == wanted
    for job_run in end.calls.get("glue", []):
        assert job_run.job_name == "etl-dev-change_log"
        assert job_run.worker_type == "G.1X"
        assert job_run.number_of_workers == WORKERS
        assert {name: job_run.arguments[f"--{name}"] for name in wanted} == wanted
