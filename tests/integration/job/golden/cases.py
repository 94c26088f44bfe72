"""The inputs of the golden corpus: every record shape, type, target and order, good and bad, all fixed."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

from tests.unit.job.records import export, kinesis, line, stream

BOTH = ("lambda", "glue")


@dataclass(frozen=True)
class Case:
    """One run of the job.

    Attributes
    ----------
    files
        Name under the provider's prefix -> bytes.
    settings
        Arguments of the job, in addition to those that every run has.
    transform, etl
        Source that replaces the script's own.
    target
        "queue", "topic" or "bus".
    after_plan
        Change of the file "a.json" between plan and run: "", "overwritten" or "deleted".
    manifest
        Error in the manifest: "", "of another provider", "no manifest" or "missing".
    """

    name: str
    files: dict[str, bytes] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    transform: str = ""
    etl: str = ""
    target: str = "queue"
    after_plan: str = ""
    manifest: str = ""
    engines: tuple[str, ...] = BOTH

    @property
    def ordered(self) -> bool:
        """Whether the target is FIFO."""
        return self.settings.get("message_order") == "key"


def gzipped(data: bytes) -> bytes:
    """A gzip member without compression: every zlib writes the same bytes, so ETags and ids stay the same."""
    assert len(data) < 2**16
    block = struct.pack("<BHH", 1, len(data), len(data) ^ 0xFFFF) + data
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + block + struct.pack("<II", zlib.crc32(data), len(data))


def _named(record: dict[str, Any], event_id: str) -> dict[str, Any]:
    return {**record, "eventID": event_id}


def _lines(*records: Any) -> bytes:
    return b"".join(line(record) + b"\n" for record in records)


def _all_types() -> dict[str, Any]:
    return {
        "pk": {"S": "a"},
        "sk": {"N": "7"},
        "digits": {"N": "12345678901234567890123456789012345678"},
        "fraction": {"N": "-1.50"},
        "exponent": {"N": "1E+20"},
        "small": {"N": "1e-100"},
        "nineteen": {"N": "1234567890123456789"},
        "zero": {"N": "0"},
        "minus zero": {"N": "-0"},
        "binary": {"B": "AAEC/w=="},
        "true": {"BOOL": True},
        "null": {"NULL": True},
        "strings": {"SS": ["a", "b"]},
        "numbers": {"NS": ["1", "2.50", "12345678901234567890"]},
        "binaries": {"BS": ["AA==", "AQ=="]},
        "list": {"L": [{"S": "x"}, {"N": "1.0"}, {"L": []}, {"M": {"deep": {"M": {"er": {"NULL": True}}}}}]},
        "map": {"M": {"": {"S": "empty name"}, "Name": {"S": "1"}, "name": {"S": "2"}}},
        "empty": {"S": ""},
        "text": {"S": 'ä€𝄞 "\\\n\t\u0001\u2028 \ufffe\uffff'},
    }


def _shapes() -> dict[str, bytes]:
    views = {
        "KEYS_ONLY": {"NewImage": None, "OldImage": None},
        "NEW_IMAGE": {"OldImage": None},
        "OLD_IMAGE": {"NewImage": None},
        "NEW_AND_OLD_IMAGES": {},
    }
    streams = [
        _named(stream(event, StreamViewType=view, SequenceNumber=f"{n}00{m}", **images), f"s-{n}-{m}")
        for n, event in enumerate(("INSERT", "MODIFY", "REMOVE"))
        for m, (view, images) in enumerate(views.items())
    ]
    expired = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    ttl = {**_named(stream("REMOVE", NewImage=None), "ttl"), "userIdentity": expired}
    without_id = {name: value for name, value in stream().items() if name != "eventID"}
    kineses = [
        _named(kinesis("INSERT"), "k-1"),
        _named(kinesis("MODIFY", "MILLISECOND", 1700000000123), "k-2"),
        _named(kinesis("REMOVE", None, 1700000000123), "k-3"),
        _named(kinesis("INSERT", "SECOND", 1700000000), "k-4"),
    ]
    exports = [
        export(old=False),
        export(),
        export(new=False),
        export(new=False, old=False),
        export(written=1680109764000001),
        export(written="1680109764000002"),
    ]
    types = _named(stream(NewImage=_all_types(), OldImage=None), "types")
    return {
        "streams.json.gz": gzipped(_lines(*streams, ttl, without_id)),
        "kinesis.json": _lines(*kineses),
        "2026/11/22/export.json.gz": gzipped(_lines(*exports[:3])) + gzipped(_lines(*exports[3:])[:-1]) + b"\0\0\0",
        "types.json": b"\n \n" + line(types),
        "empty.json": b"",
        "empty.json.gz": gzipped(b""),
    }


def _per_key() -> dict[str, bytes]:
    """Changes of four keys, out of order, in three objects."""
    files = {}
    for n in range(3):
        records = [
            _named(
                stream(Keys={"pk": {"S": f"key {m % 4}"}}, SequenceNumber=str(1000 + m * 10 + (7 * n) % 3)),
                f"o-{n}-{m}",
            )
            for m in range(12)
        ]
        files[f"{n}.json"] = _lines(*records)
    return files


GOOD = line(_named(stream("INSERT"), "good")) + b"\n"
BAD_LINES: dict[str, bytes] = {
    "not JSON": b'{"dynamodb": canary',
    "JSON of another kind": b'["canary"]',
    "no change record": b'{"canary": 1}',
    "of a full export": b'{"Item": {"canary": {"S": "x"}}}',
    "two on a line": line(stream()) + line(stream()),
    "invalid UTF-8": line(stream()).replace(b'"a"', b'"\xff"'),
    "a lone surrogate": line(stream()).replace(b'"a"', b'"\\ud800"'),
    "unknown event name": line(stream("UPSERT")),
    "unknown type": line(stream(NewImage={"x": {"Q": "canary"}})),
    "a value that does not fit its type": line(stream(NewImage={"x": {"S": 1}})),
    "two types": line(stream(NewImage={"x": {"S": "1", "N": "1"}})),
    "a bare value": line(stream(NewImage={"x": "canary"})),
    "NULL that is false": line(stream(NewImage={"x": {"NULL": False}})),
    "a number that is none": line(stream(NewImage={"x": {"N": "canary"}})),
    "a number as JSON": line(stream(NewImage={"x": {"N": 1}})),
    "no keys": line(stream(Keys=None)),
    "no time": line(stream(ApproximateCreationDateTime=None)).replace(b"1428537600", b"null"),
    "a time beyond all years": line(stream(ApproximateCreationDateTime=10**15)),
    "a sequence number that is none": line(stream(SequenceNumber="canary")),
    "an event id that is no string": line(_named(stream(), 1)),  # type: ignore[arg-type]
    "an export without a time": line(export(written="canary")),
    "longer than a line may be": b'{"x": "' + b"c" * (16 * 2**20) + b'"}',
}
BAD_OBJECTS: dict[str, bytes] = {
    "corrupt gzip": gzipped(GOOD * 50)[:40] + b"\0" * 40 + gzipped(GOOD * 50)[80:],
    "truncated gzip": gzipped(GOOD * 50)[:-9],
    "bytes after gzip": gzipped(GOOD) + b"canary",
    "not gzip": b"canary",
    "zstd": b"\x28\xb5\x2f\xfdcanary",
}


def _bad() -> list[Case]:
    """Each bad line or object alone, on the engine that starts faster; all of them together, on both engines."""
    other = _lines(_named(stream(), "other"))
    behind = line(_named(stream("REMOVE"), "behind"))
    lines = {name: GOOD + bad + b"\n" + behind for name, bad in BAD_LINES.items()}
    every = {f"{name}.json": body for name, body in lines.items()}
    every |= {f"{name}.json.gz": body for name, body in BAD_OBJECTS.items()} | {"other.json": other}
    return [
        *(
            Case(f"a bad line, {name}", {"a.json": body, "b.json": other}, engines=("lambda",))
            for name, body in lines.items()
        ),
        *(
            Case(f"a bad object, {name}", {"a.json.gz": body, "b.json": other}, engines=("lambda",))
            for name, body in BAD_OBJECTS.items()
        ),
        Case("everything bad at once", every),
        Case("everything bad at once, quarantine", every, {"on_bad_record": "quarantine"}),
    ]


SPLITTING = """    if change.operation == "remove":
        return None
    if change.sequence is None:
        return [{"part": n, "key": change.keys} for n in range(2)]
    return {"twice": (change.new or {}).get("price", 0) * 2}
