"""Damaged and foreign objects under the producer's names, and crashes between two of its writes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from fanout.manifests import why_ignored
from fanout.production import MAX_BYTES, packed
from tests.harness.faults import Crash, Fault
from tests.harness.shelf import DATA, LOG, Shelf


def bomb() -> bytes:
    """A small gzip file of 100 MB."""
    return gzip.compress(b"\n" * (MAX_BYTES + 1))


def line_of(**change: Any) -> bytes:
    return packed([json.dumps(change).encode()])


FOREIGN = {
    "an object of another record": line_of(eventID="id-9", dynamodb={"SequenceNumber": "9"}),
    "no gzip": b"hello",
    "nothing": b"",
    "cut": packed([b"{}"])[:-9],
    "damaged": packed([b"{}" * 999])[:30] + b"\x00\x01" + packed([b"{}" * 999])[32:],
    "two members": packed([b"{}"]) * 2,
    "a bomb": bomb(),
    "an empty gzip without its hidden object": packed([]),
    "no JSON": packed([b"{"]),
    "no object": packed([b"5"]),
    "deep JSON": packed([b"[" * 100_000]),
    "no UTF-8": packed([b"\xff"]),
    "no sequence number": line_of(eventID="id-1", dynamodb={}),
    "a sequence number of another form": line_of(eventID="id-1", dynamodb={"SequenceNumber": "../1"}),
    "an id of another type": line_of(eventID=["id-1"], dynamodb={"SequenceNumber": "1"}),
    "a record that is no object": line_of(eventID="id-1", sequence="1", record=5),
}


@pytest.mark.fault(53)
@pytest.mark.parametrize("what", FOREIGN)
def test_a_damaged_or_foreign_object_is_named_and_its_records_are_written_beside_it(what: str) -> None:
    shelf = Shelf()
    batch = [shelf.change(number, org) for number, org in enumerate("abac", 1)]
    shelf.deliver(batch[0])
    (uri,) = shelf.objects.stored
    shelf.objects.add(uri, FOREIGN[what], shelf.clock())

    first = shelf.producer.produce({"Records": batch})
    again = shelf.producer.produce({"Records": batch})

    assert (first.failed, first.objects, first.foreign) == (again.failed, again.objects, again.foreign) == (None, 3, 1)
    assert shelf.objects.stored[uri][0] == FOREIGN[what]
    beside = uri.replace(".json.gz", "-1.json.gz")
    assert [line["eventID"] for line in shelf.lines(beside)] == ["id-1", "id-3"]
    assert [line["eventID"] for org in "bc" for line in shelf.lines(f"{LOG}/provider={org}/")] == ["id-2", "id-4"]
    note = f"{DATA}/quarantine/foreign/provider=a/{uri.partition('/provider=a/')[2]}.note.json"
    failure = json.loads(shelf.objects.stored[note][0])["failure"]
    assert (failure["type"], failure["object"]) == ("ForeignObjectError", uri)
    assert len(shelf.objects.stored) == 5
    assert len(shelf.said) == 2
    assert shelf.said[0].startswith(uri)


@pytest.mark.fault(53)
def test_a_note_that_cannot_be_written_stops_no_shard() -> None:
    shelf = Shelf()
    shelf.deliver(shelf.change(1, "a"))
    (uri,) = shelf.objects.stored
    shelf.objects.add(uri, b"damaged", shelf.clock())
    shelf.faults.plan("objects.create", None, None, Fault.FAIL_BEFORE)  # the object, the one beside it, and the note

    done = shelf.producer.produce({"Records": [shelf.change(1, "a")]})

    assert (done.failed, done.foreign) == (None, 1)
    assert len(shelf.objects.stored) == 2


@pytest.mark.fault(53)
def test_an_object_that_s3_refuses_to_return_stops_no_shard() -> None:
    shelf = Shelf()
    shelf.deliver(shelf.change(1, "a"))
    (uri,) = shelf.objects.stored
    shelf.objects.unreadable.add(uri)

    done = shelf.producer.produce({"Records": [shelf.change(1, "a"), shelf.change(2, "b")]})

    assert (done.failed, done.foreign) == (None, 1)
    assert [line["eventID"] for line in shelf.lines(uri.replace(".json.gz", "-1.json.gz"))] == ["id-1"]
    assert "InvalidObjectState" in shelf.said[0]


@pytest.mark.fault(53)
def test_damaged_objects_under_the_numbered_names_too_stop_no_shard() -> None:
    shelf = Shelf()
    shelf.deliver(shelf.change(1, "a"))
    (uri,) = shelf.objects.stored
    for number in ("", "-1", "-2"):
        shelf.objects.add(uri.replace(".json.gz", f"{number}.json.gz"), b"damaged", shelf.clock())

    done = shelf.producer.produce({"Records": [shelf.change(1, "a")]})

    assert (done.failed, done.foreign) == (None, 3)
    assert [line["eventID"] for line in shelf.lines(uri.replace(".json.gz", "-3.json.gz"))] == ["id-1"]


def signpost(shelf: Shelf) -> tuple[str, str, str]:
    """Write a batch, and then its first half: the URIs of the object, of the signpost, and of its hidden object."""
    batch = [shelf.change(number, "a") for number in (1, 2, 3, 4)]
    shelf.deliver(*batch)
    (uri,) = shelf.objects.stored
    shelf.deliver(*batch[:2])
    hidden, sign = sorted(
        set(shelf.objects.stored) - {uri}, key=lambda name: why_ignored(name.removeprefix("s3://")) is None
    )
    return uri, sign, hidden


@pytest.mark.fault(53)
@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"s3://", b"s3://log/change_log/provider=b/x", b"s3://elsewhere/x", None]
)
def test_a_signpost_that_leads_elsewhere_stops_no_shard(body: bytes | None) -> None:
    shelf = Shelf()
    uri, sign, hidden = signpost(shelf)
    if body is None:
        del shelf.objects.stored[uri]
    else:
        shelf.objects.add(hidden, body, shelf.clock())

    done = shelf.producer.produce({"Records": [shelf.change(3, "a"), shelf.change(4, "a"), shelf.change(5, "b")]})

    assert (done.failed, done.foreign) == (None, 1)
    assert [line["eventID"] for line in shelf.lines(sign.replace(".json.gz", "-1.json.gz"))] == ["id-3", "id-4"]


@pytest.mark.fault(55)
def test_a_signpost_names_the_first_record_after_the_batch_and_leads_to_the_object_with_it() -> None:
    shelf = Shelf()
    uri, sign, hidden = signpost(shelf)

    assert sign.rpartition("/")[2].startswith("3".zfill(40))
    assert shelf.objects.stored[hidden][0].decode() == uri
    assert shelf.deliver(shelf.change(3, "a"), shelf.change(4, "a"), shelf.change(5, "a")) is None
    assert [line["eventID"] for line in shelf.lines(LOG)] == ["id-1", "id-2", "id-3", "id-4", "id-5"]


@pytest.mark.fault(55)
@pytest.mark.parametrize("calls", range(1, 5))
def test_a_crash_between_any_two_writes_of_a_signpost_repeats_and_loses_no_record(calls: int) -> None:
    shelf = Shelf()
    batch = [shelf.change(number, "a") for number in (1, 2, 3, 4)]
    shelf.deliver(*batch)
    # create (it exists), read, create the hidden object, create the signpost
    before = len(shelf.faults.calls)
    faults = {"objects.create": [None, None, None], "objects.read": [None]}
    where, place = [("objects.create", 0), ("objects.read", 0), ("objects.create", 1), ("objects.create", 2)][calls - 1]
    faults[where][place] = Fault.CRASH_BEFORE  # type: ignore[call-overload]
    for name, planned in faults.items():
        shelf.faults.plan(name, *planned)
    with pytest.raises(Crash):
        shelf.deliver(*batch[:2])
    assert len(shelf.faults.calls) - before == calls

    shelf.faults.planned.clear()
    assert shelf.deliver(*batch[:2]) is None
    assert shelf.deliver(*batch[2:]) is None
    assert [line["eventID"] for line in shelf.lines(LOG)] == ["id-1", "id-2", "id-3", "id-4"]
