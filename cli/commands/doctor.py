"""`fanout doctor`: checks what runs and operators need. It changes nothing."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

import typer
from botocore.exceptions import ClientError

from contract.uris import split_uri
from fanout.errors import FanoutError
from fanout.health import UNHEALTHY
from fanout.providers import is_name, missing_providers, parse_entries, refusal

from ..command import Command, Context, iam, utc_now
from ..deployment import Deployment
from ..errors import EXPECTED, Exit, as_operator_error
from ..output import Page, counted
from ..overview import look
from ..quarantine import look_into
from .providers import folders

app = typer.Typer()
MAX_SKEW_SECONDS = 60.0
"""AWS rejects signatures that are five minutes off; a clock that is a minute off is not synchronized."""
CREATED = "s3:ObjectCreated:"
WAYS_TO_CREATE = frozenset(CREATED + way for way in ("Put", "Post", "Copy", "CompleteMultipartUpload"))
"""All events of new objects. Source: "Supported event types", Amazon S3 user guide."""
GLUE_QUOTA = "Max concurrent job runs per account"
NO_QUOTA = "the laptop cloud has no quota"


class Outcome(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One check; `advice` says what to do unless the outcome is ok."""

    name: str
    outcome: Outcome
    found: str
    advice: str | None = None


class CheckFailedError(Exception):
    """A check found a problem."""

    def __init__(self, found: str, advice: str, outcome: Outcome = Outcome.FAIL) -> None:
        super().__init__(found)
        self.found, self.advice, self.outcome = found, advice, outcome


@dataclass(frozen=True)
class DoctorReport:
    """Answer of `fanout doctor`."""

    healthy: bool
    checks: tuple[Check, ...]


@app.command(cls=Command, epilog=iam("doctor"))
def doctor(ctx: Context) -> Exit:
    """Check the deployment: settings, permissions, quotas, secret, schedule, script, clock, events, providers.

    Exit status 1 if a check fails.
    """
    checks = tuple(_run(name, check, ctx.obj.stack) for name, check in CHECKS.items())
    healthy = all(check.outcome is not Outcome.FAIL for check in checks)
    ctx.obj.show(DoctorReport(healthy, checks), _show)
    return Exit.OK if healthy else Exit.UNHEALTHY


def _show(report: DoctorReport, page: Page) -> None:
    rows = [
        (check.outcome.value, check.name, check.found + (f" -> {check.advice}" if check.advice else ""))
        for check in report.checks
    ]
    page.table(("RESULT", "CHECK", "DETAILS"), rows)


def _run(name: str, check: Callable[[Deployment], str], stack: Deployment) -> Check:
    try:
        return Check(name, Outcome.OK, check(stack))
    except CheckFailedError as failed:
        return Check(name, failed.outcome, failed.found, failed.advice)
    except EXPECTED as error:
        advice = error.advice if isinstance(error, FanoutError) else None
        return Check(name, Outcome.FAIL, str(as_operator_error(error, local=stack.is_local)), advice)


def _outputs(stack: Deployment) -> str:
    return f"{counted(len(stack.outputs), 'output')}, state machine {stack.output('StateMachineArn')}"


def _clock(stack: Deployment) -> str:
    answer = stack.client("s3").list_objects_v2(Bucket=stack.output("DataBucketName"), MaxKeys=1)
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if date is None:
        raise CheckFailedError("S3 returned no date", "check this machine's clock by hand", Outcome.WARN)
    skew = (utc_now() - parsedate_to_datetime(date).astimezone(UTC)).total_seconds()
    if abs(skew) > MAX_SKEW_SECONDS:
        raise CheckFailedError(f"this machine's clock is off by {skew:.0f} s", "synchronize the clock with NTP")
    return f"within {max(1, abs(round(skew)))} s of AWS's clock"


def _state_machine(stack: Deployment) -> str:
    found = stack.client("stepfunctions").describe_state_machine(stateMachineArn=stack.output("StateMachineArn"))
    if found.get("status", "ACTIVE") != "ACTIVE":
        raise CheckFailedError(f"its status is {found['status']}", "deploy the stack again")
    return "active"


def _schedule(stack: Deployment) -> str:
    found = stack.client("scheduler").get_schedule(Name=stack.output("ScheduleName"))
    if found["State"] != "ENABLED":
        raise CheckFailedError("the schedule is disabled: no run is started", "deploy with ScheduleState=ENABLED")
    return f"enabled, {found['ScheduleExpression']}"