"""
RAISING = """    raise ValueError(f"canary {change.keys}")
"""
NOT_JSON = """    return {"what": object()}
"""
NO_DICT = """    return "canary"
"""
LEAVING_OUT = """
def etl(changes):
    return changes.where("operation != 'remove'").selectExpr(
        "id", "operation", "time", "subject", "sequence", "position", "to_json(named_struct('was', data)) as data"
    )
"""
DROPPING = """
def etl(changes):
    return changes.drop("position")
"""

CASES: list[Case] = [
    Case("every shape and type", _shapes()),
    Case("every shape and type, in order", _shapes(), {"message_order": "key"}),
    Case("changes of a key, in order", _per_key(), {"message_order": "key"}),
    Case("to a topic", _shapes(), target="topic"),
    Case("to an event bus", _shapes(), target="bus"),
    Case("no objects"),
    Case("a transform that drops, splits and computes", _shapes(), transform=SPLITTING),
    Case(
        "a transform that drops, splits and computes, in order",
        _per_key() | _shapes(),
        {"message_order": "key"},
        SPLITTING,
    ),
    Case("a transform that raises", {"a.json": GOOD}, transform=RAISING),
    Case("a transform that raises, quarantine", {"a.json": GOOD}, {"on_bad_record": "quarantine"}, RAISING),
    Case("a transform of no JSON form", {"a.json": GOOD}, transform=NOT_JSON),
    Case("a transform of no dict", {"a.json": GOOD}, transform=NO_DICT),
    Case("a native etl", _shapes(), etl=LEAVING_OUT),
    Case("a native etl, in order", _per_key(), {"message_order": "key"}, etl=LEAVING_OUT, engines=("glue",)),
    Case("a native etl without a column", {"a.json": GOOD}, etl=DROPPING, engines=("glue",)),
    Case("messages by claim check", _shapes(), {"max_message_bytes": "700"}),
    Case("messages too large even so", {"a.json": GOOD}, {"max_message_bytes": "200"}),
    Case(
        "messages too large even so, quarantine",
        {"a.json": GOOD},
        {"max_message_bytes": "200", "on_bad_record": "quarantine"},
    ),
    Case("a bad line, in order", _per_key() | {"bad.json": b"bad"}, {"message_order": "key"}),
    Case("many bad lines, quarantine", {"a.json": GOOD + b"bad\n" * 120 + GOOD}, {"on_bad_record": "quarantine"}),
    Case("several bad objects", {"a.json": b"bad", "b.json": GOOD + b"bad\n", "c.json.gz": b"canary"}),
    Case("an object overwritten after the plan", {"a.json": GOOD, "b.json": GOOD}, after_plan="overwritten"),
    Case("an object deleted after the plan", {"a.json": GOOD, "b.json": GOOD}, after_plan="deleted"),
    Case("a manifest of another provider", {"a.json": GOOD}, manifest="of another provider"),
    Case("a manifest that is none", {"a.json": GOOD}, manifest="no manifest"),
    Case("a manifest that is missing", {"a.json": GOOD}, manifest="missing"),
    Case(
        "an order that does not fit the target",
        {"a.json": GOOD},
        {"queue_url": "https://queue.example/plain", "message_order": "key"},
    ),
    Case("a target that is none", {"a.json": GOOD}, {"queue_url": "arn:aws:s3:::canary"}),
    Case("a setting that is none", {"a.json": GOOD}, {"message_order": "canary"}),
    *_bad(),
]
assert len({case.name for case in CASES}) == len(CASES)
