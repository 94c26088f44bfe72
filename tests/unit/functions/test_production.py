"""The producer's rules: the provider of a record, the key and content of an object, and retries after a failure."""

from __future__ import annotations

import base64
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fanout.errors import InvalidRequestError, SettingsError
from fanout.manifests import keeps_order
from fanout.production import KEY_TIME_FORMAT, MAX_RECORD_AGE
from fanout.stream_records import ProviderAttribute
from fanout_job.changes import parse_change
from tests.harness.faults import Clock, Fault
from tests.harness.shelf import ASIDE, LOG, Shelf

SAMPLES = sorted((Path(__file__).parents[2] / "data/stream_events").glob("*.json"))
KEYS = {"ankcorn-all-view-types": "pk", "powertools-typescript-kinesis": "id"}
"""The samples' attribute that names a provider, where it is not Id."""
GROUPS = "pk ^(?:ORG#([^#]+)|TEN#([^#]+))"


def test_a_batch_becomes_one_object_for_each_provider() -> None:
    shelf = Shelf()

    assert shelf.deliver(shelf.change(1, "a"), shelf.change(2, "b"), shelf.change(3, "a")) is None

    hour = f"{shelf.clock():{KEY_TIME_FORMAT}}"
    assert [uri.rpartition("-")[0] for uri in shelf.objects.stored.in_order()] == [
        f"{LOG}/provider=a/{hour}{'1'.zfill(40)}",
        f"{LOG}/provider=b/{hour}{'2'.zfill(40)}",
    ]
    assert [line["eventID"] for line in shelf.lines(f"{LOG}/provider=a/")] == ["id-1", "id-3"]


@pytest.mark.fault(34)
def test_a_redelivered_batch_has_the_same_keys_and_bytes_and_rewrites_no_object() -> None:
    first, second = Shelf(), Shelf()
    for shelf in (first, second):
        shelf.deliver(shelf.change(1, "a"), shelf.change(2, "b"))
    written = dict(first.objects.stored)
    assert {body[4:8] for body, _ in written.values()} == {bytes(4)}  # the time stamp in the header of gzip

    first.clock.advance(minutes=90)
    again = [second.change(1, "a"), second.change(2, "b")]
    assert first.deliver(*again) is None

    assert {uri: body for uri, (body, _) in written.items()} == {
        uri: body for uri, (body, _) in second.objects.stored.items()
    }
    assert dict(first.objects.stored) == written  # a later LastModified would make it new to a run


def test_a_key_has_the_hour_of_its_first_record() -> None:
    shelf = Shelf()
    late = int((shelf.clock() - timedelta(hours=5)).timestamp())

    shelf.deliver(shelf.change(1, "a", ApproximateCreationDateTime=late), shelf.change(2, "a"))

    assert all(f"{shelf.clock() - timedelta(hours=5):{KEY_TIME_FORMAT}}" in uri for uri in shelf.objects.stored)
    assert keeps_order(KEY_TIME_FORMAT)


@pytest.mark.parametrize("moment", [0, None, True, "soon", 1e300, float("nan")], ids=str)
def test_a_record_older_than_the_lookback_is_written_under_the_current_hour(moment: Any) -> None:
    shelf = Shelf()

    shelf.deliver(shelf.change(1, "a", ApproximateCreationDateTime=moment))

    assert all(f"{shelf.clock():{KEY_TIME_FORMAT}}" in uri for uri in shelf.objects.stored)


@pytest.mark.fault(35)
def test_a_failed_batch_is_retried_from_before_the_missing_records() -> None:
    shelf = Shelf()
    shelf.faults.plan("objects.create", None, Fault.FAIL_BEFORE, None)

    failed = shelf.deliver(shelf.change(1, "a"), shelf.change(2, "b"), shelf.change(3, "c"))

    assert failed == "2"
    assert "provider=b/" in shelf.said[0]


def test_a_retry_never_begins_within_a_written_object() -> None:
    shelf = Shelf()
    shelf.faults.plan("objects.create", None, None, Fault.FAIL_BEFORE)
    batch = [shelf.change(number, org) for number, org in enumerate("aabcab", 1)]

    assert shelf.deliver(*batch) == "1"  # c's record is within the range of a's object

    assert shelf.deliver(*batch) is None
    assert Counter(line["eventID"] for line in shelf.lines(LOG)) == Counter(f"id-{n}" for n in range(1, 7))


