"""The objects of the producer: their names and content, and other objects with these names."""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import UTC, datetime, timedelta

import pytest

from fanout.errors import ForeignObjectError
from fanout.production import key_of, packed, unpacked, write_once
from fanout.stream_records import StreamRecord, restored
from tests.harness.world import World

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
PREFIX = "s3://changes/log/provider=a/"


def record(number: int, time: datetime | None = None) -> StreamRecord:
    line = json.dumps({"eventID": f"e{number}", "dynamodb": {"SequenceNumber": str(number)}}).encode()
    return StreamRecord(str(number), f"e{number}", line, "a", time)


def name(number: int, in_the_way: int = 0) -> str:
    return PREFIX + key_of(record(number), NOW, in_the_way)


def written(world: World) -> dict[str, list[str]]:
    """The ids in each object."""
    return {uri: [restored(one).id for one in unpacked(body)] for uri, (body, _) in world.objects.stored.items()}


def test_a_key_has_the_hour_the_sequence_and_a_hash_of_the_id() -> None:
    assert key_of(record(12), NOW) == f"2026/11/22/07/{'12'.zfill(40)}-09c5ad78abd48464.json.gz"
    assert key_of(record(12), NOW, 2).endswith("-09c5ad78abd48464-2.json.gz")


@pytest.mark.parametrize(("beyond", "hour"), [(timedelta(), "2026/11/21/"), (timedelta(seconds=1), "2026/11/22/")])
def test_a_record_has_the_hour_of_its_change_up_to_the_maximum_age(beyond: timedelta, hour: str) -> None:
    assert key_of(record(1, NOW - timedelta(hours=22) - beyond), NOW).startswith(hour)


def test_a_new_batch_is_written_with_one_request() -> None:
    world = World()

    assert write_once(world.objects, PREFIX, [record(1), record(2)], NOW) == []

    assert world.faults.calls == ["objects.create"]
    assert written(world) == {name(1): ["e1", "e2"]}


def test_the_number_of_objects_in_the_way_counts_for_one_record_only() -> None:
    world = World()
    world.objects.add(name(1), b"foreign", NOW)
    world.objects.add(name(1, 1), packed([record(1).line]), NOW)

    (error,) = write_once(world.objects, PREFIX, [record(1), record(2)], NOW)

    assert error.uri == name(1)
    assert unpacked(world.objects.stored[name(2)][0]) == [record(2).line]


@pytest.mark.parametrize("hidden", [None, b"s3://changes/log/provider=b/other.json.gz"])
def test_an_empty_object_without_a_hidden_one_that_names_an_object_of_the_provider_is_foreign(
    hidden: bytes | None,
) -> None:
    world = World()
    world.objects.add(name(1), packed([]), NOW)
    world.objects.add("s3://changes/log/provider=b/other.json.gz", packed([record(1).line]), NOW)
    if hidden is not None:
        folder, _, last = name(1).rpartition("/")
        world.objects.add(f"{folder}/_{last}.signpost", hidden, NOW)

    (error,) = write_once(world.objects, PREFIX, [record(1)], NOW)

    assert isinstance(error, ForeignObjectError)
    assert "is empty, and no hidden object names the one with its records" in str(error)
    assert unpacked(world.objects.stored[name(1, 1)][0]) == [record(1).line]


@pytest.mark.parametrize(
    "body",
    [
        packed([b"{}"])[:-1],
        packed([b"{}"]) + b"more",
        packed([b"{}"]) * 2,
        zlib.compress(b"{}\n"),
        gzip.compress(b"x" * 10)[:12],
        b"",
    ],
    ids=["truncated", "followed by bytes", "two members", "zlib", "half", "nothing"],
)
def test_what_is_not_exactly_one_gzip_member_is_refused(body: bytes) -> None:
    with pytest.raises((ValueError, zlib.error)):
        unpacked(body)
