"""Runs the job on either engine against moto's API: objects in, messages and a result out."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import runpy
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from contract.manifest import NO_MANIFEST, Manifest, StoredObject
from contract.result import JobResult
from contract.uris import manifest_uri, result_uri, runs_dir, split_uri

SCRIPT = Path(__file__).parents[3] / "glue" / "change_log.py"
MODULES = os.pathsep.join(map(str, SCRIPT.parents[:2]))
"""A PYTHONPATH with the contents of Lambda's package and of Glue's zip: the jobs' library and the contract."""
DATA = "data"
PROVIDER = "acme"


PLANNED_AT = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)


def manifest_of(run_id: str, objects: Iterable[StoredObject]) -> Manifest:
    """Return the manifest that a claim would write."""
    return Manifest(
        provider=PROVIDER, run_id=run_id, generation=1, created_at=PLANNED_AT, bucket=DATA, objects=tuple(objects)
    )


@dataclass
class Outcome:
    """The error, result and messages of a run."""

    error: BaseException | None
    result: dict[str, Any]
    messages: list[dict[str, Any]]
    """As received: the API's entries, whose Body is the CloudEvent."""
    returned: Any = None

    @property
    def bodies(self) -> list[str]:
        """The messages, sorted, so that two engines can be compared byte for byte."""
        return sorted(message["Body"] for message in self.messages)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    @property
    def ids(self) -> list[str]:
        return sorted(event["id"] for event in self.events)


class Context:
    """The part of Lambda's context that the handler uses."""

    def __init__(self, seconds: float = 600) -> None:
        self.deadline = time.monotonic() + seconds  # noqa: TID251 - as Lambda's context does

    def get_remaining_time_in_millis(self) -> int:
        return int((self.deadline - time.monotonic()) * 1000)  # noqa: TID251 - as above


@dataclass
class Harness:
    """One provider's change log, and the queue that gets its messages."""

    engine: str
    queue_url: str
    runs: int = 0
    keys: list[str] = field(default_factory=list)
    seconds: float = 600

    def __post_init__(self) -> None:
        self.s3, self.sqs = boto3.client("s3"), boto3.client("sqs")

    def put(self, name: str, body: bytes) -> StoredObject:
        """Put an object into the change log; return its manifest entry."""
        key = f"change_log/provider={PROVIDER}/{name}"
        self.s3.put_object(Bucket=DATA, Key=key, Body=body)
        head = self.s3.head_object(Bucket=DATA, Key=key)
        return StoredObject(key, len(body), head["ETag"].strip('"'), head["LastModified"])

    def plan(self, objects: list[StoredObject]) -> str:
        """Write the manifest of a run; return its URI."""
        self.runs += 1
        manifest = manifest_of(f"run-{self.runs}", objects)
        uri = manifest_uri(f"{runs_dir(DATA, PROVIDER)}run-{self.runs}/")
        self.s3.put_object(Bucket=DATA, Key=split_uri(uri)[1], Body=manifest.to_json())
        return uri

    def run(self, files: Mapping[str, bytes], script: Path = SCRIPT, **settings: str) -> Outcome:
        """Put objects, plan a run over them, and run it."""
        return self.run_manifest(self.plan([self.put(name, body) for name, body in files.items()]), script, **settings)

    def run_manifest(self, manifest: str, script: Path = SCRIPT, **settings: str) -> Outcome:
        """Run a manifest; the outcome has the queue's messages."""
        run_id = manifest.split("/")[-2] if manifest != NO_MANIFEST else "bookmarked"
        return self.run_claim(manifest, run_id, f"{runs_dir(DATA, PROVIDER)}{run_id}/", script, **settings)

    def run_claim(self, manifest: str, run_id: str, run_dir: str, script: Path = SCRIPT, **settings: str) -> Outcome:
        """Run a claim's plan."""
        standing = {"queue_url": self.queue_url, "env": "test", "data_bucket": DATA, **settings}
        per_run = {"provider": PROVIDER, "run_id": run_id, "manifest": manifest, "run_dir": run_dir}
        error, returned = None, None
        try:
            if self.engine == "lambda":
                returned = self.run_in_lambda(script, per_run, standing)
            else:
                self.run_glue(script, per_run | standing)
        except Exception as raised:  # noqa: BLE001 - the engine would report any error
            error = raised
        return Outcome(error, self.result(run_id, run_dir), self.received(), returned)

    def run_in_lambda(self, script: Path, event: dict[str, str], environment: dict[str, str]) -> Any:
        """Import the file as a module and call its handler, as Lambda does."""
        spec = importlib.util.spec_from_file_location("change_log_under_test", script)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        with changed_environment({name.upper(): value for name, value in environment.items()}):
            return module.handler(event, Context(self.seconds))

    def run_glue(self, script: Path, arguments: dict[str, str]) -> None:
        """Run the file as a script, as Glue does, in the session's Spark."""
        argv = [str(script), *(part for name, value in arguments.items() for part in (f"--{name}", value))]
        before, sys.argv = sys.argv, argv
        try:
            runpy.run_path(str(script), run_name="__main__")
        finally:
            sys.argv = before

    def result(self, run_id: str, run_dir: str | None = None) -> dict[str, Any]:
        """Return the result that the run has written, or {}."""
        try:
            key = split_uri(result_uri(run_dir or f"{runs_dir(DATA, PROVIDER)}{run_id}/"))[1]
            body = self.s3.get_object(Bucket=DATA, Key=key)["Body"].read()
            JobResult.from_json(body)
            found: dict[str, Any] = json.loads(body)
            return found
        except self.s3.exceptions.NoSuchKey:
            return {}

    def received(self) -> list[dict[str, Any]]:
        """Take all messages off the queue, in order."""
        taken: list[dict[str, Any]] = []
        while True:
            got = self.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10, AttributeNames=["All"])
            if not (messages := got.get("Messages", [])):
                return taken
            taken += messages
            handles = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
            self.sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=handles)

    def keys_below(self, prefix: str) -> list[str]:
        """List the data bucket."""
        return [o["Key"] for o in self.s3.list_objects_v2(Bucket=DATA, Prefix=prefix).get("Contents", [])]

    def read(self, key: str) -> bytes:
        """Read from the data bucket."""
        body: bytes = self.s3.get_object(Bucket=DATA, Key=key)["Body"].read()
        return body


@contextlib.contextmanager
def changed_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables within a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
