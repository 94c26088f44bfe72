"""The smoke test's own provider: its entry, its objects, and everything that is left of it afterwards."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from cli.command import utc_now
from cli.deployment import Deployment
from cli.purge import delete_items, delete_versions
from cli.registry import NEW
from contract.times import format_iso, parse_iso
from contract.uris import runs_dir, split_uri
from fanout.errors import ConfigApiAnswerError
from fanout.schedule import slug
from tests.cloud.report import NotCheckedError
from tests.harness.waiting import eventually

PROVIDER = "fanout-smoke-test"
"""Reserved for the smoke test; two tests of one stack exclude each other by its entry in the config API."""
RESERVED = timedelta(minutes=15)
"""How long a test that was killed keeps the entry; the next test takes it over afterwards."""
ENDS = "smoke_test_ends"
"""The field of the entry that says until when it is reserved."""
END_SECONDS = 60.0
"""How long clean-up waits for a run in progress, and for object events."""


class Guest:
    """The provider of one smoke test.

    Parameters
    ----------
    stack
        The stack.
    token
        Part of every name that this test makes.
    """

    def __init__(self, stack: Deployment, token: str) -> None:
        self._stack, self._token = stack, token
        self._entered = False
        self.keys: list[str] = []
        self.bucket, root = split_uri(stack.output("ChangeLogDir").rstrip("/") + "/")
        self._prefix = f"{root}provider={PROVIDER}/"

    def enter(self) -> str:
        """Add the provider to the built-in config API, paused. Your own config API is never changed.

        Raises
        ------
        NotCheckedError
            Your own config API does not list the provider, or another smoke test runs.
        """
        if not self._built_in():
            if PROVIDER in self._stack.config_api.entries():
                return "your config API lists it"
            raise NotCheckedError(f"the config API is your own; add {PROVIDER} to it, with a frequency of 1 minute")
        entry = {"frequency": 1, "paused": True, ENDS: format_iso(utc_now() + RESERVED)}
        self._entered = True  # before the request, which an interrupt may follow at once
        try:
            self._change("PUT", entry, NEW)
        except ConfigApiAnswerError as error:
            if error.status != 412:
                raise
            ends = self._reserved_until()
            if ends is None or ends > utc_now():
                self._entered = False
                until = f"runs until {format_iso(ends)} at the latest" if ends else "is not of a smoke test; remove it"
                raise NotCheckedError(f"the entry {PROVIDER} exists and {until}") from None
            self._change("PUT", entry)
        return "added to the config API"

    def pause(self, paused: bool) -> None:
        """Pause or resume the provider in the built-in config API."""
        if self._entered:
            self._change("PATCH", {"paused": paused or None})

    def write(self, name: str, lines: Iterable[bytes]) -> tuple[str, datetime]:
        """Write an object; return its S3 URI and its LastModified."""
        pattern = self._stack.planning.key_time_format
        folder = f"{utc_now():{pattern}}" if pattern else ""
        key, s3 = f"{self._prefix}{folder}{name}-{self._token}.json.gz", self._stack.client("s3")
        self.keys.append(key)
        s3.put_object(Bucket=self.bucket, Key=key, Body=gzip.compress(b"".join(line + b"\n" for line in lines)))
        modified: datetime = s3.head_object(Bucket=self.bucket, Key=key)["LastModified"]
        return f"s3://{self.bucket}/{key}", modified

    def rows(self, count: int) -> dict[str, bytes]:
        """Id -> row, a record of a DynamoDB stream."""
        return {f"{PROVIDER}-{self._token}-{n}": row(f"{PROVIDER}-{self._token}-{n}", n) for n in range(count)}

    def executions(self, **which: str) -> dict[str, str]:
        """Name -> ARN of the provider's newest executions."""
        found = self._stack.client("stepfunctions").list_executions(
            stateMachineArn=self._stack.output("StateMachineArn"), maxResults=1000, **which
        )
        named = {one["name"]: one["executionArn"] for one in found["executions"]}
        return {name: arn for name, arn in named.items() if name.startswith(f"{slug(PROVIDER)}-")}

    def leave(self, take_messages: Callable[[], None] = lambda: None) -> list[str]:
        """Remove everything that the test made; return what could not be removed, and why.

        The entry goes last: without it, pending objects would count as those of an unlisted provider.

        Parameters
        ----------
        take_messages
            Removes the test's messages from the queue; called when no run can send more of them.
        """
        if not self._entered and not self.keys:
            return []
        bucket = self._stack.data_bucket
        steps: dict[str, Callable[[], None]] = {
            "runs in progress": self._end_runs,
            "messages": take_messages,
            "objects": lambda: self._delete(f"s3://{self.bucket}/{self._prefix}"),
            "run folders": lambda: self._delete(runs_dir(bucket, PROVIDER)),
            "quarantined records": lambda: self._delete(f"s3://{bucket}/quarantine/provider={PROVIDER}/"),
            "ledger items": self._forget,
            "entry": self._unlist,
        }
        left = []
        for what, step in steps.items():
            try:
                step()
            except Exception as error:  # noqa: BLE001 - whatever fails, the other things are removed
                left.append(f"{what} ({error})")
        return left

    def _end_runs(self) -> None:
        with contextlib.suppress(ConfigApiAnswerError):
            self.pause(True)
        with contextlib.suppress(TimeoutError):
            eventually(lambda: not self.executions(statusFilter="RUNNING"), seconds=END_SECONDS, every=1)
        for arn in self.executions(statusFilter="RUNNING").values():
            self._stack.client("stepfunctions").stop_execution(executionArn=arn, cause="end of the smoke test")

    def _delete(self, folder: str) -> None:
        delete_versions(self._stack.client("s3"), folder)

    def _forget(self) -> None:
        """Delete the ledger's items, after the last object event: a later one would count as pending again."""
        if self._stack.dispatching.discovery == "events":
            with contextlib.suppress(TimeoutError):
                eventually(self._announced, seconds=END_SECONDS, every=1)
        delete_items(self._stack, self._stack.ledger.get(PROVIDER))

    def _announced(self) -> bool:
        return self._stack.pending.of(PROVIDER).pending_count >= len(self.keys)

    def _unlist(self) -> None:
        if self._entered:
            try:
                self._change("DELETE")
            except ConfigApiAnswerError as error:
                if error.status != 404:
                    raise

    def _change(self, method: str, body: Any = None, headers: Any = None) -> None:
        self._stack.config_api.change(method, PROVIDER, body, headers)

    def _reserved_until(self) -> datetime | None:
        """Until when another test has reserved the entry; None if the entry is of something else."""
        entry = self._stack.config_api.entries().get(PROVIDER)
        try:
            return parse_iso(entry[ENDS]) if isinstance(entry, dict) else None
        except (KeyError, ValueError):
            return None

    def _built_in(self) -> bool:
        """Whether the stack has the built-in config API: its function."""
        name = self._stack.output("DispatchFunctionName").removesuffix("dispatch") + "config_api"
        try:
            self._stack.client("lambda").get_function_configuration(FunctionName=name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return False
        return True


def row(id_: str, number: int) -> bytes:
    """A record of a DynamoDB stream."""
    record = {
        "eventID": id_,
        "eventName": "INSERT",
        "eventSource": "aws:dynamodb",
        "dynamodb": {
            "ApproximateCreationDateTime": int(utc_now().timestamp()),
            "Keys": {"id": {"S": id_}},
            "NewImage": {"id": {"S": id_}, "number": {"N": str(number)}},
            "SequenceNumber": str(number),
            "StreamViewType": "NEW_IMAGE",
        },
    }
    return json.dumps(record).encode()