def _job(stack: Deployment) -> str:
    job = stack.client("glue").get_job(JobName=stack.output("GlueJobName"))["Job"]
    allowed, wanted = job["ExecutionProperty"]["MaxConcurrentRuns"], stack.dispatching.max_concurrent_runs
    if allowed < wanted:
        raise CheckFailedError(
            f"the job allows {allowed} concurrent runs, but MaxConcurrentRuns is {wanted}", "deploy the template again"
        )
    return f"{job['Name']}, Glue {job.get('GlueVersion')}, up to {allowed} concurrent runs"


def _script(stack: Deployment) -> str:
    location = stack.client("glue").get_job(JobName=stack.output("GlueJobName"))["Job"]["Command"]["ScriptLocation"]
    bucket, key = split_uri(location)
    try:
        found = stack.client("s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            raise CheckFailedError(f"{location} not found", "deploy again, which publishes the script") from None
        raise
    return f"{location}, {found['ContentLength']:,} bytes"


def _ledger(stack: Deployment) -> str:
    live = [state for state in stack.ledger.attention() if state.lease]
    return f"readable, {counted(len(live), 'run')} in progress"


def _change_log(stack: Deployment) -> str:
    directory = stack.output("ChangeLogDir")
    found = folders(stack.client("s3"), directory)
    if not found:
        raise CheckFailedError(
            f"no provider=NAME/ folder in {directory}", "write a change log there, or set ChangeLogDir", Outcome.WARN
        )
    refused = [name for name in found if not is_name(name)]
    if refused:
        raise CheckFailedError(
            f"no run can process {len(refused)} of {counted(len(found), 'folder')}, such as {directory}/"
            f"provider={refused[0]}/: {refusal(refused[0])}",
            "copy the objects to the folder of a provider, then delete these folders",
        )
    listed = stack.config_api.entries()
    if missing := [name for name in found if name not in listed]:
        raise CheckFailedError(
            f"{len(missing)} of {counted(len(found), 'folder')} are not in the list of providers, such as {missing[0]}",
            "add them with `fanout providers discover`, or delete the folders of those who have left",
            Outcome.WARN,
        )
    return f"{directory}, {counted(len(found), 'provider')}, {_sample(stack, directory)}"


def _sample(stack: Deployment, directory: str) -> str:
    """How many of the first objects are ignored; a warning if all of them are."""
    bucket, prefix = split_uri(directory.rstrip("/") + "/provider=")
    answer = stack.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)  # 1,000 objects
    paths = [one["Key"].removeprefix(prefix).partition("/")[2] for one in answer.get("Contents", ())]
    ignored = Counter(filter(None, map(stack.planning.why_ignored, paths)))
    reasons = ", ".join(f"{count} {reason}" for reason, count in ignored.most_common())
    said = f"{ignored.total()} of the first {counted(len(paths), 'object')} ignored" + (f" ({reasons})" * bool(ignored))
    if ignored.total() == len(paths):
        raise CheckFailedError(said, "correct IgnorePattern, or the names of the objects", Outcome.WARN)
    return said


def _object_events(stack: Deployment) -> str:
    """Check that the bucket sends its events to the queue; with Discovery=poll, explain how to set that up."""
    queue = stack.output("ObjectEventsQueueArn")
    bucket, prefix = split_uri(stack.output("ChangeLogDir").rstrip("/") + "/")
    if stack.dispatching.discovery == "poll":
        if stack.planning.bookmark_mode == "glue":
            return "Discovery=poll: every due provider is started; BookmarkMode=glue requires it"
        first = "" if bucket == stack.output("DataBucketName") else f"{_notify(queue, bucket, prefix)}, then "
        return (
            "Discovery=poll: every due provider is started; to start only providers with new objects, "
            f"{first}deploy with Discovery=events"
        )
    configured = stack.client("s3").get_bucket_notification_configuration(Bucket=bucket)
    leading = [one for one in configured.get("QueueConfigurations", ()) if one["QueueArn"] == queue]
    events = {event for one in leading if _reaches(one, prefix) for event in one["Events"]}
    if f"{CREATED}*" in events or events >= WAYS_TO_CREATE:
        return f"s3://{bucket}/{prefix} sends an event for each new object to the queue"
    if not leading and ("EventBridgeConfiguration" in configured or configured.get("TopicConfigurations")):
        raise CheckFailedError(
            f"s3://{bucket} sends events to EventBridge or SNS, not to the queue itself",
            f"check that a rule or a subscription sends those of s3://{bucket}/{prefix} to {queue}",
            Outcome.WARN,
        )
    sent, left = ("only some", "the others") if leading else ("no", "new objects")
    raise CheckFailedError(
        f"s3://{bucket}/{prefix} sends {sent} events of new objects to the queue; {left} wait for the next full check, "
        f"up to {stack.dispatching.sweep_minutes} minutes",
        _notify(queue, bucket, prefix),
        Outcome.WARN if leading else Outcome.FAIL,
    )


