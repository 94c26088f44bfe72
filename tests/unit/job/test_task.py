"""A task: copies to the quarantine, progress, and the end of reads at the deadline."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from contract.failure import Failure
from fanout_job.errors import DeadlineError, RecordError, StorageError
from fanout_job.objects import PREFETCH_OBJECTS, ObjectReader
from fanout_job.task import Source, Tally, Task, guarded
from tests.harness.waiting import HANG_SECONDS
from tests.unit.job import test_unreadable_objects
from tests.unit.job.records import SETTINGS
from tests.unit.job.test_unreadable_objects import Store, delivered, failures_of, planned, refused

NO_JSON = b"PK\x03\x04" + b"\0" * 40
OVERWRITTEN, BUSY = refused("PreconditionFailed", 412), refused("SlowDown", 503)


class CopyingStore(Store):
    """S3 that rejects the first copies, and has some versions of the object."""

    def __init__(self, *rejections: ClientError, versions: tuple[str, ...] = ()) -> None:
        super().__init__({})
        self.rejections, self.versions = list(rejections), versions
        self.copied: list[dict[str, str]] = []

    def copy_object(self, CopySource: dict[str, str], **how: str) -> None:  # noqa: N803 - boto3's names
        self.copied.append(CopySource)
        if self.rejections:
            raise self.rejections.pop(0)

    def get_paginator(self, operation: str) -> CopyingStore:
        return self

    def paginate(self, **where: str) -> Iterator[dict[str, Any]]:
        yield {"Versions": [{"Key": "a", "ETag": '"etag"', "VersionId": version} for version in self.versions]}


@pytest.fixture
def bad_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each object be a file that is no text."""
    monkeypatch.setattr(test_unreadable_objects, "BODY", NO_JSON)


