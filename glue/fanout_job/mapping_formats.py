"""The formats of providers' objects, as a mapping describes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from fanout_job import mapping_checks as checks


def checked(check: Callable[[Any], None], default: Any = None) -> Any:
    """Return a field with a check of its value. The check raises ValueError with a description of valid values."""
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True)
class Csv:
    """Comma-separated values, or values with another delimiter."""

    delimiter: str = checked(checks.csv_sign, ",")
    quote: str | None = checked(checks.csv_sign, '"')
    escape: str | None = checked(checks.csv_sign)
    """The same character as `quote` has no effect: a quote within quotes is doubled in any case."""
    encoding: str = checked(checks.encoding, "utf-8")
    """Python's name of the encoding: utf-8, latin-1, cp1252, utf-16 and so on."""
    columns: tuple[str, ...] = ()
    """Names of the columns, if the file has no header."""
    skip: int = 0
    """Number of lines before the header."""
    loose_names: bool = False
    """Whether upper and lower case and the number of blanks in column names do not matter."""
    comment: str | None = checked(checks.line_start)
    """Beginning of lines that are not data."""
    footer: tuple[str, ...] = checked(checks.line_starts, ())
    """Beginning of the first line of a footer. At most 100 lines may follow it."""
    repeated_header: bool = False
    """Whether the header may occur again among the rows."""
    trailing_delimiter: bool = False
    """Whether each row ends with a delimiter that the header may lack."""

    nulls: ClassVar[tuple[str, ...]] = ("",)

    def __post_init__(self) -> None:
        if self.delimiter in (self.quote, self.escape):
            raise ValueError(f"has {self.delimiter!r} as its delimiter and as its quote or escape")


@dataclass(frozen=True)
class JsonLines:
    """One JSON value per line: a record, or an object that contains records."""

    records: str = checked(checks.record_path, "")
    """Path to the records: to an array, whose elements are the records, or to one record. `*` means every element of
    an array or every member of an object."""
    columns: tuple[str, ...] = ()
    """Names of the values, if each record is an array."""
    header: str | None = checked(checks.header_path)
    """Where the names are, if each record is an array: "first" for the first record, or a path from the document."""
    encoding: str | None = checked(checks.encoding)
    """Defaults to UTF-8, or the encoding of the byte order mark."""

    nulls: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.columns and self.header:
            raise ValueError("has both 'columns' and 'header'")


@dataclass(frozen=True)
class Json(JsonLines):
    """One JSON document: an array of records, or an object that contains the records."""

    concatenated: bool = False
    """Whether several documents may follow each other."""


@dataclass(frozen=True)
class Xml:
    """An XML document."""

    record: str = field(metadata={"check": checks.element_path})
    """Name of the element that is one record, at any level of the document. Names of its parents may be before it:
    order/line."""
    namespaces: dict[str, str] = field(default_factory=dict)
    """Prefix in this mapping -> URI. The prefix "" is for element names without a prefix."""

    nulls: ClassVar[tuple[str, ...]] = ("",)
