"""Runs a case of the golden corpus and returns its results as plain data that is the same at every run."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import boto3

from tests.integration.job.golden.cases import Case
from tests.integration.job.harness import DATA, PROVIDER, SCRIPT, Harness, Outcome

EXPECTED = Path(__file__).parent / "expected"
SHOWN_BYTES = 4_000
"""The corpus records only size and hash of an object longer than this."""


def observed(case: Case, engine: str, folder: Path) -> dict[str, Any]:
    """Run a case on one engine, in a moto cloud that has only an empty data bucket."""
    queue_url, settings = _target(case)
    job = Harness(engine, queue_url)
    manifest = job.plan([job.put(name, body) for name, body in sorted(case.files.items())])
    _disturb(case, job, manifest)
    outcome = job.run_manifest(manifest, _script(case, folder), **{**settings, **case.settings})
    result = {name: value for name, value in outcome.result.items() if name not in ("seconds", "workers", "engine")}
    return {
        "result": result,
        "raised": f"{type(outcome.error).__name__}: {outcome.error}" if outcome.error else None,
        "messages": _messages(case, outcome),
        "objects": {
            key: _shown(job.read(key)) for prefix in ("quarantine/", "claim-check/") for key in job.keys_below(prefix)
        },
    }


def path_of(case: Case) -> Path:
    """The file of the corpus that has the expected results of a case."""
    return EXPECTED / f"{case.name.replace(',', '').replace(' ', '_')}.json"


def as_text(made: dict[str, dict[str, Any]]) -> str:
    """Format the results of a case: by engine, or once if the engines agree."""
    values = list(made.values())
    kept = {"both engines": values[0]} if len(values) == 2 and values[0] == values[1] else made
    text = json.dumps(kept, indent=1, ensure_ascii=True, sort_keys=True) + "\n"
    return re.sub(r" at \w+\.py:\d+", " at FILE:LINE", text)  # line numbers may change without a change of behavior


def _target(case: Case) -> tuple[str, dict[str, str]]:
    sqs = boto3.client("sqs")
    attributes = {"FifoQueue": "true"} if case.ordered else {}
    url = sqs.create_queue(QueueName="golden.fifo" if case.ordered else "golden", Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    if case.target == "topic":
        sns = boto3.client("sns")
        topic = sns.create_topic(Name="golden")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
        return url, {"queue_url": topic}
    if case.target == "bus":
        events = boto3.client("events")
        bus = events.create_event_bus(Name="golden")["EventBusArn"]
        events.put_rule(Name="all", EventBusName="golden", EventPattern='{"source": ["glue-fanout"]}')
        events.put_targets(Rule="all", EventBusName="golden", Targets=[{"Id": "queue", "Arn": arn}])
        return url, {"queue_url": bus}
    return url, {}


def _disturb(case: Case, job: Harness, manifest: str) -> None:
    key = f"change_log/provider={PROVIDER}/a.json"
    if case.after_plan == "overwritten":
        job.s3.put_object(Bucket=DATA, Key=key, Body=b"something else")
    elif case.after_plan == "deleted":
        job.s3.delete_object(Bucket=DATA, Key=key)
    at = manifest.removeprefix(f"s3://{DATA}/")
    if case.manifest == "of another provider":
        job.s3.put_object(Bucket=DATA, Key=at, Body=job.read(at).replace(b'"acme"', b'"other"'))
    elif case.manifest == "no manifest":
        job.s3.put_object(Bucket=DATA, Key=at, Body=b"canary")
    elif case.manifest == "missing":
        job.s3.delete_object(Bucket=DATA, Key=at)


def _script(case: Case, folder: Path) -> Path:
    """The job's script, with the case's ETL in it."""
    text = SCRIPT.read_text()
    for before, after in (("    return change.data\n", case.transform), (ETL_LINE, case.etl)):
        if after:
            assert text.count(before) == 1
            text = text.replace(before, after)
    script = folder / "change_log.py"
    script.write_text(text)
    return script


ETL_LINE = "etl: Callable[[DataFrame], DataFrame] | None = None\n"


def _messages(case: Case, outcome: Outcome) -> Any:
    """The messages: by group in order of arrival if the queue is FIFO, else sorted."""
    if case.ordered:
        groups: dict[str, list[dict[str, str]]] = defaultdict(list)
        for message in outcome.messages:
            attributes = message["Attributes"]
            groups[attributes["MessageGroupId"]].append(
                {"deduplication id": attributes["MessageDeduplicationId"], "body": message["Body"]}
            )
        return groups
    if case.target == "bus":
        events = [json.loads(body) for body in outcome.bodies]
        shown = [{name: event[name] for name in ("source", "detail-type", "detail")} for event in events]
        return sorted(json.dumps(event, sort_keys=True) for event in shown)
    return outcome.bodies


def _shown(body: bytes) -> str:
    if len(body) > SHOWN_BYTES:
        return f"{len(body)} bytes, sha256 {hashlib.sha256(body).hexdigest()}"
    try:
        return body.decode()
    except UnicodeDecodeError:
        return "base64 " + base64.b64encode(body).decode()
