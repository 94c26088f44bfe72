"""Each check of `fanout doctor`, once on a healthy stack and once for each problem; object events: test_doctor.py."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from cli.commands import doctor
from cli.commands.doctor import CHECKS, Check, Outcome, _run
from cli.deployment import Deployment
from cli.errors import Exit
from cli.output import Page
from cli.overview import Overview
from fanout.errors import ConfigApiAccessError, InvalidProviderError, LedgerUnavailableError
from fanout.health import Condition, Decision, Health
from fanout.ledger import ProviderState
from fanout.providers import refusal
from fanout.runs import Lease
from fanout.settings import ClaimSettings, DispatchSettings

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
OUTPUTS = {
    "StateMachineArn": "arn:machine",
    "DataBucketName": "data",
    "ScheduleName": "tick",
    "GlueJobName": "etl",
    "ChangeLogDir": "s3://data/change_log",
    "ChangesQueueUrl": "https://q",
}


def lease(run_id: str) -> Lease:
    return Lease(run_id=run_id, claimed_at=NOW, expires_at=NOW + timedelta(hours=1), run_dir="s3://data/runs/r/")


def client(**answers: Any) -> Any:
    """A boto3 client: operation -> its answer, or the error that it raises."""

    def operation(answer: Any) -> Callable[..., Any]:
        def call(**_: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    return SimpleNamespace(**{name: operation(answer) for name, answer in answers.items()})


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Call")


def dated(seconds: float | None) -> Any:
    """S3, whose clock is so far ahead of this machine's."""
    headers = {} if seconds is None else {"date": format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)}
    return client(list_objects_v2={"ResponseMetadata": {"HTTPHeaders": headers}})


def job(most: int) -> Any:
    found = {
        "Name": "etl",
        "GlueVersion": "6.0",
        "ExecutionProperty": {"MaxConcurrentRuns": most},
        "Command": {"ScriptLocation": "s3://data/library/x.py"},
    }
    return client(get_job={"Job": found})


def quotas(**by_name: float) -> Any:
    found = [{"QuotaName": name.replace("_", " "), "Value": value} for name, value in by_name.items()]
    return (
        client(get_paginator=None)
        if not by_name
        else SimpleNamespace(get_paginator=lambda _: client(paginate=[{"Quotas": []}, {"Quotas": found}]))
    )


def overview(**counts: int) -> Overview:
    health = [Health(f"{name}-1", Condition(name), Decision.DUE) for name in counts]
    return Overview(NOW, sum(counts.values()), counts, 0, tuple(health))


class Stack(Deployment):
    """A healthy stack on AWS, with some parts replaced: clients by service, other parts by name."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(boto3.session.Session(region_name="us-east-1"), "stack", parts.pop("endpoint", None))
        self.outputs = parts.pop("outputs", OUTPUTS)
        self._key = parts.pop("key", "secret")
        self.dispatching = DispatchSettings.model_construct(max_concurrent_runs=50, discovery="events")
        self.planning = ClaimSettings.model_construct(bookmark_mode="manifest")
        self.overview = parts.pop("overview", overview(waiting=3, idle=1))
        held = [ProviderState(provider="a", lease=lease("r")), ProviderState(provider="b")]
        answer = parts.pop("attention", held)
        self.ledger = client(attention=answer, list_size=parts.pop("list_size", 0))  # type: ignore[assignment]
        self.config_api = client(entries=parts.pop("entries", {"a": {"frequency": 15}}))  # type: ignore[assignment]
        self._clients = {
            "s3": dated(0),
            "stepfunctions": client(describe_state_machine={"status": "ACTIVE"}),
            "scheduler": client(get_schedule={"State": "ENABLED", "ScheduleExpression": "rate(15 minutes)"}),
            "glue": job(50),
            "sqs": client(
                get_queue_attributes={"Attributes": {"QueueArn": "arn:q", "ApproximateNumberOfMessages": "7"}}
            ),
            "service-quotas": quotas(max_jobs=1.0, Max_concurrent_job_runs_per_account=50.0),
            "lambda": client(get_account_settings={"AccountLimit": {"UnreservedConcurrentExecutions": 1000}}),
            **parts,
        }


def change_log(*keys: str) -> Any:
    """S3 with these keys under s3://data/change_log/provider=."""
    folders = sorted({f"change_log/provider={key.partition('/')[0]}/" for key in keys})
    return SimpleNamespace(
        get_paginator=lambda _: client(paginate=[{"CommonPrefixes": [{"Prefix": folder} for folder in folders]}]),
        list_objects_v2=lambda **_: {"Contents": [{"Key": f"change_log/provider={key}"} for key in keys]},
    )


