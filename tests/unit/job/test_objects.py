"""The manifest and its objects on S3: changed objects, broken connections, and what is opened ahead."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError, ReadTimeoutError

from contract.manifest import PlannedObject, StoredObject
from fanout_job import objects
from fanout_job.errors import JobError, ManifestError, ObjectChangedError, StorageError, UnreadableObjectError
from fanout_job.objects import PREFETCH_OBJECTS, ObjectReader, opened_ahead, put, read_manifest, s3_client
from tests.integration.job.harness import manifest_of
from tests.unit.job.test_unreadable_objects import refused

PLANNED = PlannedObject("data", "a", 6, "old", 0)
URI = "s3://data/runs/manifest.json"


class Body:
    """A body that breaks after its last byte, if it has a fault."""

    def __init__(self, rest: bytes, fault: Exception | None = None) -> None:
        self.rest, self.fault = rest, fault

    def read(self, amount: int | None = None) -> bytes:
        if not self.rest and self.fault is not None:
            raise self.fault
        rest, self.rest = self.rest, b""
        return rest


class Answers:
    """S3 that answers each read with the next of some bodies or errors, and has some versions of objects."""

    def __init__(self, *answers: Body | Exception, versions: Any = ()) -> None:
        self.answers, self.versions = list(answers), versions
        self.asked: list[dict[str, str]] = []

    def get_object(self, **given: str) -> dict[str, Any]:
        self.asked.append({name: given[name] for name in ("VersionId", "Range") if name in given})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"Body": answer}

    def put_object(self, **given: Any) -> None:
        raise self.answers.pop(0)  # type: ignore[misc]

    def get_paginator(self, operation: str) -> Answers:
        assert operation == "list_object_versions"
        return self

    def paginate(self, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803 - boto3's names
        if isinstance(self.versions, Exception):
            raise self.versions
        for key, etag, version in self.versions:
            yield {"Versions": [{"Key": key, "ETag": f'"{etag}"', "VersionId": version}]}
        yield {}


def content(s3: Answers) -> bytes:
    reader = ObjectReader(s3, PLANNED)
    return b"".join(iter(reader.read, b""))


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(objects.time, "sleep", slept.append)
    return slept


MANIFEST = manifest_of("run-1", [StoredObject("log/1", 5, "etag", datetime(2026, 11, 22, tzinfo=UTC))]).to_json()


def test_a_manifest_names_the_objects_of_its_provider() -> None:
    (planned,) = read_manifest(Answers(Body(MANIFEST)), URI, "acme")

    assert (planned.uri, planned.size, planned.etag) == ("s3://data/log/1", 5, "etag")


@pytest.mark.parametrize(
    ("answer", "provider", "kind", "message"),
    [
        (Body(b"{"), "acme", ManifestError, "is not a manifest: "),
        (Body(MANIFEST), "other", ManifestError, "is not a manifest of provider other"),
        (refused("NoSuchKey", 404), "acme", StorageError, "the manifest cannot be read (NoSuchKey)"),
        (
            ConnectTimeoutError(endpoint_url="x"),
            "acme",
            StorageError,
            "the manifest cannot be read (ConnectTimeoutError)",
        ),
    ],
)
def test_a_manifest_that_is_invalid_or_cannot_be_read_is_an_error_with_its_uri(
    answer: Body | Exception, provider: str, kind: type[JobError], message: str
) -> None:
    with pytest.raises(kind) as raised:
        read_manifest(Answers(answer), URI, provider)

    failure = raised.value.as_failure()
    assert (failure.object, failure.message.startswith(message)) == (URI, True)


GONE = [(404, "was deleted"), (412, "was overwritten"), (416, "was overwritten")]


@pytest.mark.parametrize(("status", "message"), GONE)
@pytest.mark.parametrize("versions", [[], [("a", "new", "v2")], [("ab", "old", "v1")], refused("AccessDenied")])
def test_an_object_that_changed_after_the_plan_is_an_error(status: int, message: str, versions: Any) -> None:
    with pytest.raises(ObjectChangedError, match=f"{message} after the run was planned"):
        content(Answers(refused("", status), versions=versions))


@pytest.mark.parametrize("status", [404, 412, 416])
def test_the_version_that_was_planned_is_read(status: int) -> None:
    s3 = Answers(refused("", status), Body(b"abcdef"), versions=[("a", "new", "v2"), ("a", "old", "v1")])

    assert content(s3) == b"abcdef"
    assert s3.asked == [{}, {"VersionId": "v1"}]


def test_after_a_broken_connection_the_same_version_is_read_on() -> None:
    broken = Body(b"abc", ConnectionResetError())
    s3 = Answers(refused("", 412), broken, Body(b"def"), versions=[("a", "old", "v1")])

    assert content(s3) == b"abcdef"
    assert s3.asked[-1] == {"VersionId": "v1", "Range": "bytes=3-"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused("AccessDenied"), UnreadableObjectError),
        (refused("SlowDown", 503), StorageError),
        (refused("NoSuchVersion", 404), ObjectChangedError),
    ],
)
def test_a_planned_version_that_cannot_be_read_is_an_error_as_an_object_is(
    error: ClientError, kind: type[JobError]
) -> None:
    with pytest.raises(kind):
        content(Answers(refused("", 412), error, versions=[("a", "old", "v1")]))


def test_versions_that_cannot_be_listed_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(ObjectChangedError):
        content(Answers(refused("", 412), versions=refused("AccessDenied")))

    assert caplog.messages == ["s3://data/a: cannot list its versions (AccessDenied)"]


def test_a_connection_that_breaks_after_the_last_byte_ends_the_object() -> None:
    s3 = Answers(Body(b"abcdef", ConnectionResetError()), refused("InvalidRange", 416))

    assert content(s3) == b"abcdef"


@pytest.mark.parametrize(("sent", "status"), [(b"abc", 416), (b"abcdef", 412)])
def test_an_object_that_changes_while_it_is_read_is_an_error(sent: bytes, status: int) -> None:
    with pytest.raises(ObjectChangedError):
        content(Answers(Body(sent, ConnectionResetError()), refused("", status)))


def test_a_connection_that_always_breaks_is_an_error_after_five_attempts(
    slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects.random, "random", lambda: 1.0)

    with pytest.raises(StorageError, match=r"the connection broke 5 times \(ReadTimeoutError\)"):
        content(Answers(*[ReadTimeoutError(endpoint_url="x")] * 5))

    assert slept == [0.2, 0.4, 0.8, 1.6, 3.2]


def test_a_client_that_cannot_ask_is_an_error_with_its_reason() -> None:
    with pytest.raises(StorageError, match=r"cannot be read \(NoCredentialsError\)"):
        content(Answers(NoCredentialsError()))


def test_an_object_that_cannot_be_written_is_an_error_with_its_uri() -> None:
    with pytest.raises(StorageError, match=r"cannot be written \(SlowDown\)") as raised:
        put(Answers(refused("SlowDown", 503)), "data", "k", b"{}")

    assert raised.value.uri == "s3://data/k"


def test_eight_objects_are_opened_ahead_and_each_has_a_connection() -> None:
    class Pool:
        submitted = 0

        def submit(self, read: Any) -> Future[bytes]:
            self.submitted += 1
            future: Future[bytes] = Future()
            future.set_result(read())
            return future

    pool: Any = Pool()
    planned = [PlannedObject("data", str(n), 1, "old", n) for n in range(12)]
    opened = opened_ahead(Answers(*[Body(b"x") for _ in planned]), planned, pool)

    first, _ = next(opened)

    assert (first.obj.key, pool.submitted) == ("0", 1 + 8)
    assert PREFETCH_OBJECTS == 8
    assert s3_client().meta.config.max_pool_connections > PREFETCH_OBJECTS
