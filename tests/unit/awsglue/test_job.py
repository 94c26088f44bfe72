"""`Job` reads and writes the bookmark as AWS documents it; a commit after another run's commit fails."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from laptop_cloud.aws.glue_packages.awsglue.bookmarks import (
    Bookmark,
    BookmarkStore,
    SourceState,
    VersionMismatchException,
)

if TYPE_CHECKING:
    from laptop_cloud.aws.glue_packages.awsglue.context import GlueContext
    from laptop_cloud.aws.glue_packages.awsglue.job import Job

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
JOB = "etl-dev-change_log"
ON = {"job_bookmark_option": "job-bookmark-enable", "JOB_RUN_ID": "jr_1"}


class FakeS3:
    """One bucket with S3's conditional writes."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        if Key not in self.bodies:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(self.bodies[Key]), "ETag": self.tags[Key]}

    def put_object(self, Bucket: str, Key: str, Body: bytes, IfMatch: str = "", IfNoneMatch: str = "") -> None:  # noqa: N803
        if (IfNoneMatch and Key in self.bodies) or (IfMatch and IfMatch != self.tags.get(Key)):
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
        self.bodies[Key] = Body
        self.tags[Key] = f'"{len(self.tags)}-{hash(Body)}"'


class FakeGlue:
    """Knows one job."""

    def get_job(self, JobName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if JobName != JOB:
            raise ClientError({"Error": {"Code": "EntityNotFoundException"}}, "GetJob")
        return {"Job": {"Command": {"ScriptLocation": "s3://artifacts/script"}}}


def fake_context() -> GlueContext:
    """A context without Spark. PySpark is imported only by tests that need it, because the import takes seconds."""
    from laptop_cloud.aws.glue_packages.awsglue.context import GlueContext

    made = GlueContext.__new__(GlueContext)
    made._bookmark = None
    made._read_sources = {}
    return made


def job_class() -> type[Job]:
    from laptop_cloud.aws.glue_packages.awsglue.job import Job

    return Job


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> BookmarkStore:
    made = BookmarkStore(FakeS3(), FakeGlue())
    monkeypatch.setattr(job_class(), "store", lambda: made)
    return made


def begun(args: Mapping[str, str] = ON, name: str = JOB) -> tuple[Job, GlueContext]:
    context = fake_context()
    job = job_class()(context)
    job.init(name, args)
    return job, context


def read(context: GlueContext, ctx: str) -> None:
    context._read_sources[ctx] = SourceState(NOON, {f"s3://data/{ctx}": NOON})


def test_a_commit_keeps_one_bookmark_for_each_transformation_context(store: BookmarkStore) -> None:
    for ctx in ("dev_a", "dev_b"):
        job, context = begun()
        read(context, ctx)
        job.commit()

    kept = store.read(JOB)
    assert (kept.version, sorted(kept.sources), kept.run_id) == (2, ["dev_a", "dev_b"], "jr_1")


@pytest.mark.parametrize("committed_before", [0, 1])
def test_only_one_of_two_runs_with_the_same_bookmark_can_commit(store: BookmarkStore, committed_before: int) -> None:
    for _ in range(committed_before):
        begun()[0].commit()
    (first, _), (second, context) = begun(), begun()
    read(context, "dev_b")
    first.commit()

    expected = f"Expected version {committed_before} but found version {committed_before + 1}"
    with pytest.raises(VersionMismatchException, match=expected):
        second.commit()
    assert "dev_b" not in store.read(JOB).sources


def test_a_run_without_a_commit_leaves_the_bookmark_unchanged(store: BookmarkStore) -> None:
    _, context = begun()
    read(context, "dev_a")

    assert store.read(JOB) == Bookmark()


@pytest.mark.parametrize("args", [{}, {"job_bookmark_option": "job-bookmark-disable"}])
def test_without_the_option_there_is_no_bookmark(store: BookmarkStore, args: dict[str, str]) -> None:
    job, context = begun(args)
    read(context, "dev_a")
    job.commit()

    assert context._bookmark is None
    assert store.read(JOB) == Bookmark()


def test_a_paused_bookmark_is_read_and_not_written(store: BookmarkStore) -> None:
    begun()[0].commit()
    job, context = begun({"job_bookmark_option": "job-bookmark-pause"})
    job.commit()

    assert context._bookmark is not None
    assert store.read(JOB).version == 1


@pytest.mark.usefixtures("store")
def test_the_name_of_an_unknown_job_is_rejected() -> None:
    with pytest.raises(ClientError, match="EntityNotFound"):
        begun(name=f"{JOB}-provider-a")


def test_a_commit_before_init_is_refused() -> None:
    with pytest.raises(RuntimeError, match="before"):
        job_class()(fake_context()).commit()