def data_bucket(*keys: str) -> Any:
    """S3 with these keys in the data bucket."""

    def folders(Prefix: str, **_: str) -> Any:  # noqa: N803 - boto3's name
        found = [key.removeprefix(Prefix).partition("/")[0] for key in keys if key.startswith(Prefix)]
        return [{"CommonPrefixes": [{"Prefix": f"{Prefix}{name}/"} for name in dict.fromkeys(found)]}]

    return SimpleNamespace(
        get_paginator=lambda _: SimpleNamespace(paginate=folders),
        list_objects_v2=lambda Prefix, **_: {"KeyCount": sum(key.startswith(Prefix) for key in keys)},  # noqa: N803
    )


SCRIPT = {"s3": client(head_object={"ContentLength": 12_345})}
HEALTHY: dict[str, tuple[dict[str, Any], str]] = {
    "stack": ({}, "6 outputs, state machine arn:machine"),
    "clock": ({"s3": dated(-60)}, "within 60 s of AWS's clock"),
    "state machine": ({}, "active"),
    "schedule": ({}, "enabled, rate(15 minutes)"),
    "Glue job": ({}, "etl, Glue 6.0, up to 50 concurrent runs"),
    "job script": (SCRIPT, "s3://data/library/x.py, 12,345 bytes"),
    "run ledger": ({}, "readable, 1 run in progress"),
    "change log": (
        {"s3": change_log("a/1.json.gz", "a/_SUCCESS")},
        "s3://data/change_log, 1 provider, 1 of the first 2 objects ignored (1 hidden name)",
    ),
    "queue": ({}, "arn:q, about 7 messages"),
    "secret": ({}, "contains a key"),
    "config API": ({}, "available, 1 provider"),
    "providers": ({}, "3 waiting, 1 idle"),
    "quarantine": ({"s3": data_bucket("runs/provider=a/record.json")}, "empty"),
    "Glue quota": ({}, "up to 50 concurrent Glue job runs; MaxConcurrentRuns is 50"),
    "Lambda quota": ({}, "up to 1000 concurrent Lambda invocations; MaxConcurrentRuns is 50"),
}
FAIL, WARN = Outcome.FAIL, Outcome.WARN
CLEAR = "correct the causes, replay, and delete the folders in s3://data/quarantine/"
PROBLEMS: list[tuple[str, dict[str, Any], Outcome, str, str | None]] = [
    *(
        ("quarantine", {"s3": data_bucket(*keys)}, WARN, found, CLEAR)
        for keys, found in [
            (["quarantine/provider=a/r/1", "quarantine/provider=a/r/2"], "bad lines or objects of 1 provider (a); "),
            ([f"quarantine/provider={n}/r/1" for n in range(6)], "6 providers (0, 1, 2, 3, 4, …)"),
            (["quarantine/foreign/provider=b/1"], "Foreign objects: damaged or foreign objects of 1 provider (b); "),
            (["unassigned/1"], "Unassigned: records without a provider"),
        ]
    ),
    ("stack", {"outputs": {}}, FAIL, "the stack has no output StateMachineArn", None),
    ("clock", {"s3": dated(61)}, FAIL, "this machine's clock is off by -61 s", "synchronize the clock with NTP"),
    ("clock", {"s3": dated(-61)}, FAIL, "this machine's clock is off by 61 s", "synchronize the clock with NTP"),
    ("clock", {"s3": dated(None)}, WARN, "S3 returned no date", "check this machine's clock by hand"),
    (
        "state machine",
        {"stepfunctions": client(describe_state_machine={"status": "DELETING"})},
        FAIL,
        "its status is DELETING",
        "deploy the stack again",
    ),
    (
        "schedule",
        {"scheduler": client(get_schedule={"State": "DISABLED", "ScheduleExpression": "rate(15 minutes)"})},
        FAIL,
        "the schedule is disabled: no run is started",
        "deploy with ScheduleState=ENABLED",
    ),
    (
        "Glue job",
        {"glue": job(49)},
        FAIL,
        "the job allows 49 concurrent runs, but MaxConcurrentRuns is 50",
        "deploy the template again",
    ),
    (
        "job script",
        {"s3": client(head_object=refused("404"))},
        FAIL,
        "s3://data/library/x.py not found",
        "deploy again, which publishes the script",
    ),
    (
        "job script",
        {"s3": client(head_object=refused("AccessDenied"))},
        FAIL,
        "your credentials do not allow Call: no",
        None,
    ),
    ("run ledger", {"attention": LedgerUnavailableError("down")}, FAIL, "down", LedgerUnavailableError.advice),
    (
        "change log",
        {"s3": change_log()},
        WARN,
        "no provider=NAME/ folder in s3://data/change_log",
        "write a change log there, or set ChangeLogDir",
    ),
    (
        "change log",
        {"s3": change_log("a/1.json", "Tenant Ölhafen/1.json")},
        FAIL,
        "no run can process 1 of 2 folders, such as s3://data/change_log/provider=Tenant Ölhafen/: "
        + refusal("Tenant Ölhafen"),
        "copy the objects to the folder of a provider, then delete these folders",
    ),
    (
        "change log",
        {"s3": change_log("a/1.json", "b/1.json")},
        WARN,
        "1 of 2 folders are not in the list of providers, such as b",
        "add them with `fanout providers discover`, or delete the folders of those who have left",
    ),
    (
        "change log",
        {"s3": change_log("a/.x", "a/1.tmp")},
        WARN,
        "2 of the first 2 objects ignored (1 hidden name, 1 temporary name of an upload)",
        "correct IgnorePattern, or the names of the objects",
    ),
    (
        "config API",
        {"list_size": 2},
        FAIL,
        "the list has 1 provider, and has lost 1",
        "correct the list, or accept it with `fanout providers accept`",
    ),
    (
        "queue",
        {"sqs": client(get_queue_attributes=refused("AccessDenied"))},
        FAIL,
        "your credentials do not allow Call: no",
        None,
    ),
    (
        "secret",
        {"key": " \n"},
        FAIL,
        "the secret is empty",
        "store the config API's key in it, as plain text",
    ),
    ("config API", {"entries": ConfigApiAccessError("HTTP 403")}, FAIL, "HTTP 403", ConfigApiAccessError.advice),
    (
        "config API",
        {"entries": {"a": {"frequency": 15}, "b": {"frequency": "often"}}},
        FAIL,
        "1 of 2 entries are invalid, such as b: frequency: must be a number of minutes",
        InvalidProviderError.advice,
    ),
    (
        "config API",
        {"entries": {}},
        WARN,
        "the list of providers is empty",
        "add providers with `fanout providers add` or `discover`",
    ),
    (
        "providers",
        {"overview": overview(stuck=1, due=2)},
        WARN,
        "1 stuck, 2 due; for example stuck-1",
        "`fanout status` shows details",
    ),
    (
        "Glue quota",
        {"service-quotas": quotas(Max_concurrent_job_runs_per_account=49.0)},
        FAIL,
        "the account allows 49 concurrent Glue job runs, but MaxConcurrentRuns is 50",
        "request an increase in Service Quotas, or lower MaxConcurrentRuns",
    ),
    (
        "Glue quota",
        {"service-quotas": quotas(another=1.0)},
        WARN,
        "no quota named Max concurrent job runs per account",
        "check Service Quotas, AWS Glue, in the AWS console",
    ),
    (
        "Lambda quota",
        {"lambda": client(get_account_settings={"AccountLimit": {"UnreservedConcurrentExecutions": 10}})},
        FAIL,
        "the account allows 10 concurrent Lambda invocations, but MaxConcurrentRuns is 50",
        "request an increase in Service Quotas, or lower MaxConcurrentRuns",
    ),
]


