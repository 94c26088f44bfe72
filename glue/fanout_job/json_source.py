"""Reads JSON record by record: JSON lines, or documents of any size. Numbers keep all digits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from contract.nesting import is_too_deep
from fanout_job.blocks import MAX_RECORD_BYTES, Bad, Block
from fanout_job.errors import CorruptObjectError, RowError
from fanout_job.formats import split_lines
from fanout_job.json_batch import TEXT_OR_FLAG, Batch, Columns, lines_of, texts_of
from fanout_job.json_records import Decoder, json_reader, place_in, reason_of, text_at
from fanout_job.json_text import TOO_DEEP, Text
from fanout_job.json_tree import Chain, Document, Siblings, inner_records, kept_names, names_of
from fanout_job.mapping_formats import Json, JsonLines
from fanout_job.parents import Open, Rows
from fanout_job.paths import Path, Source, located, parsed_path
from fanout_job.texts import as_utf8, joined, marked_encoding

SEPARATOR = "\0"
"""Between the column names of a header."""

INDENTED_CHARACTERS = 2**16
"""Maximum length of a bad record that is copied to the quarantine with indents."""


class Records:
    """Turns records into rows.

    Parameters
    ----------
    how : Json or JsonLines
    wanted : sequence of Source
    bad : callable
        Called with each bad row.
    """

    def __init__(self, how: Json | JsonLines, wanted: Sequence[Source], bad: Bad) -> None:
        self.how, self.bad = how, bad
        self.steps = Path(()) if not how.records else parsed_path(how.records)
        self.rows = Rows(wanted, [source.path for source in wanted], text_at, bad)
        self.readers = [(place, json_reader(source)) for place, source, _ in self.rows.own]
        self.blank: list[str | None] = [None] * len(wanted)
        keys: list[str | None] = [None] * len(wanted)
        for place, _, path in self.rows.own:
            if len(path.steps) == 1 and path.steps[0].where is None and not path.steps[0].every:
                keys[place] = path.steps[0].name
        self.keys = keys if all(keys[place] is not None for place, _, _ in self.rows.own) else None
        """The members that the fields are, if all fields within records are members of the record itself."""
        self.named = any(p.steps and p.steps[0].name and not p.steps[0].name.isdecimal() for _, _, p in self.rows.own)
        """Whether a field needs a name, so that records must be objects."""
        self.header: list[str] | None = list(how.columns) or None
        self.path = None if how.header in (None, "first") else Source(how.header or "", join=SEPARATOR)
        fields = [source.path for source in (*wanted, *filter(None, [self.path]))]
        self.names, self.kept = names_of(self.steps, fields), kept_names(self.steps, fields)
        self.number = 0
        self.decoder = Decoder(self.names)
        self.columns = Columns(self.rows.own, self.decoder)

    def add_all(self, parents: Chain, name: str, batch: Batch) -> None:
        """Add the rows of records in an array or in lines."""
        columns = self.columns.of(batch)
        count = len(batch.values)
        if columns is None or not self.rows.extend(self.number + 1, count, columns, (*parents, Open(name, None))):
            for value, repeated in self.decoder.checked(batch):
                self.add((*parents, Open(name, value)), repeated)
        else:
            self.number += count

    def add(self, found: Chain, repeated: str | None) -> None:
        """Add the row of a record. `repeated` is a name that one of its objects has twice."""
        record = found[-1].content
        if (self.how.header is not None or self.header) and isinstance(record, list):
            if self.header is None:
                self.header = self._header(found)
                if self.path is None:
                    return
            record = self._named(record, self.header)
        self.number += 1
        try:
            if record is None and isinstance(found[-1].content, list):
                raise RowError(f"has {len(found[-1].content)} values, not {len(self.header or ())}")
            if self.named and not isinstance(record, dict):
                raise RowError("is JSON, but not an object")
            if repeated is not None:
                raise RowError(f"has {repeated!r} twice in one object")
            self.rows.add(self.number, self._texts(record), found)
        except RowError as error:
            error.line = self.number
            text = json.dumps(found[-1].content)
            # Indents a record for its reader, but not a large one, which indents could make many times larger.
            indents = len(text) <= INDENTED_CHARACTERS
            self.bad(error, (json.dumps(found[-1].content, indent=2) if indents else text).encode())

    def _texts(self, record: Any) -> list[str | None]:
        if self.keys is not None and type(record) is dict:
            found: list[Any] = list(map(record.get, self.keys))
            if set(map(type, found)) <= TEXT_OR_FLAG:
                return texts_of(found)
        texts = self.blank.copy()
        for place, read in self.readers:
            texts[place] = read(record)
        return texts

    def _header(self, found: Chain) -> list[str]:
        if self.path is None:
            names: list[Any] = found[-1].content
        else:
            parent, steps = located(found, self.path.path)
            names = (text_at(parent.content, self.path, steps) or "").split(SEPARATOR)
        if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
            where = "its first record" if self.path is None else f"{self.path.name!r}, before its records"
            raise CorruptObjectError(f"has no list of different column names in {where}")
        return names

    @staticmethod
    def _named(record: list[Any], header: list[str]) -> dict[str, Any] | None:
        return dict(zip(header, record, strict=True)) if len(header) == len(record) else None


def json_line_blocks(pieces: Iterator[bytes], how: JsonLines, wanted: Sequence[Source], bad: Bad) -> Iterator[Block]:
    """Yield the rows of an object with one JSON value per line. Skips blank lines."""
    records = Records(how, wanted, bad)
    decoder, rows = records.decoder, records.rows
    steps = records.steps.steps if how.records else None
    for lines in split_lines(joined(in_utf8(pieces, how.encoding)), MAX_RECORD_BYTES):
        batch = lines_of(decoder, lines) if steps is None else None
        if batch is not None:
            records.add_all((), "", batch)
            yield from rows.taken()
            continue
        for line in lines:
            if line is not None and not line.strip():
                continue
            try:
                if line is None:
                    raise RowError(f"is longer than {MAX_RECORD_BYTES} bytes")
                text = line.decode()
                if is_too_deep(text):
                    raise RowError(TOO_DEEP)
                value = decoder.decode(text)
                repeated = decoder.repeated(text)
                for found in inner_records(value, steps, (), ""):
                    records.add(found, repeated)
            except RowError as error:
                records.number += 1
                error.line = records.number
                bad(error, line)
            except ValueError as error:
                records.number += 1
                reason = reason_of(error)
                bad(RowError(reason + place_in(error), cause=reason, line=records.number), line)
        yield from rows.taken()
    yield from rows.rest()


def json_blocks(pieces: Iterator[bytes], how: Json, wanted: Sequence[Source], bad: Bad) -> Iterator[Block]:
    """Yield the rows of a JSON document.

    Raises
    ------
    CorruptObjectError
        The object is not JSON, or the path of its records does not exist or exists twice. Records before the error
        were good.
    """
    records = Records(how, wanted, bad)
    rows = records.rows
    text = Text(joined(in_utf8(pieces, how.encoding)), records.decoder)
    document = Document(text, records.kept, rows.close)
    try:
        for found in document.records(records.steps.steps, how.concatenated):
            if isinstance(found, Siblings):
                records.add_all(found.parents, found.name, found.batch)
            else:
                records.add(found, text.repeated)
            yield from rows.taken()
    except CorruptObjectError as error:
        yield from rows.rest()
        error.line = records.number + 1
        raise
    yield from rows.rest()


def in_utf8(pieces: Iterator[bytes], encoding: str | None) -> Iterator[bytes]:
    """Yield a text as UTF-8, from the encoding of the mapping, or else of its byte order mark."""
    pieces = joined(pieces)
    head = next(pieces, b"")
    return as_utf8(chain([head], pieces), encoding or marked_encoding(head) or "utf-8")