@pytest.mark.usefixtures("bad_body")
def test_if_a_bad_object_was_overwritten_before_its_copy_its_version_is_copied(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = CopyingStore(OVERWRITTEN, versions=("v1",))
    task, _ = delivered(store, "a", "quarantine")

    assert store.copied == [{"Bucket": "data", "Key": "a"}, {"Bucket": "data", "Key": "a", "VersionId": "v1"}]
    assert (task.tally.failures, task.tally.quarantined) == ([], 1)
    assert [one for one in caplog.messages if one.startswith("quarantined: s3://data/a, line 1: ")]


@pytest.mark.usefixtures("bad_body")
@pytest.mark.parametrize(("rejection", "versions"), [(OVERWRITTEN, ()), (BUSY, ("v1",))])
def test_a_bad_object_that_cannot_be_copied_fails_the_run(rejection: ClientError, versions: tuple[str, ...]) -> None:
    task, _ = delivered(CopyingStore(rejection, versions=versions), "a", "quarantine")

    code = rejection.response["Error"]["Code"]
    assert [(one.type, one.object, one.message) for one in task.tally.failures] == [
        ("StorageError", "s3://data/a", f"cannot be copied to the quarantine ({code})")
    ]
    assert task.tally.quarantined == 0


@pytest.mark.usefixtures("bad_body")
@pytest.mark.parametrize(("limit", "copies"), [(len(NO_JSON), 1), (len(NO_JSON) - 1, 0)])
def test_a_bad_object_that_is_too_large_to_copy_has_only_a_note(
    limit: int, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanout_job.task.MAX_COPY_BYTES", limit)
    store = CopyingStore()
    task, ids = delivered(store, "a", "quarantine")

    assert (task.tally.failures, ids, task.tally.quarantined) == ([], [], 1)
    assert (len(store.copied), list(store.put)) == (copies, ["quarantine/provider=acme/run-1/a.note.json"])


@pytest.mark.parametrize(("lines", "copies"), [(2, 0), (3, 1), (5, 1)])
def test_of_an_object_with_more_bad_lines_than_are_copied_the_whole_is_copied_once(
    lines: int, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanout_job.task.MAX_QUARANTINED_LINES", 2)
    monkeypatch.setattr(test_unreadable_objects, "BODY", b"bad\n" * lines)
    store = CopyingStore()
    task, _ = delivered(store, "a", "quarantine")

    assert (task.tally.quarantined, len(store.copied)) == (lines, copies)
    notes = [f"a.line-{line}.json.note.json" for line in (1, 2)] + ["a.note.json"] * copies
    prefix = "quarantine/provider=acme/run-1/"
    assert [key for key in store.put if key.endswith("note.json")] == [prefix + note for note in notes]


def test_a_long_key_of_the_quarantine_is_cut_and_ends_in_a_hash() -> None:
    task = Task(SETTINGS)
    prefix = task.quarantine_prefix
    room = 960 - len(prefix)
    keys = ["k" * room, *("k" * (room + 1) + end for end in ("", "a", "b")), "ü" * room]
    whole, *cut = map(task.quarantine_key, keys)

    assert whole == prefix + keys[0]
    assert len(set(cut)) == 4
    for key, made in zip(keys[1:], cut, strict=True):
        start, _, end = made.rpartition("-")
        assert (prefix + key).startswith(start)
        assert 959 <= len(made.encode()) <= 960
        assert len(end) == len(bytes.fromhex(end).hex()) == 32


def test_an_object_that_becomes_unreadable_names_the_next_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closing(Store):
        """S3 that rejects a second request for an object."""

        def get_object(self, *where: Any, **how: Any) -> dict[str, Any]:
            found = super().get_object(*where, **how)
            self.refused["a"] = refused("AccessDenied")
            return found

    monkeypatch.setattr("fanout_job.objects.time.sleep", lambda seconds: None)
    task, ids = delivered(Closing({}, ConnectionResetError()), "a")

    assert [(one.type, one.line) for one in task.tally.failures] == [("UnreadableObjectError", len(ids) + 1)]
    assert len(ids) >= 20


@pytest.mark.parametrize("uri", ["s3://data/mappings/acme.yaml", None])
def test_an_error_of_the_service_ends_the_task_and_names_its_own_object_or_the_one_at_work(
    uri: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(source: Source) -> None:
        raise StorageError("is busy", uri=uri)

    assert [one.object for one in failures_of(work, monkeypatch)] == [uri or "s3://data/a"]


def test_an_error_of_a_record_keeps_its_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(source: Source) -> None:
        raise RecordError("is bad", line=7)

    assert [(one.object, one.line) for one in failures_of(work, monkeypatch)] == [
        ("s3://data/a", 7),
        ("s3://data/b", 7),
    ]


def test_a_read_that_takes_some_time_is_awaited() -> None:
    chunk: Future[bytes] = Future()
    threading.Timer(0.05, chunk.set_result, [b"x"]).start()

    task = Task(SETTINGS, deadline=time.monotonic() + HANG_SECONDS)  # noqa: TID251 - the task's clock
    assert task.arrived(chunk) == b"x"


def test_a_task_ends_at_the_deadline_although_its_reads_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    asked: list[str] = []

    class Hanging(Store):
        def get_object(self, Key: str, **how: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
            asked.append(Key)
            assert over.wait(HANG_SECONDS)
            return {"Body": test_unreadable_objects.Body(b"", None)}

    monkeypatch.setattr("fanout_job.task.s3_client", lambda: Hanging({}))
    task = Task(SETTINGS, deadline=time.monotonic())  # noqa: TID251 - the task's clock
    try:
        with pytest.raises(DeadlineError):
            list(task.each(planned(*"abcdefghijkl"), lambda source: source.chunks))
        assert not over.is_set()
    finally:
        over.set()
    for thread in threading.enumerate():
        if thread.name.startswith("s3"):
            thread.join(HANG_SECONDS)
    assert len(asked) <= PREFETCH_OBJECTS, "no read starts after the end"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    made = SimpleNamespace(now=100.0)
    monkeypatch.setattr("fanout_job.task.time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def test_no_piece_of_an_object_is_read_after_the_deadline(clock: SimpleNamespace) -> None:
    source = Source(Task(SETTINGS, deadline=110), ObjectReader(None, *planned("a")), iter([b"1", b"2", b"3"]))
    pieces = source.pieces(lambda chunks, key: chunks)

    read = []
    for clock.now in (109.9, 110.0):
        read.append(next(pieces))
    clock.now = 110.1

    with pytest.raises(DeadlineError):
        next(pieces)
    assert read == [b"1", b"2"]


def test_progress_is_logged_every_five_seconds(clock: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    task = Task(SETTINGS)
    task.tally = Tally(bytes=3_000_000, rows=50, messages=40)
    [obj] = planned("a")

    with caplog.at_level("INFO", "fanout_job"):
        task.log_progress(0, "task begins")
        for clock.now in (104.9, 105.0, 109.9, 110.0):
            task.done(replace(obj, size=250_000))

    assert caplog.messages == [
        "task begins: 50 rows, 40 messages, 3.0 MB read, 50000000000 rows/s",
        "progress: 50 rows, 40 messages, 3.5 MB read, 10 rows/s",
        "progress: 50 rows, 40 messages, 4.0 MB read, 5 rows/s",
    ]


ENDS: dict[str, tuple[Exception | None, list[str], int]] = {
    "without an error": (None, [], 1),
    "with an error of the job": (StorageError("is busy"), ["StorageError"], 0),
    "with a defect": (KeyError(), ["UnexpectedError"], 0),
}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("case", ENDS)
def test_a_task_records_how_it_ends_and_restores_the_process(case: str, caplog: pytest.LogCaptureFixture) -> None:
    error, types, logged = ENDS[case]
    before = gc.get_threshold()
    task = Task(SETTINGS)

    with caplog.at_level("INFO", "fanout_job"), guarded(task):
        if error is not None:
            raise error

    assert [failure.type for failure in task.tally.failures] == types
    assert caplog.text.count("task done: 0 rows, 0 messages") == logged
    assert gc.get_threshold() == before


def test_the_counts_of_a_task_are_the_same_after_they_were_sent_as_text_and_added() -> None:
    failure = Failure(type="RecordError", message="is bad", object="s3://data/a", line=3)
    first, second = Tally(1, 2, 3, 4, 5, [failure]), Tally(10, 20, 30, 40, 50, [failure])

    assert Tally.from_json(first.to_json()) + second == Tally(11, 22, 33, 44, 55, [failure, failure])
