"""Names objects that are not in the expected format as what they are, from their first bytes."""

from __future__ import annotations

import re

HEAD_BYTES = 512
"""Number of first bytes that binary formats are recognized by."""

_COMPRESSED = "is {}, which the job does not read; compress with gzip, or not at all"
_CONTAINER = "is {}, which the job does not read; write text"

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x28\xb5\x2f\xfd", "is zstd, which Glue's Python does not support; write gzip or plain JSON lines"),
    *(
        (signature, _COMPRESSED.format(name))
        for signature, name in [
            (b"PK\x03\x04", "a zip archive"),
            (b"PK\x05\x06", "a zip archive"),
            (b"PK\x07\x08", "a zip archive"),
            (b"\xfd7zXZ\0", "xz"),
            (b"\xff\x06\0\0sNaPpY", "Snappy"),
            (b"\x82SNAPPY\0", "Snappy"),
            (b"\x04\x22\x4d\x18", "LZ4"),
            (b"\x02\x21\x4c\x18", "LZ4"),
            (b"\x89LZO\0", "LZO"),
            (b"LZIP\x01", "lzip"),
            (b"\x5d\0\0", "LZMA"),
            (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
            (b"Rar!\x1a\x07", "a RAR archive"),
            (b"\x1f\x9d", "compress (.Z)"),
        ]
    ),
    *(
        (signature, _CONTAINER.format(name))
        for signature, name in [
            (b"Obj\x01", "Avro"),
            (b"SEQ\x06", "a Hadoop sequence file"),
            (b"ARROW1\0\0", "Arrow"),
            (b"\xe0\x01\0\xea", "Amazon Ion"),
            (b"SQLite format 3\0", "an SQLite database"),
            (b"%PDF-", "PDF"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel or Word file"),
            (b"\x89PNG\r\n\x1a\n", "an image"),
            (b"\xff\xd8\xff", "an image"),
        ]
    ),
)
_TAR_AT = 257

_BINARY = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")
"""Bytes that text does not have."""

_SKIPPABLE_ZSTD = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")

_LETTERS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P)"), _COMPRESSED.format("bzip2")),
    (re.compile(rb"PAR1"), _CONTAINER.format("Parquet")),
    (re.compile(rb"PARE"), _CONTAINER.format("encrypted Parquet")),
    (re.compile(rb"ORC"), _CONTAINER.format("ORC")),
)
"""Signatures of letters, with which text may begin as well: they count only if bytes follow that text does not have."""

_MARKS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_HEADER = re.compile(r"""["']?[A-Za-z_][\w .:-]*["']?(?:[,;\t|]["']?[A-Za-z_][\w .:-]*["']?)+""")
_SEPARATORS = (
    (re.compile(r"\s*(?:\\r)?\\n"), "; records are separated by a backslash and an n instead of a line feed"),
    (re.compile(r"[ \t]*\r\s*\S"), "; records are separated by carriage returns instead of line feeds"),
    (re.compile(r"\s*\{"), "; Firehose needs AppendDelimiterToRecord"),
)


def after_record(line: bytes | str, place: int) -> str:
    """Return what separates the record at the start of a line from the next one; "" if nothing is known about it."""
    rest = (line.decode(errors="replace") if isinstance(line, bytes) else line)[max(place - 2, 0) : place + 100]
    # The decoder reports the first character that is not blank, which may be after the carriage return.
    between = rest[rest.find("}") + 1 :] if "}" in rest[:2] else rest[min(place, 2) :]
    return next((hint for pattern, hint in _SEPARATORS if pattern.match(between)), "")


def binary_format(head: bytes) -> str | None:
    """Return what an object is, if its first bytes are those of a binary format other than gzip."""
    if what := next((what for signature, what in _SIGNATURES if head.startswith(signature)), None):
        return what
    if _BINARY.search(head) and (what := next((what for letters, what in _LETTERS if letters.match(head)), None)):
        return what
    if _SKIPPABLE_ZSTD.match(head):
        return _SIGNATURES[0][1]
    if head[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return _CONTAINER.format("a tar archive")
    return _COMPRESSED.format("Snappy") if _is_raw_snappy(head) or _is_raw_snappy(head[8:]) else None


def _is_raw_snappy(head: bytes) -> bool:
    """Whether bytes are a Snappy block of JSON: its length as a varint, and a literal that begins with a bracket.

    Such a block has no signature. Hadoop writes two lengths of four bytes before it.
    """
    end = next((place for place, byte in enumerate(head[:5]) if byte < 0x80), None)
    if end is None or len(head) < end + 3 or (_BINARY.search(head[: end + 2]) is None and head[0] < 0x80):
        return False
    length = sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(head[: end + 1]))
    tag, begin = head[end + 1], end + 2
    extra = max((tag >> 2) - 59, 0)
    literal = 1 + (int.from_bytes(head[begin : begin + extra], "little") if extra else tag >> 2)
    opening = head[begin + extra : begin + extra + 2]
    return tag & 3 == 0 and 2 <= literal <= length and opening in (b'{"', b"[{", b"{\n", b"{ ")


def text_format(line: bytes) -> str | None:
    """Return what an object is, if its first line is not a record but that of another text format."""
    for mark, name in _MARKS:
        if line.startswith(mark):
            return f"is {name}; write UTF-8"
    start, text = line[:4], line.strip()
    if b"\0\0" in (start[::2], start[1::2]) and start.strip(b"\0")[:1] in (b"{", b"["):
        return f"is {'UTF-16' if start.count(0) == 2 else 'UTF-32'}; write UTF-8"
    if text == b"{":
        return "is JSON with line breaks within its records; write one record per line"
    if text == b"[" or re.match(rb"\[\s*\{", text):
        return "is a JSON array; write one record per line, without brackets and commas"
    if text.startswith(b"<"):
        return "is XML or HTML, not JSON lines"
    if text.startswith(b"$ion_1_0"):
        return "is Amazon Ion; export DynamoDB JSON"
    return "is CSV, not JSON lines" if _HEADER.fullmatch(text[:10_000].decode(errors="replace")) else None
