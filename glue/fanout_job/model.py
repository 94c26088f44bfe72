"""The standard model: what every row of the table is, whoever its source is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow import DataType, Schema  # type: ignore[import-untyped]

PROVENANCE = {"_source": "string", "_row": "integer", "_run": "string"}
"""Columns of every row: the URI of its object, its place in it (from 1), and the run that wrote it."""


@dataclass(frozen=True)
class Field:
    """One column of the model.

    Parameters
    ----------
    type : str
        "string", "integer" (64 bits), "float" (64 bits), "decimal(P,S)" (P digits of at most 38, S of them after the
        point), "boolean", "date", or "timestamp" (microseconds, UTC).
    description : str
    required : bool
        Whether a row without it is a bad row.
    """

    type: str
    description: str
    required: bool = False

    @cached_property
    def arrow(self) -> DataType:
        """The Arrow type.

        Raises
        ------
        ValueError
            It is none of the types above.
        """
        import pyarrow as pa

        if digits := re.fullmatch(r"decimal\((\d+), ?(\d+)\)", self.type):
            return pa.decimal128(int(digits[1]), int(digits[2]))
        plain = {
            "string": pa.string(),
            "integer": pa.int64(),
            "float": pa.float64(),
            "boolean": pa.bool_(),
            "date": pa.date32(),
            "timestamp": pa.timestamp("us", tz="UTC"),
        }
        if self.type not in plain:
            raise ValueError(f"{self.type!r} is none of the model's types: {', '.join(plain)}, decimal(P,S)")
        return plain[self.type]


@dataclass(frozen=True)
class Model:
    """The table's name, and its columns by name."""

    name: str
    fields: Dict[str, Field]

    @cached_property
    def schema(self) -> Schema:
        """The schema of every file: the model's columns, and where each row comes from."""
        import pyarrow as pa

        columns = [pa.field(name, field.arrow, not field.required) for name, field in self.fields.items()]
        columns += [pa.field(name, Field(kind, "").arrow, False) for name, kind in PROVENANCE.items()]
        return pa.schema(columns)

    def output_key(self, provider: str, source_key: str) -> str:
        """Return the key of the file that a source object becomes: the same for the same source, whenever it is read.

        The source's name is there for people; the hash of the whole key tells apart what would look alike.
        """
        name = source_key.rpartition(f"provider={provider}/")[2]
        readable = re.sub(r"[^0-9A-Za-z.=-]+", "-", name).strip("-.")[-120:]
        digest = hashlib.sha256(source_key.encode()).hexdigest()[:16]
        return f"{self.folder(provider)}{readable}-{digest}.parquet".replace("/-", "/")

    def folder(self, provider: str) -> str:
        """Return the prefix of a provider's files."""
        return f"standard/model={self.name}/provider={provider}/"