@pytest.mark.fault(34)
def test_a_smaller_batch_after_a_failure_repeats_no_record() -> None:
    shelf = Shelf()
    batch = [shelf.change(number, org) for number, org in enumerate("abab", 1)]
    shelf.faults.plan("objects.create", None, Fault.FAIL_BEFORE)
    assert shelf.deliver(*batch) == "1"

    for part in (batch[:2], batch[2:]):
        assert shelf.deliver(*part) is None

    assert [line["eventID"] for line in shelf.lines(f"{LOG}/provider=a/")] == ["id-1", "id-3"]
    assert [line["eventID"] for line in shelf.lines(f"{LOG}/provider=b/")] == ["id-2", "id-4"]


@pytest.mark.fault(34)
def test_records_redelivered_from_another_position_are_repeated_with_the_same_ids() -> None:
    shelf = Shelf()
    shelf.deliver(shelf.change(1, "a"), shelf.change(2, "a"))

    shelf.deliver(shelf.change(2, "a"), shelf.change(3, "a"))

    assert [line["eventID"] for line in shelf.lines(LOG)] == ["id-1", "id-2", "id-2", "id-3"]


@pytest.mark.fault(35)
@pytest.mark.parametrize(
    ("pk", "reason"),
    [
        ({"S": "ORG#../x#1"}, "is not allowed"),
        ({"S": "USER#7"}, "does not match the pattern"),
        ({"B": "aGk="}, "has no pk"),
        ({"S": "ORG#" + "a" * 65 + "#"}, "is not allowed"),
        ({"S": "ORG#\ud800#"}, "is not allowed"),
    ],
    ids=["path", "pattern", "binary", "long", "surrogate"],
)
def test_a_record_without_a_provider_is_quarantined_with_its_reason_and_others_are_written(
    pk: Any, reason: str
) -> None:
    shelf = Shelf()
    bad = shelf.change(1, "x", Keys={"pk": pk})

    done = shelf.producer.produce({"Records": [bad, shelf.change(2, "a")]})

    (aside,) = shelf.lines(ASIDE)
    assert reason in aside["reason"]
    assert aside["record"] == bad
    assert [line["eventID"] for line in shelf.lines(LOG)] == ["id-2"]
    assert (done.failed, done.records, done.unassigned, done.objects) == (None, 2, 1, 2)


def test_a_kinesis_record_that_is_no_change_is_quarantined() -> None:
    shelf = Shelf()
    for number, data in enumerate([b"\xff", b"[]", b"{}", b'{"dynamodb": 1, "eventID": "x"}', b"[" * 100_000]):
        kinesis = {"sequenceNumber": str(number), "data": base64.b64encode(data).decode()}

        assert shelf.deliver({"eventID": f"shard:{number}", "kinesis": kinesis}) is None

    assert [line["reason"] for line in shelf.lines(ASIDE)] == ["is not a change record of DynamoDB"] * 5


@pytest.mark.parametrize("records", [None, [{}], [1], [{"eventID": "1"}], 1])
def test_an_event_of_another_form_is_refused(records: Any) -> None:
    with pytest.raises(InvalidRequestError):
        Shelf().producer.produce({"Records": records})


@pytest.mark.parametrize(
    ("attribute", "images", "provider"),
    [
        ("tenant", {"Keys": {"tenant": {"S": "a"}}, "NewImage": {"tenant": {"S": "b"}}}, "a"),
        ("tenant", {"Keys": {}, "NewImage": {"tenant": {"S": "b"}}, "OldImage": {"tenant": {"S": "c"}}}, "b"),
        ("tenant", {"Keys": {}, "OldImage": {"tenant": {"S": "c"}}}, "c"),
        ("number", {"Keys": {"number": {"N": "42"}}}, "42"),
        ("owner.tenant", {"Keys": {}, "NewImage": {"owner": {"M": {"tenant": {"S": "d"}}}}}, "d"),
        ("pk ^ORG#([^#]+)#", {"Keys": {"pk": {"S": "ORG#e#7"}}}, "e"),
        ("pk [a-z]+$", {"Keys": {"pk": {"S": "ORG#f"}}}, "f"),
        ('"tenant.id"', {"Keys": {"tenant.id": {"S": "g"}, "tenant": {"M": {"id": {"S": "x"}}}}}, "g"),
        ("tenant.id", {"Keys": {"tenant.id": {"S": "g"}, "tenant": {"S": "x"}}}, "g"),
        ("tenant.id", {"Keys": {}, "NewImage": {"tenant.id": {"S": "x"}, "tenant": {"M": {"id": {"S": "g"}}}}}, "g"),
        ('"Tenant Id"', {"Keys": {"Tenant Id": {"S": "h"}, "Tenant": {"S": "x"}}}, "h"),
        ('"Tenant Id" ^ORG#([^#]+)', {"Keys": {"Tenant Id": {"S": "ORG#i"}}}, "i"),
        ('owner."a.b c".id', {"Keys": {}, "NewImage": {"owner": {"M": {"a.b c": {"M": {"id": {"S": "j"}}}}}}}, "j"),
        (r'"say \"x\""', {"Keys": {'say "x"': {"S": "k"}}}, "k"),
        (r'"K\u00fcrzel"', {"Keys": {"Kürzel": {"S": "l"}}}, "l"),
        ("Kürzel", {"Keys": {"Kürzel": {"S": "l"}}}, "l"),
        (GROUPS, {"Keys": {"pk": {"S": "ORG#m#1"}}}, "m"),
        (GROUPS, {"Keys": {"pk": {"S": "TEN#n"}}}, "n"),
    ],
)
def test_a_provider_is_named_by_the_keys_else_by_the_new_else_by_the_old_image(
    attribute: str, images: dict[str, Any], provider: str
) -> None:
    assert ProviderAttribute.parse(attribute).provider_of(images) == provider


