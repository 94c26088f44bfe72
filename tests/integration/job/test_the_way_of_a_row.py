"""The modules that docs/architecture.md shows between stream and queue are those that a real row passes through."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from fanout.production import Producer
from fanout.stream_records import ProviderAttribute
from tests.harness.fakes import MemoryObjects
from tests.harness.faults import Clock, Faults

from .harness import PROVIDER, Harness

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## A row's way through the code")[2].partition("\n## ")[0]
NOT_COUNTED = set(re.findall(r"`(\w+)`", SECTION.partition("are not counted")[2].partition("\n\n")[0]))
"""Modules that handle batches, objects, names, settings or documents, not single rows."""


def stream_record(number: int) -> dict[str, Any]:
    """One record of a DynamoDB stream."""
    item = {"id": {"S": f"row-{number}"}, "tenant": {"S": PROVIDER}}
    change = {"Keys": {"id": item["id"]}, "NewImage": item, "SequenceNumber": str(100 + number)}
    return {
        "eventID": f"{number:032x}",
        "eventName": "INSERT",
        "eventSource": "aws:dynamodb",
        "dynamodb": {**change, "ApproximateCreationDateTime": 1795332600, "StreamViewType": "NEW_IMAGE"},
    }


@contextmanager
def traced() -> Iterator[set[str]]:
    """Collect the modules of functions/, glue/ and contract/ whose functions this thread calls."""
    passed: set[str] = set()
    code = (ROOT / "functions", ROOT / "glue", ROOT / "contract")

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and any(folder in path.parents for folder in code):
            passed.add(path.stem)

    sys.setprofile(watch)
    try:
        yield passed
    finally:
        sys.setprofile(None)


def from_stream_to_queue(number: int, queue: str) -> list[str]:
    """Write a record into the change log, run the job over it, and return the ids of the messages."""
    objects = MemoryObjects(Faults(Clock()))
    attribute = ProviderAttribute.parse("tenant")
    said: list[str] = []
    producer = Producer(objects, "s3://log/change_log", "s3://log", attribute, Clock(), said.append)
    producer.produce({"Records": [stream_record(number)]})
    assert said == []
    ((uri, (body, _)),) = objects.stored.items()
    outcome = Harness("lambda", queue).run({uri.rpartition("/")[2]: body})
    assert outcome.error is None
    return [event["id"] for event in outcome.events]


def test_the_docs_show_the_path_of_a_row_from_stream_to_queue(queue: str) -> None:
    from_stream_to_queue(1, queue)  # imports everything
    with traced() as passed:
        ids = from_stream_to_queue(2, queue)

    shown = set(re.findall(r"^  (\w+) -", SECTION, re.MULTILINE)) | set(
        re.findall(r"> ?(?:\|[^|]*\| )?(\w+)$", SECTION, re.MULTILINE)
    )
    names = re.findall(r"^\| `?(?!name|--)([\w ]+?)`? \|", SECTION, re.MULTILINE)
    assert ids == [f"{2:032x}"]
    assert passed - NOT_COUNTED == shown
    assert len(shown) == 10
    assert len(names) == 7
