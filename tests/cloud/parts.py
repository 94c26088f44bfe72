"""Looks at each part of a deployed stack without changing anything, before the smoke test runs a provider."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError

from cli.command import utc_now
from cli.commands.doctor import CHECKS, CheckFailedError
from cli.deployment import Deployment
from cli.logs import ticks
from cli.output import counted
from contract.uris import split_uri
from tests.cloud.report import BrokenError

MISSED_TICKS = 3
"""So many periods without a tick mean that the schedule does not reach the dispatcher; a tick may take one period."""


def config_api(stack: Deployment) -> str:
    """The list of providers can be read with the key in the secret."""
    return f"lists {counted(len(stack.config_api.entries()), 'provider')}"


def schedule(stack: Deployment) -> str:
    """The schedule is enabled, invokes the dispatcher, and has done so if it is old enough."""
    found = stack.client("scheduler").get_schedule(Name=stack.output("ScheduleName"))
    if found["State"] != "ENABLED":
        raise BrokenError("the schedule is disabled, so no provider runs; deploy with ScheduleState=ENABLED")
    target, dispatcher = found["Target"]["Arn"].rpartition(":")[2], stack.output("DispatchFunctionName")
    if target != dispatcher:
        raise BrokenError(f"the schedule invokes {target} instead of {dispatcher}; deploy the stack again")
    period = timedelta(minutes=stack.dispatching.tick_minutes)
    now = utc_now()
    changed = found.get("LastModificationDate") or found.get("CreationDate") or now
    if changed < now - MISSED_TICKS * period and not ticks(stack, now - MISSED_TICKS * period, now):
        raise BrokenError(
            f"no tick ended within {MISSED_TICKS} periods; look for ticks in the queue of undelivered events"
        )
    return f"enabled, {found['ScheduleExpression']}, invokes {dispatcher}"


def queue(stack: Deployment) -> str:
    """The queue and its dead-letter queue exist, and both engines send to the stack's target."""
    url = stack.output("ChangesQueueUrl")
    found = _attributes(stack, url)
    dead = json.loads(found["RedrivePolicy"])["deadLetterTargetArn"].rpartition(":")[2]
    stack.client("sqs").get_queue_url(QueueName=dead)
    targets = {
        "LambdaRunFunction": stack.environment("LambdaRunFunctionName").get("QUEUE_URL"),
        "the Glue job": _job(stack)["DefaultArguments"].get("--queue_url"),
    }
    if len(set(targets.values())) > 1:
        raise BrokenError(f"{' but '.join(f'{who} sends to {target}' for who, target in targets.items())}")
    target = str(targets["the Glue job"])
    if not target.startswith("arn:") and target != url:
        raise BrokenError(f"the job sends to {target}, but the stack's queue is {url}; deploy the stack again")
    return f"{target.rpartition('/')[2]}, dead letters go to {dead}"


def ledger(stack: Deployment) -> str:
    """The run ledger can be read."""
    return CHECKS["run ledger"](stack)


def job(stack: Deployment) -> str:
    """The function and the Glue job exist, and the files of the Glue job are in the bucket."""
    stack.environment("LambdaRunFunctionName")
    files = [_job(stack)["Command"]["ScriptLocation"], *_job(stack)["DefaultArguments"]["--extra-py-files"].split(",")]
    for uri in files:
        bucket, key = split_uri(uri)
        try:
            stack.client("s3").head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            raise BrokenError(f"{uri} not found; deploy again, which publishes it") from None
    return CHECKS["Glue job"](stack)


PARTS: Mapping[str, Callable[[Deployment], str]] = {
    "config API": config_api,
    "schedule": schedule,
    "queue": queue,
    "run ledger": ledger,
    "job": job,
}
"""Name -> what looks at the part; it returns what it found, or raises BrokenError or one of `cli.errors.EXPECTED`."""
FAILURES = (BrokenError, CheckFailedError)


def _attributes(stack: Deployment, url: str) -> dict[str, str]:
    found = stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    return dict(found["Attributes"])


def _job(stack: Deployment) -> dict[str, Any]:
    return dict(stack.client("glue").get_job(JobName=stack.output("GlueJobName"))["Job"])
