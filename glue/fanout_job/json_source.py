"""Reads JSON record by record: JSON lines, or an array in a document of any size. Numbers keep all digits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from contract.nesting import is_too_deep
from fanout_job.blocks import MAX_RECORD_BYTES, Bad, Block, Gathering
from fanout_job.errors import CorruptObjectError, RowError
from fanout_job.formats import split_lines
from fanout_job.json_records import Decoder, fields_of, place_in, reason_of
from fanout_job.json_text import TOO_DEEP, Text, records_of
from fanout_job.texts import joined


def json_line_blocks(pieces: Iterator[bytes], wanted: Sequence[str], bad: Bad) -> Iterator[Block]:
    """Yield the rows of an object with one record per line. Skips blank lines."""
    gathered, number = Gathering(wanted), 0
    fields, decoder = fields_of(wanted), Decoder(wanted)
    for lines in split_lines(joined(pieces), MAX_RECORD_BYTES):
        for line in lines:
            if line is not None and not line.strip():
                continue
            number += 1
            try:
                if line is None:
                    raise RowError(f"is longer than {MAX_RECORD_BYTES} bytes")
                text = line.decode()
                if is_too_deep(text):
                    raise RowError(TOO_DEEP)
                record = decoder.decode(text)
                check_names(decoder.repeated(text))
                gathered.add(number, fields(record))
            except RowError as error:
                error.line = number
                bad(error, line)
            except ValueError as error:
                reason = reason_of(error)
                bad(RowError(reason + place_in(error), cause=reason, line=number), line)
        if gathered.full:
            yield from gathered.taken()
    yield from gathered.taken()


def json_blocks(pieces: Iterator[bytes], path: str, wanted: Sequence[str], bad: Bad) -> Iterator[Block]:
    """Yield the rows of one JSON document. Its records are in the array at `path`, or `path` is a single record.

    Raises
    ------
    CorruptObjectError
        The object is not JSON, or `path` does not exist or exists twice. Records before the error were good.
    """
    gathered, fields = Gathering(wanted), fields_of(wanted)
    text = Text(joined(pieces), wanted)
    number = 0
    try:
        for number, record in enumerate(records_of(text, path.split(".") if path else []), 1):
            try:
                check_names(text.repeated)
                gathered.add(number, fields(record))
            except RowError as error:
                error.line = number
                bad(error, json.dumps(record, indent=2).encode())
            if gathered.full:
                yield from gathered.taken()
    except CorruptObjectError as error:
        yield from gathered.taken()
        error.line = error.line or number + 1
        raise
    yield from gathered.taken()


def check_names(repeated: str | None) -> None:
    """Raise RowError if an object has a name twice."""
    if repeated is not None:
        raise RowError(f"has {repeated!r} twice in one object")