@pytest.mark.parametrize("text", ["", " ", "pk [", ".", "a.", ".a", "a..b", '"a', '""', 'a"b"', r'"\x"'])
def test_a_provider_attribute_that_cannot_be_used_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="ProviderAttribute"):
        ProviderAttribute.parse(text)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_job_reads_published_sample_events(path: Path) -> None:
    event = json.loads(path.read_text(encoding="utf-8"))
    shelf = Shelf(attribute=KEYS.get(path.stem, "Id"), clock=Clock(datetime(2024, 11, 19, tzinfo=UTC)))

    done = shelf.producer.produce(event)

    assert (done.failed, done.unassigned) == (None, 0)
    changes = [parse_change(json.dumps(line), "") for line in shelf.lines(LOG)]
    wanted = [json.loads(base64.b64decode(r["kinesis"]["data"])) if "kinesis" in r else r for r in event["Records"]]
    assert [change.id for change in changes]
    assert {c.id for c in changes} == {w["eventID"] for w in wanted}
    images = {w["eventID"]: set(w["dynamodb"]) & {"NewImage", "OldImage"} for w in wanted}
    for change in changes:
        assert (change.new is not None, change.old is not None) == tuple(
            image in images[change.id] for image in ("NewImage", "OldImage")
        )


def test_the_samples_have_all_view_types() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in SAMPLES)
    assert all(f'"{view}"' in text for view in ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"))


def test_no_key_is_older_than_the_lookback_of_runs() -> None:
    assert timedelta(days=1) > MAX_RECORD_AGE


@pytest.mark.fault(35)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe{",
        b"[" * 100_000,
        b'{"eventID":"e","dynamodb":[]}',
        b'{"eventID":{"x":1},"dynamodb":{"Keys":{"pk":{"S":"ORG#a#"}}}}',
        b'{"eventID":"e","record":5,"dynamodb":{"Keys":{"pk":{"S":"ORG#a#"}}}}',
        b'{"eventID":"e","sequence":{},"reason":1,"dynamodb":{"Keys":{"pk":{"S":"ORG#a#"}}}}',
        b'{"eventID":"e\\ud800","dynamodb":{"Keys":{"pk":{"S":"ORG#a#"}}}}',
        b'{"eventID":"e","dynamodb":{"Keys":{"pk":{"S":"ORG#a#"}},"ApproximateCreationDateTime":1e999}}',
        b'{"eventID":"e","dynamodb":{"Keys":{"pk":{"S":["ORG#a#"]}},"ApproximateCreationDateTime":NaN}}',
        b'{"eventID":"e","dynamodb":{"Keys":[1],"ApproximateCreationDateTimePrecision":[]}}',
    ],
)
def test_the_shard_continues_after_any_kinesis_record_even_if_redelivered(data: bytes) -> None:
    shelf = Shelf()
    record = {"eventID": "s:1", "kinesis": {"sequenceNumber": "1", "data": base64.b64encode(data).decode()}}

    assert shelf.deliver(record) is None
    assert shelf.deliver(record) is None
    assert len(shelf.lines("s3://")) == 1


@pytest.mark.fault(34)
def test_a_batch_keeps_its_keys_until_after_the_last_retry_of_lambda() -> None:
    shelf = Shelf()
    batch = [shelf.change(1, "a"), shelf.change(2, "b")]
    shelf.clock.advance(hours=19, minutes=59)
    shelf.faults.plan("objects.create", None, Fault.FAIL_BEFORE)

    assert shelf.deliver(*batch) is not None
    shelf.clock.advance(hours=1)
    assert shelf.deliver(*batch) is None

    assert [line["eventID"] for line in shelf.lines(LOG)] == ["id-1", "id-2"]
