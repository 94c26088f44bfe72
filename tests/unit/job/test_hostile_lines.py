"""20,000 mutated records through the whole task: each line becomes a message or an error that names it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from contract.manifest import PlannedObject
from fanout_job.delivery import Delivery
from fanout_job.errors import BadInputError
from fanout_job.task import guarded
from tests.unit.job.records import SETTINGS, export, kinesis, line, stream

RECORDS = [stream(event) for event in ("INSERT", "MODIFY", "REMOVE")]
RECORDS += [kinesis(), kinesis(precision=None), export(), export(old=False), export(new=False)]
LINES = 20_000
LINES_PER_OBJECT = 100

DEEP, DEEP_MAP = "[" * 280 + "]" * 280, '{"M":{"":' * 280 + '{"S":"x"}' + "}}" * 280
HOSTILE: list[Any] = [
    {"N": "1E+99999999999999999999"},
    {"N": "-1e-99999"},
    {"N": "9" * 5_000},
    {"N": "1." + "0" * 300},
    {"N": "NaN"},
    {"N": "Infinity"},
    {"N": "٣"},
    {"N": "1_000"},
    {"N": ""},
    {"N": 7},
    {"NS": ["1", "1E+99999999999999999999"]},
    {"L": [{"N": "1"}, 7]},
    {"M": {"": {"M": {"": {"NULL": False}}}}},
    {"BS": ["AA==", 1]},
    {"B": None},
    {"S": "\x1b[2J\u2028\ufffe\uffff\u0000"},
    {"S": "x", "N": "1"},
    {},
    "9" * 5_000,
    "\ud800",
    "",
    2**64,
    -(2**63),
    1e308,
    10**30,
    0.1,
    True,
    None,
    [],
    "SECOND",
    "INSERT",
]
TEXTS = [*(json.dumps(value) for value in HOSTILE), DEEP, DEEP_MAP]
RAW = ["1e999", "NaN", "-Infinity", "9" * 5_000, '"\\ud800"', "[" * 5_000, '{"a":1,"a":2}', "\ufeff", "\\u0000", "}{"]


class MemoryS3:
    """The part of S3 that a task uses, in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def get_object(self, Bucket: str, Key: str, **how: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        body = self.objects[Key]

        class Body:
            """Returns the whole body at once."""

            rest = body

            def read(self, amount: int) -> bytes:
                given, self.rest = self.rest, b""
                return given

        return {"Body": Body()}

    def put_object(self, Bucket: str, Key: str, Body: bytes, **how: str) -> None:  # noqa: N803 - boto3's names
        self.objects[Key] = Body

    def copy_object(self, Key: str, CopySource: dict[str, str], **how: str) -> None:  # noqa: N803 - boto3's names
        self.objects[Key] = self.objects[CopySource["Key"]]


def mutated(dice: random.Random) -> bytes:
    """A good record with one to three of its parts made hostile, as values, as JSON text or as bytes."""
    record = json.loads(json.dumps(dice.choice(RECORDS)))
    for _ in range(dice.randint(1, 2)):
        parts: list[tuple[Any, Any]] = []

        def collect(inner: Any, parts: list[tuple[Any, Any]] = parts) -> None:
            for key in list(inner) if isinstance(inner, dict) else range(len(inner)):
                parts.append((inner, key))
                if isinstance(inner[key], dict | list) and len(parts) < 200:
                    collect(inner[key])

        collect(record)
        if not parts:
            break
        container, key = dice.choice(parts)
        match dice.randrange(3):
            case 0:
                container[key] = f"@{dice.randrange(len(TEXTS))}@"
            case 1:
                del container[key]
            case _ if isinstance(container, dict):
                name = dice.choice(["", "N", "S", "M", "dynamodb", "Metadata", "Keys", "x" * 70_000])
                container[name] = json.loads(json.dumps(container[key]))
    raw = re.sub('"@([0-9]+)@"', lambda found: TEXTS[int(found[1])], json.dumps(record))
    if dice.random() < 0.4:
        place = dice.randrange(len(raw) + 1)
        values = list(re.finditer(r'(?<=:)\s*("[^"]*"|[0-9]+)', raw))
        found = dice.choice(values) if values and dice.random() < 0.7 else None
        start, end = found.span() if found else (place, place)
        raw = raw[:start] + dice.choice(RAW) + raw[end:]
    body = bytearray(raw.encode("utf-8", "surrogatepass"))
    for _ in range(dice.choice([0, 0, 0, 1, 2])):
        place = dice.randrange(len(body)) if body else 0
        body[place : place + dice.randint(0, 2)] = dice.randbytes(dice.randint(0, 2))
    return bytes(body).replace(b"\n", b" ")


@cache
def hostile_lines() -> list[bytes]:
    """The same 20,000 at each run, a tenth of them good."""
    dice = random.Random(20_261_125)
    return [mutated(dice) if number % 10 else line(dice.choice(RECORDS)) for number in range(LINES)]


def change_log(per_object: int) -> Iterator[tuple[PlannedObject, list[bytes]]]:
    """All lines, in objects of this many lines."""
    lines = hostile_lines()
    for index, start in enumerate(range(0, LINES, per_object)):
        key = f"change_log/provider=acme/part-{index}.json"
        yield PlannedObject("data", key, 1, f"etag-{index}", index), lines[start : start + per_object]


def task_of(s3: MemoryS3, on_bad_record: str) -> Delivery:
    """A task that works in memory."""
    settings = replace(SETTINGS, on_bad_record=on_bad_record)
    task = Delivery(settings, lambda change: change.data)
    task.s3 = task.maker.s3 = s3
    return task


def filled(lines: list[bytes]) -> list[int]:
    """Numbers of the lines that are not empty."""
    return [number for number, one in enumerate(lines, 1) if one and not one.isspace()]


NAMED = {error.__name__ for error in BadInputError.__subclasses__()}
NAMED |= {error.__name__ for kind in BadInputError.__subclasses__() for error in kind.__subclasses__()}


@pytest.mark.slow
def test_under_quarantine_every_hostile_line_is_a_message_or_is_quarantined_with_its_place() -> None:
    s3 = MemoryS3()
    task, logs = task_of(s3, "quarantine"), dict(change_log(LINES_PER_OBJECT))
    for obj, lines in logs.items():
        s3.objects[obj.key] = b"\n".join(lines)
    with guarded(task):
        messages = list(task.messages(logs))
    assert task.tally.failures == []
    assert len(messages) == task.tally.rows > LINES // 10
    assert all(json.loads(message.body)["data"] is not None for message in messages if '"dataref"' not in message.body)
    notes = [json.loads(body) for key, body in s3.objects.items() if key.endswith(".note.json")]
    assert task.tally.quarantined == len(notes) > LINES // 10
    assert {note["failure"]["type"] for note in notes} <= NAMED
    places = {(note["failure"]["object"], note["failure"]["line"]) for note in notes}
    assert len(places) == len(notes)
    assert task.tally.rows + len(notes) == sum(len(filled(lines)) for lines in logs.values())
    for obj, lines in logs.items():
        for number in filled(lines):
            if (obj.uri, number) in places:
                kept = s3.objects[f"quarantine/provider=acme/run-1/{obj.key}.line-{number}.json"]
                assert kept == (lines[number - 1].removeprefix(b"\xef\xbb\xbf") if number == 1 else lines[number - 1])


@pytest.mark.slow
def test_under_fail_every_hostile_line_is_a_message_or_fails_the_run_with_its_place() -> None:
    s3 = MemoryS3()
    task, logs = task_of(s3, "fail"), dict(change_log(1))
    for obj, [one] in logs.items():
        s3.objects[obj.key] = one
    with guarded(task):
        made = len(list(task.messages(logs)))
    failures = {failure.object: failure for failure in task.tally.failures}
    assert len(failures) == len(task.tally.failures) > LINES // 10
    assert {failure.type for failure in failures.values()} <= NAMED
    for uri, failure in failures.items():
        assert failure.line == 1
        assert failure.text == f"{uri}, line 1: {failure.message}"
    assert made == task.tally.rows == sum(bool(filled(lines)) for lines in logs.values()) - len(failures)