def _reaches(one: Mapping[str, Any], prefix: str) -> bool:
    """Whether a notification covers every object with the prefix."""
    found = one.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    rules = {rule["Name"].lower(): rule["Value"] for rule in found}
    return prefix.startswith(rules.get("prefix", "")) and not rules.get("suffix")


def _notify(queue: str, bucket: str, prefix: str) -> str:
    """The command that makes a bucket send an event for every new object with a prefix to a queue."""
    rules = [{"Name": "prefix", "Value": prefix}]
    one = {"QueueArn": queue, "Events": [f"{CREATED}*"], "Filter": {"Key": {"FilterRules": rules}}}
    said = shlex.quote(json.dumps({"QueueConfigurations": [one]}))
    return (
        f"run `aws s3api put-bucket-notification-configuration --bucket {bucket} --notification-configuration {said}` "
        "(the command replaces the bucket's other notifications, so add them to the JSON document)"
    )


def _queue(stack: Deployment) -> str:
    url = stack.output("ChangesQueueUrl")
    names = ["ApproximateNumberOfMessages", "QueueArn"]
    found = stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return f"{found['QueueArn']}, about {counted(int(found['ApproximateNumberOfMessages']), 'message')}"


def _secret(stack: Deployment) -> str:
    if not stack.config_api_key().strip():
        raise CheckFailedError("the secret is empty", "store the config API's key in it, as plain text")
    return "contains a key"


def _config_api(stack: Deployment) -> str:
    entries = stack.config_api.entries()
    if faults := list(parse_entries(entries, utc_now())[1].values()):
        found = f"{len(faults)} of {counted(len(entries), 'entry', 'entries')} are invalid, such as {faults[0]}"
        raise CheckFailedError(found, faults[0].advice)
    if missing := missing_providers(stack.ledger.list_size(), len(entries)):
        raise CheckFailedError(
            f"the list has {counted(len(entries), 'provider')}, and has lost {missing}",
            "correct the list, or accept it with `fanout providers accept`",
        )
    if not entries:
        raise CheckFailedError(
            "the list of providers is empty", "add providers with `fanout providers add` or `discover`", Outcome.WARN
        )
    return f"available, {counted(len(entries), 'provider')}"


def _providers(stack: Deployment) -> str:
    overview = look(stack)
    found = ", ".join(f"{count:,} {condition}" for condition, count in overview.counts.items()) or "none"
    worst = next((health for health in overview.health if health.condition in UNHEALTHY), None)
    if worst is not None:
        raise CheckFailedError(f"{found}; for example {worst.provider}", "`fanout status` shows details", Outcome.WARN)
    return found


def _quarantine(stack: Deployment) -> str:
    if found := " ".join(look_into(stack).sentences()):
        where = f"s3://{stack.data_bucket}/quarantine/"
        raise CheckFailedError(found, f"correct the causes, replay, and delete the folders in {where}", Outcome.WARN)
    return "empty"


def _glue_quota(stack: Deployment) -> str:
    if stack.is_local:
        return NO_QUOTA
    for page in stack.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="glue"):
        for quota in page["Quotas"]:
            if quota["QuotaName"].lower() == GLUE_QUOTA.lower():
                return _enough(stack, quota["Value"], "concurrent Glue job runs")
    raise CheckFailedError(
        f"no quota named {GLUE_QUOTA}", "check Service Quotas, AWS Glue, in the AWS console", Outcome.WARN
    )


def _lambda_quota(stack: Deployment) -> str:
    if stack.is_local:
        return NO_QUOTA
    limits = stack.client("lambda").get_account_settings()["AccountLimit"]
    return _enough(stack, limits["UnreservedConcurrentExecutions"], "concurrent Lambda invocations")


def _enough(stack: Deployment, quota: float, what: str) -> str:
    wanted = stack.dispatching.max_concurrent_runs
    if quota < wanted:
        raise CheckFailedError(
            f"the account allows {quota:.0f} {what}, but MaxConcurrentRuns is {wanted}",
            "request an increase in Service Quotas, or lower MaxConcurrentRuns",
        )
    return f"up to {quota:.0f} {what}; MaxConcurrentRuns is {wanted}"


CHECKS: dict[str, Callable[[Deployment], str]] = {
    "stack": _outputs,
    "clock": _clock,
    "state machine": _state_machine,
    "schedule": _schedule,
    "Glue job": _job,
    "job script": _script,
    "run ledger": _ledger,
    "change log": _change_log,
    "object events": _object_events,
    "queue": _queue,
    "secret": _secret,
    "config API": _config_api,
    "providers": _providers,
    "quarantine": _quarantine,
    "Glue quota": _glue_quota,
    "Lambda quota": _lambda_quota,
}
"""Name -> the check, which returns what it found, or raises. A check that fails does not stop the others."""
