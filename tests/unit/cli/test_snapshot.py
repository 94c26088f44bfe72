"""The records of a table's export, and that snapshot and stream together give consumers the state of the table."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.errors import UsageError
from cli.snapshot import Export, insert_record, read_export, write_snapshot
from fanout.production import Producer
from fanout.stream_records import ProviderAttribute
from fanout_job.changes import parse_change
from tests.harness.fakes import MemoryObjects
from tests.harness.faults import Clock, Crash, Fault, Faults

FOLDER = "s3://exports/AWSDynamoDB/0169-a1/"
TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/things"
LOG, ASIDE = "s3://log/change_log", "s3://data/unassigned"
ATTRIBUTE = ProviderAttribute.parse("tenant")


def exported(objects: MemoryObjects, items: list[dict[str, Any]], time: datetime, **more: Any) -> None:
    """An export as DynamoDB writes it, its items in two files."""
    prefix = FOLDER.removeprefix("s3://exports/")
    files = []
    for number, part in enumerate((items[::2], items[1::2])):
        lines = b"".join(json.dumps({"Item": item}).encode() + b"\n" for item in part)
        objects.add(f"{FOLDER}data/{number}.json.gz", gzip.compress(lines), time)
        files.append({"itemCount": len(part), "dataFileS3Key": f"{prefix}data/{number}.json.gz"})
    summary = {
        "exportArn": f"{TABLE}/export/0169-a1",
        "tableArn": TABLE,
        "exportTime": time.isoformat().replace("+00:00", "Z"),
        "s3Bucket": "exports",
        "manifestFilesS3Key": f"{prefix}manifest-files.json",
        "itemCount": len(items),
        "outputFormat": "DYNAMODB_JSON",
    }
    objects.add(f"{FOLDER}manifest-summary.json", json.dumps(summary | more).encode(), time)
    objects.add(f"{FOLDER}manifest-files.json", "\n".join(map(json.dumps, files)).encode(), time)


def item(number: int, tenant: str = "a", value: int = 0) -> dict[str, Any]:
    return {"id": {"S": f"i{number}"}, "tenant": {"S": tenant}, "value": {"N": str(value)}}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def objects(clock: Clock) -> MemoryObjects:
    return MemoryObjects(Faults(clock))


def snapshot(objects: MemoryObjects, clock: Clock) -> Any:
    return write_snapshot(objects, read_export(objects, FOLDER), ["id"], ATTRIBUTE, LOG, ASIDE, clock())


def lines(objects: MemoryObjects, below: str) -> list[dict[str, Any]]:
    found = sorted((time, uri) for uri, (_, time) in objects.stored.items() if uri.startswith(below))
    return [json.loads(line) for _, uri in found for line in gzip.decompress(objects.stored[uri][0]).splitlines()]


def test_each_item_becomes_an_insert_that_the_job_reads(objects: MemoryObjects, clock: Clock) -> None:
    exported(objects, [item(1), item(2, "b"), item(3, "../c")], clock())

    written = snapshot(objects, clock)

    assert (written.items, written.providers, written.unassigned, written.written) == (3, 2, 1, 3)
    (change,) = (parse_change(json.dumps(line), "") for line in lines(objects, f"{LOG}/provider=a/"))
    assert (change.operation, change.keys, change.table) == ("insert", {"id": "i1"}, "things")
    assert change.new == {"id": "i1", "tenant": "a", "value": 0}
    assert "is not allowed" in lines(objects, ASIDE)[0]["reason"]


def test_a_repeated_snapshot_writes_nothing_and_an_interrupted_one_can_be_completed(
    objects: MemoryObjects, clock: Clock
) -> None:
    exported(objects, [item(1), item(2, "b"), item(3, "c"), item(4, "b")], clock())
    objects.faults.plan("objects.create", None, Fault.FAIL_BEFORE)
    with pytest.raises(Exception, match="injected"):
        snapshot(objects, clock)
    clock.advance(minutes=30)

    again = snapshot(objects, clock)
    before = dict(objects.stored)
    third = snapshot(objects, clock)

    assert (again.there, again.written) == (1, 2)
    assert (third.there, third.written) == (3, 0)
    assert dict(objects.stored) == before


@pytest.mark.fault(55)
@pytest.mark.parametrize("crash", [None, 0, 1, 2, 3])
def test_every_portion_has_its_own_object_also_after_a_crash_between_two(
    objects: MemoryObjects, clock: Clock, monkeypatch: pytest.MonkeyPatch, crash: int | None
) -> None:
    monkeypatch.setattr("cli.snapshot.MAX_HELD_BYTES", 1)  # each item is a portion: 64 MB would take seconds
    exported(objects, [item(1), item(2), item(3), item(4)], clock())
    if crash is not None:
        objects.faults.plan("objects.create", *[None] * crash, Fault.CRASH_AFTER)
        with pytest.raises(Crash):
            snapshot(objects, clock)

    written = snapshot(objects, clock)

    there = 0 if crash is None else crash + 1
    assert (written.items, written.written, written.there) == (4, 4 - there, there)
    assert sorted(one["dynamodb"]["Keys"]["id"]["S"] for one in lines(objects, LOG)) == ["i1", "i2", "i3", "i4"]
    names = [uri.rpartition("-")[2] for uri in objects.stored if uri.startswith(LOG)]
    assert sorted(names) == ["00000.json.gz", "00001.json.gz", "00002.json.gz", "00003.json.gz"]


@pytest.mark.fault(55)
def test_an_item_of_a_snapshot_has_no_sequence_number_and_so_precedes_every_change_of_its_key(
    objects: MemoryObjects, clock: Clock
) -> None:
    exported(objects, [item(1)], clock())
    snapshot(objects, clock)

    (record,) = lines(objects, LOG)
    assert "SequenceNumber" not in record["dynamodb"]
    assert parse_change(json.dumps(record), "").sequence is None


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"exportType": "INCREMENTAL_EXPORT"}, "full export"),
        ({"outputFormat": "ION"}, "full export"),
        ({"itemCount": 9}, "should have 9 items"),
        ({"exportTime": "2026-11-20T00:00:00Z"}, "export again"),
    ],
)
def test_an_incomplete_or_old_export_is_rejected(
    objects: MemoryObjects, clock: Clock, more: dict[str, Any], reason: str
) -> None:
    exported(objects, [item(1)], clock(), **more)

    with pytest.raises(UsageError, match=reason):
        snapshot(objects, clock)


def test_a_folder_without_an_export_is_rejected(objects: MemoryObjects, clock: Clock) -> None:
    with pytest.raises(UsageError, match="manifest-summary"):
        snapshot(objects, clock)


@pytest.mark.parametrize("seed", range(100))
def test_applying_snapshot_and_stream_in_order_gives_the_table(seed: int) -> None:
    """The stream starts, the table is exported while it changes, and then the producer starts to read."""
    chance, clock = random.Random(seed), Clock(datetime(2026, 11, 22, 7, tzinfo=UTC))
    objects, stream = MemoryObjects(Faults(clock)), list[dict[str, Any]]()
    table, numbers = {n: item(n) for n in range(10)}, itertools.count(100)

    def change() -> None:
        clock.advance(seconds=chance.choice([0, 1, 60]))
        number, sequence = chance.randrange(15), next(numbers)
        old, new = table.pop(number, None), None if chance.random() < 0.3 else item(number, value=sequence)
        if old is None and new is None:
            return
        body: dict[str, Any] = {"Keys": {"id": {"S": f"i{number}"}}, "SequenceNumber": str(sequence)}
        body["ApproximateCreationDateTime"] = int(clock().timestamp())
        body |= ({"OldImage": old} if old else {}) | ({"NewImage": new} if new else {})
        name = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
        stream.append({"eventID": f"e{sequence}", "eventName": name, "dynamodb": body})
        if new is not None:
            table[number] = new

    for _ in range(chance.randrange(20)):
        change()
    exported(objects, list(table.values()), clock())
    for _ in range(chance.randrange(20)):
        change()
    snapshot(objects, clock)
    producer = Producer(objects, LOG, "s3://data", ATTRIBUTE, clock, print, parallel=1)
    clock.advance(minutes=5)
    while stream:
        done = chance.randrange(1, 8)
        producer.produce({"Records": stream[:done]})
        del stream[:done]
        clock.advance(seconds=60)
        if chance.random() < 0.5:
            change()

    state: dict[str, Any] = {}
    for line in lines(objects, f"{LOG}/provider=a/"):
        change_ = parse_change(json.dumps(line), "")
        state[change_.keys["id"]] = change_.new
    wanted = {f"i{n}": int(found["value"]["N"]) for n, found in table.items()}
    assert {name: new["value"] for name, new in state.items() if new} == wanted


def test_ids_are_derived_from_table_time_and_keys() -> None:
    export = Export(f"{TABLE}/export/1", TABLE, datetime(2026, 11, 22, tzinfo=UTC), 1, ())
    later = Export(f"{TABLE}/export/2", TABLE, export.time + timedelta(days=1), 1, ())

    def id_of(which: Export, of: dict[str, Any]) -> str:
        return str(insert_record(which, of, ["id"])["eventID"])

    assert id_of(export, item(1, value=5)) == id_of(export, item(1))
    assert len({id_of(export, item(1)), id_of(export, item(2)), id_of(later, item(1))}) == 3
