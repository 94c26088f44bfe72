"""Lists the source fields of a sample, for `fanout mapping check`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .layouts import layouts

if TYPE_CHECKING:
    from fanout_job.mapping import Mapping

MOST_BYTES, MOST_LINES_BYTES = 2**24, 2**20
"""Maximum size of a JSON or XML document whose fields are listed, and of the part of JSON lines that is looked at."""


def fields_of(pieces: Iterator[bytes], mapping: Mapping) -> tuple[str, ...]:
    """Return the columns of a CSV header, or the paths that records have, as a mapping names them.

    If no element or path of the sample matches the mapping's records, the result names those that could be records.

    Parameters
    ----------
    pieces
        The decompressed bytes of the sample.
    mapping
        Its format tells how to read the sample.
    """
    from fanout_job.csv_source import header_of
    from fanout_job.mapping_formats import Csv, JsonLines, Xml
    from fanout_job.texts import as_utf8, joined

    how = mapping.format_of
    if isinstance(how, Csv):
        return tuple(header_of(as_utf8(joined(pieces), how.encoding), how)[0] or ())
    data = bytearray()
    most = MOST_LINES_BYTES if mapping.json_lines is not None else MOST_BYTES
    while len(data) <= most and (piece := next(pieces, b"")):
        data += piece
    if len(data) > most and mapping.json_lines is None:
        return ()
    found = layouts(bytes(data))
    if isinstance(how, Xml):
        local = how.record.split("/")[-1].split(":")[-1]
        matching = [layout for layout in found if layout.records.split(":")[-1] == local]
    else:
        assert isinstance(how, JsonLines)  # noqa: S101 - JSON documents and lines
        matching = [layout for layout in found if layout.records == how.records]
    if matching:
        return tuple(dict.fromkeys(path for layout in matching for path in layout.columns))
    return tuple(f"records: {layout.records}" for layout in found if layout.records)
