"""`fanout doctor`: each check tries what a run or an operator will need, and changes nothing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from cli.command import Operator, utc_now
from cli.deployment import Deployment
from cli.errors import EXPECTED, Exit, as_operator_error
from cli.output import Page, counted
from fanout.manifests import split_uri
from fanout.providers import parse_entries

MAX_SKEW_SECONDS = 60.0
"""AWS refuses signatures that are five minutes off; a minute is a clock that nobody sets."""
CREATED = "s3:ObjectCreated:"
WAYS_TO_CREATE = frozenset(CREATED + way for way in ("Put", "Post", "Copy", "CompleteMultipartUpload"))
"""A notification that lists all of these leaves out nothing. Source: "Supported event types", Amazon S3 user guide."""
GLUE_QUOTA = "Max concurrent job runs per account"


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `advice` says what to do unless it is ok."""

    name: str
    verdict: Verdict
    found: str
    advice: str | None = None


class CheckFailedError(Exception):
    """What was looked at is not as it has to be."""

    def __init__(self, found: str, advice: str, verdict: Verdict = Verdict.FAIL) -> None:
        super().__init__(found)
        self.found, self.advice, self.verdict = found, advice, verdict


@dataclass(frozen=True)
class DoctorReport:
    """Every check."""

    healthy: bool
    checks: tuple[Check, ...]


def doctor(op: Operator) -> Exit:
    """Check the deployment: settings, permissions, quotas, secret, schedule, script, clock, object events.

    Exits with status 1 if a check fails.
    """
    checks = tuple(_done(name, check, op.stack) for name, check in CHECKS.items())
    healthy = all(check.verdict is not Verdict.FAIL for check in checks)
    op.show(DoctorReport(healthy, checks), _show)
    return Exit.OK if healthy else Exit.UNHEALTHY


def _show(report: DoctorReport, page: Page) -> None:
    rows = [
        (check.verdict.value, check.name, check.found + (f" -> {check.advice}" if check.advice else ""))
        for check in report.checks
    ]
    page.table(("", "CHECK", "FOUND"), rows)


def _done(name: str, check: Callable[[Deployment], str], stack: Deployment) -> Check:
    try:
        return Check(name, Verdict.OK, check(stack))
    except CheckFailedError as failed:
        return Check(name, failed.verdict, failed.found, failed.advice)
    except EXPECTED as error:
        return Check(name, Verdict.FAIL, str(as_operator_error(error, local=stack.is_local)))


def _outputs(stack: Deployment) -> str:
    return f"{counted(len(stack.outputs), 'output')}, state machine {stack.output('StateMachineArn')}"


def _clock(stack: Deployment) -> str:
    answer = stack.client("s3").list_objects_v2(Bucket=stack.output("DataBucketName"), MaxKeys=1)
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if date is None:
        raise CheckFailedError("the service sends no Date", "compare this machine's clock by hand", Verdict.WARN)
    skew = (utc_now() - parsedate_to_datetime(date).astimezone(UTC)).total_seconds()
    if abs(skew) > MAX_SKEW_SECONDS:
        raise CheckFailedError(f"this machine's clock is off by {skew:.0f} s", "set the clock, best by NTP")
    return f"within {max(1, abs(round(skew)))} s of the service's"


def _state_machine(stack: Deployment) -> str:
    found = stack.client("stepfunctions").describe_state_machine(stateMachineArn=stack.output("StateMachineArn"))
    if found.get("status", "ACTIVE") != "ACTIVE":
        raise CheckFailedError(f"it is {found['status']}", "deploy the stack again")
    return "active"


def _schedule(stack: Deployment) -> str:
    found = stack.client("scheduler").get_schedule(Name=stack.output("ScheduleName"))
    if found["State"] != "ENABLED":
        raise CheckFailedError("the schedule is off: nothing is started", "deploy with ScheduleState=ENABLED")
    return f"on, {found['ScheduleExpression']}"


def _job(stack: Deployment) -> str:
    job = stack.client("glue").get_job(JobName=stack.output("GlueJobName"))["Job"]
    allowed, wanted = job["ExecutionProperty"]["MaxConcurrentRuns"], stack.dispatching.max_concurrent_runs
    if allowed < wanted:
        raise CheckFailedError(
            f"the job takes {allowed} runs at once, the dispatcher starts {wanted}", "deploy the template as it is"
        )
    return f"{job['Name']}, Glue {job.get('GlueVersion')}, up to {allowed} runs at once"


