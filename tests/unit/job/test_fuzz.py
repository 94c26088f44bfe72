"""Mutated records and objects give exact messages or typed errors that name object and line."""

from __future__ import annotations

import gzip
import io
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.manifest import PlannedObject
from fanout_job.changes import parse_change, plain_item
from fanout_job.delivery import Delivery
from fanout_job.errors import BadInputError
from fanout_job.foreign import binary_format, text_format
from fanout_job.messages import encode
from tests.unit.job.records import SETTINGS, export, kinesis, line, stream

RECORDS = [
    stream("INSERT"),
    stream("MODIFY"),
    stream("REMOVE"),
    kinesis(),
    export(),
    export(old=False),
    export(new=False),
]
OBJECT = PlannedObject("data", "change_log/provider=acme/part.json.gz", 100, "etag", 0)
PLAIN = PlannedObject("data", "change_log/provider=acme/part.json", 100, "etag", 1)

scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5))
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


@st.composite
def mutated_records(draw: st.DrawFn) -> Any:
    """A good record with one of its parts replaced, removed or doubled."""
    record: Any = json.loads(json.dumps(draw(st.sampled_from(RECORDS))))
    parts = [(record, key) for key in record]
    for container, key in parts:
        inner = container[key]
        if isinstance(inner, dict):
            parts += [(inner, k) for k in inner]
    container, key = draw(st.sampled_from(parts))
    match draw(st.sampled_from(["replace", "remove", "rename"])):
        case "replace":
            container[key] = draw(anything)
        case "remove":
            del container[key]
        case "rename":
            container[draw(st.text(max_size=4))] = container.pop(key)
    return record


@st.composite
def mutated_lines(draw: st.DrawFn) -> bytes:
    """A record with bytes flipped, cut or inserted."""
    raw = bytearray(line(draw(mutated_records()) if draw(st.booleans()) else draw(st.sampled_from(RECORDS))))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, max(0, len(raw) - 1)))
        match draw(st.sampled_from(["flip", "cut", "insert"])):
            case "flip" if raw:
                raw[place] = draw(st.integers(0, 255))
            case "cut":
                del raw[place : place + draw(st.integers(1, 10))]
            case "insert":
                raw[place:place] = draw(st.binary(max_size=4))
    return bytes(raw)


class GivenBytes:
    """The part of S3 that a task uses, over one object, whose bytes are returned 50 at a time."""

    def __init__(self, raw: bytes) -> None:
        self.raw = io.BytesIO(raw)

    def get_object(self, **which: str) -> dict[str, Any]:
        return {"Body": self}

    def read(self, amount: int) -> bytes:
        return self.raw.read(50)


class Reading(Delivery):
    """A task whose objects are given."""

    def __init__(self) -> None:
        super().__init__(SETTINGS, lambda change: change.data)

    def read(self, raw: bytes, obj: PlannedObject = OBJECT) -> list[dict[str, Any]]:
        """Return the events of an object; its failures are in the tally."""
        self.s3 = self.maker.s3 = GivenBytes(raw)
        return [json.loads(message.body, parse_float=Decimal, parse_int=Decimal) for message in self.messages([obj])]


def exact(raw: bytes, event: dict[str, Any]) -> bool:
    """Whether an event equals its line as read by Python's own JSON parser."""
    record = json.loads(raw)
    body = record.get("dynamodb", record)
    images = {"keys": "Keys", "new": "NewImage", "old": "OldImage"}
    for ours, theirs in images.items():
        image = body.get(theirs)
        expected = (
            None if image is None else json.loads(encode(plain_item(image)), parse_float=Decimal, parse_int=Decimal)
        )
        if event["data"].get(ours) != expected:
            return False
    return not isinstance(record.get("eventID"), str) or not record["eventID"] or event["id"] == record["eventID"]


@pytest.mark.slow
@settings(max_examples=600)
@given(st.lists(mutated_lines(), min_size=1, max_size=4), st.booleans())
def test_mutated_lines_give_exact_events_or_errors_naming_object_and_line(lines: list[bytes], zipped: bool) -> None:
    lines = [one.replace(b"\n", b" ") for one in lines]
    raw = b"\n".join(lines)
    if raw.startswith(b"\x1f\x8b") or binary_format(raw):
        return  # its bytes are those of another format by chance
    task, obj = Reading(), OBJECT if zipped else PLAIN
    events = task.read(gzip.compress(raw) if zipped else raw, obj)
    lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
    filled = [(number, one) for number, one in enumerate(lines, 1) if one.strip()]
    assert len(events) == task.tally.rows
    for (_, one), event in zip(filled, events, strict=False):
        assert exact(one, event)
    if task.tally.failures:
        [failure] = task.tally.failures
        bad_number = filled[len(events)][0]
        if failure.type == "CorruptObjectError":
            assert bad_number == filled[0][0]
            assert failure.message == text_format(filled[0][1])
        else:
            assert failure.type in ("RecordError", "TransformError", "LineTooLongError")
        assert (failure.object, failure.line) == (obj.uri, bad_number)
        assert failure.text == f"{obj.uri}, line {bad_number}: {failure.message}"
    else:
        assert len(events) == len(filled), "a row is missing without an error"


@pytest.mark.slow
@settings(max_examples=400)
@given(st.sampled_from(RECORDS), st.integers(1, 5), st.data())
def test_mutated_objects_give_whole_rows_or_errors_naming_object_and_line(
    record: Any, rows: int, data: st.DataObject
) -> None:
    good = line(record)
    raw = bytearray(gzip.compress(b"\n".join([good] * rows)))
    place = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        raw[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del raw[place:]
    task = Reading()
    events = task.read(bytes(raw))
    if task.tally.failures:
        [failure] = task.tally.failures
        assert failure.object == OBJECT.uri
        assert 1 <= failure.line <= rows + 1
    elif not raw:
        assert events == []
    else:
        assert len(events) == rows, "rows are missing without an error"
        assert all(exact(good, event) for event in events)


@given(mutated_records())
def test_mutated_records_are_read_the_same_every_time(record: Any) -> None:
    def read() -> Any:
        try:
            return parse_change(json.dumps(record).encode(), "x")
        except BadInputError as error:
            return str(error)

    assert read() == read()


def test_the_fuzz_sees_both_outcomes() -> None:
    task = Reading()
    assert task.read(gzip.compress(line(stream()) + b"\nbroken")) != []
    assert task.tally.failures
    damaged = Reading()
    damaged.read(gzip.compress(line(stream()))[:-3])
    assert [failure.type for failure in damaged.tally.failures] == ["CorruptObjectError"]
