"""The contract of `ObjectStore`, tested on the fake that other tests use and on S3 (moto)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from moto import mock_aws

from contract.uris import split_uri
from fanout.adapters import S3Objects
from fanout.claims import ClaimRequest, Claims
from fanout.errors import FanoutError, StorageUnavailableError, UnreadableObjectError
from fanout.manifests import ObjectStore
from tests.harness.fakes import MemoryObjects
from tests.harness.faults import Clock, Faults
from tests.harness.world import World


class Case:
    """A store, and a function that puts objects into it as another writer would."""

    def __init__(self, store: ObjectStore, add: Callable[[str, bytes], None], client: Any = None) -> None:
        self.store, self.add, self.client = store, add, client


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        for bucket in ("changes", "data"):
            client.create_bucket(Bucket=bucket)
        yield client


def on_s3(client: Any) -> Case:
    def add(uri: str, body: bytes) -> None:
        bucket, key = split_uri(uri)
        client.put_object(Bucket=bucket, Key=key, Body=body)

    return Case(S3Objects(client), add, client)


@pytest.fixture(params=["memory", "s3"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        store = MemoryObjects(Faults(Clock()))
        return Case(store, lambda uri, body: store.add(uri, body, datetime.now(UTC)))
    return on_s3(request.getfixturevalue("s3"))


KEYS = ["log/a/1", "log/a/10", "log/a/2", "log/a/sub/1", "log/a/ä b+c?#=&%", "log/b/1", "log/a"]


def test_a_listing_has_the_objects_under_a_prefix_in_key_order(case: Case) -> None:
    for key in KEYS:
        case.add(f"s3://changes/{key}", b"x")

    found = [o.key for o in case.store.list("s3://changes/log/a/")]

    assert found == sorted((k for k in KEYS if k.startswith("log/a/")), key=lambda k: k.encode())


def test_a_listing_begins_after_the_given_key(case: Case) -> None:
    for key in KEYS:
        case.add(f"s3://changes/{key}", b"x")

    assert next(o.key for o in case.store.list("s3://changes/log/a/", "log/a/10")) == "log/a/2"
    assert next(iter(case.store.list("s3://changes/log/a/", "log/a/0"))).key == "log/a/1"
    assert next(iter(case.store.list("s3://changes/log/a/", "aaa"))).key == "log/a/1"


def test_a_listed_object_has_size_etag_and_an_aware_time(case: Case) -> None:
    case.add("s3://changes/log/a/1", b"body")

    (found,) = case.store.list("s3://changes/log/a/")

    assert (found.size, found.etag) == (4, "841a2d689ad86bd1611447453c22c6fc")
    assert abs(found.last_modified - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_etag_depends_on_the_bytes(case: Case) -> None:
    identities = []
    for body in (b"1", b"2", b"1"):
        case.add("s3://changes/log/a/1", body)
        identities += [o.identity for o in case.store.list("s3://changes/log/")]

    assert identities[0] == identities[2] != identities[1]


def test_a_prefix_without_objects_gives_an_empty_listing(case: Case) -> None:
    assert list(case.store.list("s3://changes/nothing/")) == []


def test_a_listing_of_several_pages_is_complete(case: Case) -> None:
    for n in range(1001):
        case.add(f"s3://changes/log/a/{n:04}", b"")

    assert [o.key for o in case.store.list("s3://changes/log/a/")] == [f"log/a/{n:04}" for n in range(1001)]


def test_an_object_is_read_and_a_missing_one_gives_none(case: Case) -> None:
    case.add("s3://data/runs/x?y#z/1", b"body")

    assert case.store.read("s3://data/runs/x?y#z/1") == b"body"
    assert case.store.read("s3://data/runs/x?y#z/1", 2) == b"bo"
    assert case.store.read("s3://data/runs/2") is None


def test_creating_an_existing_object_leaves_it_unchanged(case: Case) -> None:
    assert case.store.create("s3://data/manifest", b"first") is True
    assert case.store.create("s3://data/manifest", b"second") is False
    assert case.store.read("s3://data/manifest") == b"first"


class TestS3:
    """Behavior that only the real adapter has."""

    def test_an_error_of_the_service_is_transient_and_names_its_code(self, s3: Any) -> None:
        store = S3Objects(s3)

        for call in (
            lambda: list(store.list("s3://no-such-bucket/x/")),
            lambda: store.read("s3://no-such-bucket/x"),
            lambda: store.create("s3://no-such-bucket/x", b""),
        ):
            with pytest.raises(StorageUnavailableError, match="NoSuchBucket"):
                call()

    @pytest.mark.parametrize(
        ("code", "status", "kind"),
        [
            ("AccessDenied", 403, UnreadableObjectError),
            ("InvalidObjectState", 403, UnreadableObjectError),
            ("KMS.DisabledException", 400, UnreadableObjectError),
            ("KMS.ThrottlingException", 400, StorageUnavailableError),
            ("ExpiredToken", 400, StorageUnavailableError),
        ],
    )
    def test_an_object_that_s3_refuses_to_return_is_a_lasting_error(
        self, code: str, status: int, kind: type[FanoutError]
    ) -> None:
        class Refusing:
            def get_object(self, **request: Any) -> Any:
                answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
                raise ClientError(answer, "GetObject")

        with pytest.raises(kind, match=f"s3://data/x: .*{code}"):
            S3Objects(Refusing()).read("s3://data/x")

    def test_a_timeout_of_a_read_is_transient(self) -> None:
        class Slow:
            def get_object(self, **request: Any) -> Any:
                raise ReadTimeoutError(endpoint_url="https://s3")

        with pytest.raises(StorageUnavailableError, match="s3://data/x: ReadTimeoutError"):
            S3Objects(Slow()).read("s3://data/x")

    @pytest.mark.fault(20)
    def test_in_a_versioned_bucket_the_current_versions_are_listed_and_deleted_objects_are_not(self, s3: Any) -> None:
        s3.put_bucket_versioning(Bucket="changes", VersioningConfiguration={"Status": "Enabled"})
        case = on_s3(s3)
        case.add("s3://changes/log/a/overwritten", b"old")
        case.add("s3://changes/log/a/overwritten", b"newer")
        case.add("s3://changes/log/a/deleted", b"old")
        s3.delete_object(Bucket="changes", Key="log/a/deleted")

        assert [(o.key, o.size) for o in case.store.list("s3://changes/log/a/")] == [("log/a/overwritten", 5)]

    @pytest.mark.parametrize("old", [30, 300])
    def test_planning_does_not_list_the_history_if_keys_are_time_ordered(self, s3: Any, old: int) -> None:
        # Given a history whose objects are all older than the window and the slack, and 10 new objects
        world = World(settings={"key_time_format": "%Y/%m/%d/%H/"})
        now = datetime.now(UTC)
        world.clock.now = now
        case = on_s3(s3)
        for n in range(old):
            case.add(f"s3://changes/log/provider=a/{now - timedelta(hours=30 + n):%Y/%m/%d/%H}/x", b"old")
        for n in range(10):
            case.add(f"s3://changes/log/provider=a/{now:%Y/%m/%d/%H}/{n}", b"new")
        world.ledger.put(
            world.state("a").model_copy(
                update={"bookmark": world.state("a").bookmark.model_copy(update={"since": now - timedelta(hours=1)})}
            )
        )
        requests: list[Any] = []
        s3.meta.events.register("before-call.s3.ListObjectsV2", lambda **call: requests.append(call))
        claims = Claims(
            world.ledger,
            case.store,
            world.config_api,
            world.pending,
            world.claims.settings,
            world.clock,
            world.log.append,
        )

        # When the run is planned, with pages of 20 as S3 has of 1,000
        s3.meta.events.register(
            "provide-client-params.s3.ListObjectsV2", lambda params, **call: {**params, "MaxKeys": 20}
        )
        claim = claims.claim(ClaimRequest.from_event({"run_id": "r", "input": {"provider": "a"}}))

        # Then one request lists the new ones and none of the old ones
        assert claim.objects == 10
        assert len(requests) == 1


@pytest.mark.parametrize(
    ("uri", "parts"),
    [("s3://b/k/l", ("b", "k/l")), ("s3://b/k?x#y", ("b", "k?x#y")), ("s3://b/", ("b", "")), ("s3://b", ("b", ""))],
)
def test_a_uri_is_split_into_bucket_and_key(uri: str, parts: tuple[str, str]) -> None:
    assert split_uri(uri) == parts


@pytest.mark.parametrize("uri", ["b/k", "https://b/k", "s3:///k", ""])
def test_a_string_that_is_not_an_s3_uri_is_rejected(uri: str) -> None:
    with pytest.raises(ValueError, match="not an s3:// URI"):
        split_uri(uri)
