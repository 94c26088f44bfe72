"""Reads samples by a mapping, as `fanout mapping check` does."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from fanout_job import standard
from fanout_job.json_text import Text
from fanout_job.json_tree import Document, Siblings
from fanout_job.mapping import Mapping
from fanout_job.model import Field, Model
from fanout_job.paths import Source, parsed_path
from fanout_job.standardizer import Transform

MODEL = Model(
    "things",
    {
        "id": Field("string", "its name", required=True),
        "count": Field("integer", "how many"),
        "price": Field("decimal(12,2)", "of one"),
        "ratio": Field("float", "of something"),
        "sold": Field("boolean", "whether it is"),
        "day": Field("date", "of the sale"),
        "moment": Field("timestamp", "of the sale"),
        "note": Field("string", "anything"),
    },
)

Row = dict[str, Any] | str


def sources(*names: str) -> list[Source]:
    """Return source fields."""
    return [Source(name) for name in names]


def records(pieces: Iterator[bytes], path: str) -> list[Any]:
    """Return the records of a JSON document."""
    return contents(document(pieces), path)


def document(pieces: Iterator[bytes]) -> Document:
    """Return a JSON document, none of whose parents is kept."""
    return Document(Text(pieces), set(), lambda parent: None)


def contents(document: Document, path: str) -> list[Any]:
    """Return the records at a path of a document."""
    found: list[Any] = []
    for one in document.records(parsed_path(path).steps if path else (), False):
        found += one.batch.values if isinstance(one, Siblings) else [one[-1].content]
    return found


def rows(mapping: str, data: bytes, name: str = "sample", transform: Transform | None = None) -> list[Row]:
    """Return the rows of a sample: the fields that have a value, or the error's text."""
    parsed = Mapping.parse(mapping.encode(), "m.yaml")
    found = standard.check(parsed, MODEL, io.BytesIO(data), name, transform)
    return [
        str(row) if isinstance(row, Exception) else {key: value for key, value in row.items() if value is not None}
        for _, row in found
    ]


def column(kind: str, texts: list[str], spelled: str = "") -> list[Any]:
    """Return the values that a CSV column's texts become as the field of that name; "bad" for a bad row."""
    lines = "\n".join(f'{number};"{text}"' for number, text in enumerate(texts))
    mapping = f"csv: {{delimiter: ';'}}\nfields:\n  id: a\n  {kind}: {{from: b{', ' + spelled if spelled else ''}}}\n"
    return ["bad" if isinstance(row, str) else row.get(kind) for row in rows(mapping, f"a;b\n{lines}\n".encode())]
