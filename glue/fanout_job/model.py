"""The standard model: the columns of the table, the same for all providers."""

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
"""Additional columns of every row: the URI of its object, its number in it (from 1), and the run that wrote it."""


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
        Whether a row without a value is bad.
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
            The type is not one of those above.
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
            raise ValueError(f"{self.type!r} is not one of the model's types: {', '.join(plain)}, decimal(P,S)")
        return plain[self.type]


@dataclass(frozen=True)
class Model:
    """The name of the table, and its columns by name."""

    name: str
    fields: Dict[str, Field]

    @cached_property
    def schema(self) -> Schema:
        """The schema of every file: the columns of the model and PROVENANCE."""
        import pyarrow as pa

        columns = [pa.field(name, field.arrow, not field.required) for name, field in self.fields.items()]
        columns += [pa.field(name, Field(kind, "").arrow, False) for name, kind in PROVENANCE.items()]
        return pa.schema(columns)

    def output_key(self, provider: str, source_key: str) -> str:
        """Return the key of the output file of a source object. It depends only on the source's key.

        It contains the source's name for readability, and a hash of the whole key to make it unique.
        """
        name = source_key.rpartition(f"provider={provider}/")[2]
        readable = re.sub(r"[^0-9A-Za-z.=-]+", "-", name).strip("-.")[-120:]
        digest = hashlib.sha256(source_key.encode()).hexdigest()[:16]
        return f"{self.folder(provider)}{readable}-{digest}.parquet".replace("/-", "/")

    def folder(self, provider: str) -> str:
        """Return the prefix of a provider's output files."""
        return f"standard/model={self.name}/provider={provider}/"