def _script(stack: Deployment) -> str:
    location = stack.client("glue").get_job(JobName=stack.output("GlueJobName"))["Job"]["Command"]["ScriptLocation"]
    bucket, key = split_uri(location)
    try:
        found = stack.client("s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            raise CheckFailedError(f"there is nothing at {location}", "deploy again, which publishes it") from None
        raise
    return f"{location}, {found['ContentLength']:,} bytes"


def _ledger(stack: Deployment) -> str:
    live = [state for state in stack.ledger.attention() if state.lease]
    return f"readable, {counted(len(live), 'run')} under way"


def _change_log(stack: Deployment) -> str:
    directory = stack.output("ChangeLogDir")
    bucket, prefix = split_uri(directory.rstrip("/") + "/")
    answer = stack.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix + "provider=", Delimiter="/", MaxKeys=100)
    folders = len(answer.get("CommonPrefixes", ()))
    if not folders:
        raise CheckFailedError(
            f"there is no provider=NAME/ below {directory}", "put a change log there, or set ChangeLogDir", Verdict.WARN
        )
    return f"{directory}, {counted(folders, 'provider')}{' or more' if answer.get('IsTruncated') else ''}"


def _object_events(stack: Deployment) -> str:
    """Check that the bucket sends its events to the queue; with Discovery=poll, say how to set that up."""
    queue = stack.output("ObjectEventsQueueArn")
    bucket, prefix = split_uri(stack.output("ChangeLogDir").rstrip("/") + "/")
    if stack.dispatching.discovery == "poll":
        if stack.planning.bookmark_mode == "glue":
            return "Discovery=poll: every due provider is started; BookmarkMode=glue allows no other"
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
    sent, left = ("only some", "the others") if leading else ("no", "new objects")
    raise CheckFailedError(
        f"s3://{bucket}/{prefix} sends {sent} events of new objects to the queue; {left} wait for the sweep, "
        f"up to {stack.dispatching.sweep_minutes} minutes",
        _notify(queue, bucket, prefix),
        Verdict.WARN if leading else Verdict.FAIL,
    )


def _reaches(one: Mapping[str, Any], prefix: str) -> bool:
    """Whether a notification leaves out no object below the prefix."""
    found = one.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    rules = {rule["Name"].lower(): rule["Value"] for rule in found}
    return prefix.startswith(rules.get("prefix", "")) and not rules.get("suffix")


def _notify(queue: str, bucket: str, prefix: str) -> str:
    """How to have a bucket tell a queue of every object that is created below the prefix."""
    rules = [{"Name": "prefix", "Value": prefix}]
    one = {"QueueArn": queue, "Events": [f"{CREATED}*"], "Filter": {"Key": {"FilterRules": rules}}}
    said = shlex.quote(json.dumps({"QueueConfigurations": [one]}))
    return (
        f"run `aws s3api put-bucket-notification-configuration --bucket {bucket} --notification-configuration {said}` "
        "(it replaces the bucket's other notifications: add them)"
    )


def _queue(stack: Deployment) -> str:
    url = stack.output("ChangesQueueUrl")
    names = ["ApproximateNumberOfMessages", "QueueArn"]
    found = stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return f"{found['QueueArn']}, about {counted(int(found['ApproximateNumberOfMessages']), 'message')}"


def _secret(stack: Deployment) -> str:
    if not stack.config_api_key().strip():
        raise CheckFailedError("the secret is empty", "put the config API's key into it, nothing else")
    return "holds a key"


def _config_api(stack: Deployment) -> str:
    entries = stack.config_api.entries()
    if faults := list(parse_entries(entries, utc_now())[1].values()):
        raise CheckFailedError(f"unusable are {len(faults)} of {len(entries)}, such as {faults[0]}", "mend the entries")
    if not entries:
        raise CheckFailedError("it lists no providers", "fanout providers discover, or add", Verdict.WARN)
    return f"answers, {counted(len(entries), 'provider')}"


def _glue_quota(stack: Deployment) -> str:
    wanted = stack.dispatching.max_concurrent_runs
    if stack.is_local:
        return "the laptop cloud has none"
    for page in stack.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="glue"):
        for quota in page["Quotas"]:
            if quota["QuotaName"].lower() == GLUE_QUOTA.lower():
                return _enough(quota["Value"], wanted, "concurrent Glue job runs")
    raise CheckFailedError("the quota is not listed", "look at Service Quotas, AWS Glue, in the console", Verdict.WARN)


def _lambda_quota(stack: Deployment) -> str:
    wanted = stack.dispatching.max_concurrent_runs
    if stack.is_local:
        return "the laptop cloud has none"
    limits = stack.client("lambda").get_account_settings()["AccountLimit"]
    return _enough(limits["UnreservedConcurrentExecutions"], wanted, "concurrent Lambda invocations")


def _enough(quota: float, wanted: int, what: str) -> str:
    if quota < wanted:
        raise CheckFailedError(
            f"the account allows {quota:.0f} {what}, MaxConcurrentRuns is {wanted}",
            "ask for more in Service Quotas, or lower MaxConcurrentRuns",
        )
    return f"{quota:.0f} {what}, MaxConcurrentRuns is {wanted}"


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
    "Glue quota": _glue_quota,
    "Lambda quota": _lambda_quota,
}
"""Name -> what looks at it and says what it found, or raises; one that fails stops no other."""
