"""Objects that S3 does not return are bad, broken connections resume, and defects name their object."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError
from urllib3.exceptions import SSLError

from contract.failure import Failure
from contract.manifest import PlannedObject
from fanout_job import objects
from fanout_job.delivery import Delivery
from fanout_job.engines import each_in_this_process
from fanout_job.messages import encode
from fanout_job.task import Source, guarded
from tests.unit.job.records import SETTINGS, line, stream

BODY = b"\n".join(line({**stream(), "eventID": f"e-{n}"}) for n in range(40))


class Body:
    """A body that breaks once, after some bytes."""

    def __init__(self, rest: bytes, fault: Exception | None) -> None:
        self.rest, self.fault = rest, fault

    def read(self, amount: int) -> bytes:
        if self.fault is not None and len(self.rest) < len(BODY) // 2:
            fault, self.fault = self.fault, None
            raise fault
        given, self.rest = self.rest[: min(amount, 1_000)], self.rest[min(amount, 1_000) :]
        return given


class Store:
    """S3 in memory, with refused objects and one fault in the middle of each body."""

    def __init__(self, refused: dict[str, ClientError], fault: Exception | None = None) -> None:
        self.refused, self.fault = refused, fault
        self.ranges: list[str] = []
        self.put: dict[str, bytes] = {}

    def get_object(self, Bucket: str, Key: str, IfMatch: str, Range: str = "") -> dict[str, Any]:  # noqa: N803
        if Key in self.refused:
            raise self.refused[Key]
        start = int(Range.removeprefix("bytes=").removesuffix("-") or 0)
        self.ranges.append(Range)
        fault, self.fault = self.fault, None
        return {"Body": Body(BODY[start:], fault)}

    def put_object(self, Key: str, Body: bytes, **how: str) -> None:  # noqa: N803 - boto3's names
        self.put[Key] = Body


def refused(code: str, status: int = 403, message: str = "Access Denied") -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")


def planned(*keys: str) -> list[PlannedObject]:
    return [PlannedObject("data", key, len(BODY), "etag", index) for index, key in enumerate(keys)]


def delivered(store: Store, keys: str, on_bad_record: str = "fail") -> tuple[Delivery, list[str]]:
    task = Delivery(replace(SETTINGS, on_bad_record=on_bad_record), lambda change: change.data)
    task.s3 = task.maker.s3 = store
    ids: list[str] = []
    with guarded(task):
        ids += [message.id for message in task.messages(planned(*keys))]
    return task, ids


REFUSED = {
    "archived": (refused("InvalidObjectState"), "is archived (InvalidObjectState)", "restore-object"),
    "no access, or requester pays": (refused("AccessDenied"), "access is denied (AccessDenied)", "s3:GetObject"),
    "no right to the key": (
        refused("AccessDenied", message="User: x is not authorized to perform: kms:Decrypt on the resource"),
        "cannot be decrypted (AccessDenied)",
        "kms:Decrypt",
    ),
    "a disabled key": (
        refused("KMS.DisabledException", 400, "key is disabled"),
        "cannot be decrypted (KMS.DisabledException)",
        "kms:Decrypt",
    ),
    "a key of the client": (
        refused("InvalidRequest", 400, "The object was stored using a form of Server Side Encryption."),
        "cannot be decrypted (InvalidRequest)",
        "kms:Decrypt",
    ),
    "another code": (refused("MethodNotAllowed", 405), "access is denied (MethodNotAllowed)", "s3:GetObject"),
}


@pytest.mark.fault(42)
@pytest.mark.parametrize("case", REFUSED)
def test_an_object_that_cannot_be_read_is_bad_and_the_others_are_sent(case: str) -> None:
    error, message, advice = REFUSED[case]
    task, ids = delivered(Store({"b": error}), "abc")
    [failure] = task.tally.failures

    assert (failure.type, failure.object, failure.line) == ("UnreadableObjectError", "s3://data/b", None)
    assert (failure.message, failure.transient) == (message, False)
    assert advice in failure.advice
    assert (len(ids), task.tally.objects) == (80, 2)


@pytest.mark.fault(42)
@pytest.mark.parametrize("case", REFUSED)
def test_quarantine_notes_an_object_that_cannot_be_read(case: str) -> None:
    store = Store({"b": REFUSED[case][0]})
    task, ids = delivered(store, "abc", "quarantine")
    [(key, note)] = store.put.items()

    assert (task.tally.failures, len(ids)) == ([], 80)
    assert (task.tally.objects, task.tally.quarantined) == (3, 1)
    assert key == "quarantine/provider=acme/run-1/b.note.json"
    assert json.loads(note)["failure"]["object"] == "s3://data/b"


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    "error", [refused("ExpiredToken", 400), refused("RequestTimeTooSkewed"), refused("SlowDown", 503)]
)
def test_a_rejection_for_another_reason_than_the_object_is_transient(error: ClientError) -> None:
    task, _ = delivered(Store({"b": error}), "b", "quarantine")

    assert [(one.type, one.transient, one.object) for one in task.tally.failures] == [
        ("StorageError", True, "s3://data/b")
    ]


BREAKS: dict[str, Callable[[], Exception]] = {
    "TLS": lambda: SSLError("decryption failed or bad record mac"),
    "TLS of Python": lambda: ssl.SSLError("bad record mac"),
    "reset": lambda: ResponseStreamingError(error="reset"),
    "reset of Python": lambda: ConnectionResetError("reset"),
    "time-out": lambda: ReadTimeoutError(endpoint_url="https://s3"),
    "time-out of Python": lambda: TimeoutError("timed out"),
    "incomplete": lambda: IncompleteReadError(actual_bytes=1, expected_bytes=2),
}


@pytest.mark.fault(46)
@pytest.mark.parametrize("name", BREAKS)
def test_a_connection_that_breaks_in_the_middle_resumes_at_the_same_byte(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects.time, "sleep", lambda seconds: None)
    store = Store({}, BREAKS[name]())
    task, ids = delivered(store, "a")

    assert task.tally.failures == []
    assert ids == [f"e-{n}" for n in range(40)]
    [first, second] = store.ranges
    assert first == ""
    assert int(second.removeprefix("bytes=").removesuffix("-")) > len(BODY) // 2


def failures_of(work: Callable[[Source], Any], monkeypatch: pytest.MonkeyPatch) -> list[Failure]:
    monkeypatch.setattr("fanout_job.task.s3_client", lambda: Store({}))
    return each_in_this_process(SETTINGS, planned("a", "b"), work)[1].failures


@pytest.mark.fault(43)
def test_a_defect_names_each_object_and_the_place_in_the_users_code(monkeypatch: pytest.MonkeyPatch) -> None:
    script: dict[str, Any] = {"__name__": "days", "encode": encode, "Decimal": Decimal, "json": json}
    code = "\ndef work(source):\n    return json.dumps({'price': Decimal('1.5')})\n"
    exec(compile(code, "/jobs/days.py", "exec"), script)  # noqa: S102 - a job's own script
    found = failures_of(script["work"], monkeypatch)

    assert [one.object for one in found] == ["s3://data/a", "s3://data/b"]
    assert {one.type for one in found} == {"UnexpectedError"}
    assert {one.message.partition("py:")[2].partition(", ")[2] for one in found} == {"from days.py:3"}
    assert found[0].message.startswith("TypeError at encoder.py:")