@pytest.fixture(autouse=True)
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "utc_now", lambda: NOW)
    monkeypatch.setattr(doctor, "look", lambda stack: stack.overview)


def checked(name: str, parts: dict[str, Any]) -> Check:
    return _run(name, CHECKS[name], Stack(**parts))


def test_every_check_has_a_healthy_stack_and_a_problem_here() -> None:
    assert HEALTHY.keys() | {"object events"} == CHECKS.keys()
    assert {name for name, *_ in PROBLEMS} == HEALTHY.keys()


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_part_is_ok_and_described(name: str) -> None:
    parts, found = HEALTHY[name]

    assert checked(name, parts) == Check(name, Outcome.OK, found)


@pytest.mark.parametrize(("name", "parts", "outcome", "found", "advice"), PROBLEMS)
def test_a_problem_is_found_with_what_to_do_about_it(
    name: str, parts: dict[str, Any], outcome: Outcome, found: str, advice: str | None
) -> None:
    check = checked(name, parts)

    assert (check.name, check.outcome) == (name, outcome)
    assert found in check.found
    assert check.advice == advice


def test_a_stack_without_providers_has_none_in_any_condition() -> None:
    assert checked("providers", {"overview": overview()}) == Check("providers", Outcome.OK, "none")


def test_the_text_has_a_line_for_each_check_and_says_what_to_do() -> None:
    file = io.StringIO()
    checks = (Check("secret", Outcome.OK, "contains a key"), Check("clock", Outcome.FAIL, "off", "use NTP"))

    doctor._show(doctor.DoctorReport(False, checks), Page(Console(file=file, soft_wrap=True), None))

    assert file.getvalue().splitlines() == [
        "RESULT  CHECK   DETAILS",
        "ok      secret  contains a key",
        "fail    clock   off -> use NTP",
    ]


