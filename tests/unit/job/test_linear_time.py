"""Hostile objects take linear time: work is counted in bytes, characters and calls, never in seconds."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from fanout_job import formats, xml_source
from fanout_job.errors import CorruptObjectError
from fanout_job.formats import decompressed, gunzipped, split_lines
from fanout_job.json_batch import MOST_RECORDS
from fanout_job.json_text import Text
from fanout_job.json_tree import Document, Siblings
from fanout_job.mapping import Xml
from fanout_job.paths import Source
from fanout_job.texts import joined
from tests.unit.job.standardizing import contents, document

CHUNK = 2**19
ONE_BYTE, EMPTY = gzip.compress(b"x", mtime=0), gzip.compress(b"", mtime=0)


def in_chunks(raw: bytes, size: int = CHUNK) -> Iterator[bytes]:
    return (raw[start : start + size] for start in range(0, len(raw), size))


class CountedZlib(SimpleNamespace):
    """zlib that counts the bytes that go into it, and those that it copies and gives back."""

    error = zlib.error
    bytes = 0

    def decompressobj(self, bits: int) -> Any:
        inner, counter = zlib.decompressobj(bits), self

        class Member:
            """One gzip member."""

            def decompress(self, data: Any, most: int) -> bytes:
                made = inner.decompress(data, most)
                counter.bytes += len(data) + len(inner.unused_data) + len(inner.unconsumed_tail)
                return made

            def __getattr__(self, name: str) -> Any:
                return getattr(inner, name)

        return Member()


@pytest.mark.fault(52)
@pytest.mark.parametrize(
    "raw",
    [
        gzip.compress(b"y" * 100_000, mtime=0) + ONE_BYTE * 20_000,
        EMPTY * 20_000,
        gzip.compress(b"\0" * 50_000_000, mtime=0),
        (gzip.compress(bytes(range(256)) * 8, 0, mtime=0) + EMPTY) * 300,
    ],
    ids=["of one byte", "empty", "one large", "of different size"],
)
def test_the_bytes_that_zlib_copies_are_proportional_to_the_object(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = CountedZlib()
    monkeypatch.setattr(formats, "zlib", counted)
    made = sum(map(len, gunzipped(b"", in_chunks(raw))))

    assert made == len(gzip.decompress(raw))
    members = raw.count(ONE_BYTE[:10])
    assert counted.bytes <= 3 * len(raw) + members * formats.FIRST_STEP_BYTES * 2 + made // 16


class Piece(bytes):
    """A piece of a line that counts the bytes copied when it is appended to another one."""

    copied = 0

    def split(self, *separator: Any) -> Any:
        return [Piece(part) for part in super().split(*separator)]

    def __radd__(self, other: bytes) -> bytes:
        Piece.copied += len(other)
        return Piece(bytes(other) + bytes(self))

    def __add__(self, other: Any) -> bytes:
        return Piece(bytes(other)).__radd__(self)


@pytest.mark.fault(52)
def test_a_line_of_many_small_pieces_is_copied_once() -> None:
    Piece.copied = 0
    pieces = [Piece(b"a" * 100_000), *[Piece(b"x")] * 20_000, Piece(b"z\nend")]
    lines = [line for several in split_lines(pieces) for line in several]

    assert lines == [b"a" * 100_000 + b"x" * 20_000 + b"z", b"end"]
    assert Piece.copied <= 2 * len(lines[0] or b"")


def test_a_line_of_one_byte_members_is_a_line() -> None:
    raw = gzip.compress(b'{"a":"' + b"y" * 10_000_000, mtime=0) + ONE_BYTE * 9_000 + gzip.compress(b'"}\n', mtime=0)
    [[line]] = list(split_lines(decompressed(in_chunks(raw), "a.gz")))

    assert line == b'{"a":"' + b"y" * 10_000_000 + b"x" * 9_000 + b'"}'


class CountedText(Text):
    """A document that counts the calls of its decoder, and the characters that the decoder gets."""

    calls = characters = 0

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__(pieces)
        self.decoder.raw_decode = self.counted(self.decoder.raw_decode)
        self.decoder.decode = self.counted(self.decoder.decode)
        self.decoder.scan_once = self.counted(self.decoder.scan_once)

    def counted(self, decode: Callable[..., Any]) -> Callable[..., Any]:
        def counting(text: str, start: int = 0) -> Any:
            self.calls += 1
            try:
                found = decode(text, start) if start else decode(text)
            except (StopIteration, ValueError):
                self.characters += len(text) - start
                raise
            self.characters += found[1] - start if isinstance(found, tuple) else len(text)
            return found

        return counting


DEEP = b"[[" * 90
VALUES = {
    "numbers": b"[" + b"1," * 200_000 + b"1]",
    "nested deeply around many objects": DEEP + b'{"a":1},' * 200_000 + b"1" + b"]]" * 90,
    "many objects nested deeply": b"[" + b",".join([DEEP + b'"' + b"x" * 9_000 + b'"' + b"]]" * 90] * 100) + b"]",
    "numbers between arrays": b"[" + (b"1," * 2_000 + b"[" + b"1," * 5_000 + b"1],") * 100 + b"1]",
    "a huge number": b"1" * 1_000_000,
    "a huge string": b'"' + b"x" * 3_000_000 + b'"',
    "many arrays": b"[" + b"[]," * 200_000 + b"[]]",
    "many members": b"{" + b'"k":1,' * 200_000 + b'"k":1}',
    "blanks": b"[" + b" \n" * 500_000 + b"1]",
}


@pytest.mark.fault(52)
@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("size", [7, CHUNK])
def test_a_value_beside_the_records_is_read_a_bounded_number_of_times(name: str, size: int) -> None:
    value = VALUES[name]
    text = CountedText(joined(in_chunks(b'{"x":' + value + b',"r":[{"id":1}]}', size)))

    assert contents(Document(text, {"r"}, id), "r") == [{"id": "1"}]
    assert text.characters <= (200 if name == "many objects nested deeply" else 6) * len(value)


@pytest.mark.parametrize(
    ("value", "calls"),
    [
        (b"[" + b",".join([b'{"a":[1,2],"b":[3,4]}'] * 1_000) + b"]", 1_100),
        (b"[" + b"1," * 100_000 + b"1]", 300),
        (b"[" + b"1," * 1_000_000 + b"1]", 4_500),
    ],
)
def test_small_values_beside_the_records_are_skipped_by_few_calls(value: bytes, calls: int) -> None:
    text = CountedText(joined(in_chunks(b'{"x":' + value + b"}")))
    text.expect("{")
    assert text.name() == "x"
    text.expect(":")
    text.skip()
    assert text.next_sign() == "}"
    assert text.calls <= calls


def test_the_objects_of_an_array_are_decoded_in_batches() -> None:
    data = b"[" + b",".join([b"{}"] * (MOST_RECORDS + 44)) + b"]"
    found = document(in_chunks(data)).records((), False)
    assert [len(one.batch.values) for one in found if isinstance(one, Siblings)] == [MOST_RECORDS, 44]


@pytest.mark.fault(52)
@pytest.mark.parametrize("size", [7, CHUNK])
def test_records_are_read_a_bounded_number_of_times(size: int) -> None:
    for count, record in [
        (200_000, b"1"),
        (200_000, b"[]"),
        (200_000, b"{}"),
        (100, b'{"a":"' + b"x" * 40_000 + b'"}'),
    ]:
        data = b"[" + b",".join([record] * count) + b"]"
        text = CountedText(joined(in_chunks(data, size)))

        assert len(contents(Document(text, set(), id), "")) == count
        assert text.characters <= 3 * len(data)


@pytest.mark.fault(52)
def test_a_long_tag_is_parsed_a_bounded_number_of_times() -> None:
    records = xml_source.Records(Xml("r", {}), [Source("@a")], lambda *bad: pytest.fail(str(bad)))
    parsed: list[int] = []
    parse = records._parse
    records._parse = lambda piece, final: (parsed.append(len(piece)), parse(piece, final))[1]  # type: ignore[method-assign]
    document = b'<all><r a="' + b"x" * 8_000_000 + b'"/><r a="1"/></all>'
    for piece in [*joined(in_chunks(document)), b""]:
        records.feed(piece)

    found = [text for block in records.rows.rest() for text in block.columns[Source("@a")].to_pylist()]
    assert found == ["x" * 8_000_000, "1"]
    assert sum(parsed) == len(document)
    assert len(parsed) <= 8, "the parser reads a tag from its start again with each piece"


def test_an_object_that_decompresses_to_far_more_than_its_size_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "EXPANDED_BYTES", 2**21)
    bomb = gzip.compress(b"\n" * 20_000_000, mtime=0)
    made: list[int] = []
    with pytest.raises(CorruptObjectError, match="decompresses to more than 1000 times its size"):
        made.extend(map(len, decompressed(in_chunks(bomb), "a.gz")))
    assert 0 < sum(made) <= 2**21


def test_an_object_of_less_than_the_limit_may_decompress_by_any_factor() -> None:
    bomb = gzip.compress(b"\n" * 20_000_000, mtime=0)

    assert sum(map(len, decompressed(in_chunks(bomb), "a.gz"))) == 20_000_000