def test_the_laptop_cloud_has_no_quotas() -> None:
    local = {"endpoint": "http://127.0.0.1:1", "service-quotas": quotas(another=1.0), "lambda": None}

    for name in ("Glue quota", "Lambda quota"):
        assert checked(name, dict(local)) == Check(name, Outcome.OK, "the laptop cloud has no quota")


@pytest.mark.parametrize(
    ("outcomes", "healthy"),
    [
        ((), True),
        ((Outcome.OK, Outcome.OK), True),
        ((Outcome.OK, Outcome.WARN), True),
        ((Outcome.WARN, Outcome.FAIL, Outcome.OK), False),
        ((Outcome.FAIL,), False),
    ],
)
def test_only_a_failed_check_makes_the_stack_unhealthy_and_the_exit_status_1(
    outcomes: tuple[Outcome, ...], healthy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(outcome: Outcome) -> Callable[[Deployment], str]:
        def run(stack: Deployment) -> str:
            if outcome is Outcome.OK:
                return "fine"
            raise doctor.CheckFailedError("found", "advice", outcome)

        return run

    monkeypatch.setattr(doctor, "CHECKS", {str(n): check(outcome) for n, outcome in enumerate(outcomes)})
    shown: list[Any] = []
    operator = SimpleNamespace(stack=Stack(), show=lambda report, how: shown.append(report))

    status = doctor.doctor(SimpleNamespace(obj=operator))  # type: ignore[arg-type]

    assert status is (Exit.OK if healthy else Exit.UNHEALTHY)
    assert (shown[0].healthy, tuple(check.outcome for check in shown[0].checks)) == (healthy, outcomes)
