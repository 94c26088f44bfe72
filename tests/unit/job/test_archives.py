"""Compressed files are read as their plain bytes in bounded pieces, or an error says what they are."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import zipfile
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from fanout_job import archives
from fanout_job.archives import Input, unpacked
from fanout_job.errors import CorruptObjectError
from fanout_job.formats import PIECE_BYTES
from tests.unit.job.standardizing import rows

FLAGS_AT, DATA_AT = 6, 30 + len("a.csv")
"""Where a zip has the flags and the data of its first file."""
ENCRYPTED = "is a zip that is encrypted, or compressed by a method"
PLAIN = b"a,b\n" + b"".join(b"%d,x\n" % number for number in range(50_000))


def zipped(
    *files: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED, stream: bool = False
) -> bytes:
    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    target = Unseekable() if stream else io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data, method)
    return target.getvalue()


def zipped_with_extra_field(data: bytes) -> bytes:
    info = zipfile.ZipInfo("data.csv")
    info.extra = b"\xfe\xca\4\0more"
    return zipped((info, data))


def with_byte(data: bytes, place: int, value: int) -> bytes:
    return data[:place] + bytes([value]) + data[place + 1 :]


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
    "zip": lambda data: zipped(("folder/", b""), ("folder/data.csv", data)),
    "stored zip": lambda data: zipped(("data.csv", data), method=zipfile.ZIP_STORED),
    "streamed zip": lambda data: zipped(("data.csv", data), stream=True),
    "streamed zip without signature": lambda data: zipped(("data.csv", data), stream=True).replace(b"PK\7\x08", b""),
    "zip with an extra field": zipped_with_extra_field,
    "zip that ends with a folder": lambda data: zipped(("data.csv", data), ("folder/", b"")),
}


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return iter([data[start : start + size] for start in range(0, len(data), size)])


@pytest.mark.parametrize("kind", sorted(PACKED))
@pytest.mark.parametrize("size", [3, 1_000, 2**20])
def test_a_compressed_file_is_read(kind: str, size: int) -> None:
    data = PLAIN[: 40 * size]
    found = list(unpacked(pieces(PACKED[kind](data), size), "a"))
    assert b"".join(found) == data
    assert max(map(len, found)) <= max(PIECE_BYTES, size)


@pytest.mark.parametrize("kind", sorted(PACKED.keys() - {"plain"}))
def test_the_rows_of_a_compressed_file_are_those_of_the_plain_one(kind: str) -> None:
    how = "csv:\nfields: {id: a, note: b}"
    data = b"\xef\xbb\xbfa,b\n1,x\n"
    assert rows(how, PACKED[kind](data)) == [{"id": "1", "note": "x"}]


@pytest.mark.parametrize("kind", ["bzip2", "xz"])
def test_streams_that_follow_each_other_are_read(kind: str) -> None:
    data = PACKED[kind](b"one,") + PACKED[kind](b"two")
    assert b"".join(unpacked(pieces(data, 5), "a")) == b"one,two"


def test_a_chunk_of_zstd_may_be_larger_than_what_is_read_at_once() -> None:
    data = random.Random(0).randbytes(2**19)
    assert b"".join(unpacked(iter([zstd(data)]), "a")) == data


def test_no_more_of_an_object_is_taken_than_is_needed() -> None:
    file = Input(iter([b"abc", b"d", b"e"]))
    assert (file.peek(3), file.taken) == (b"abc", 3)
    assert (file.some(), file.taken) == (b"abc", 3)
    assert (file.some(), file.taken) == (b"d", 4)


def damaged(data: bytes) -> bytes:
    return with_byte(data, len(data) // 2, data[len(data) // 2] ^ 0xFF)


@pytest.mark.parametrize("kind", sorted(PACKED.keys() - {"plain"}))
def test_a_truncated_or_damaged_file_is_a_bad_object(kind: str) -> None:
    data = PACKED[kind](PLAIN)
    for wrong in (data[: len(data) // 2], *([] if kind == "zstd" else [damaged(data)])):  # this zstd has no checksum
        with pytest.raises(CorruptObjectError, match="is (corrupt|truncated)|is corrupt or truncated"):
            list(unpacked(pieces(wrong, 1_000), "a"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zipped(("a.csv", b"1"), ("b.csv", b"2")), "is a zip with several files; send them one by one"),
        (zipped(("a.csv", b"1"), ("b/", b""), ("b/b.csv", b"2")), "is a zip with several files; send them one by one"),
        (zipped(), "is a zip without a file"),
        (zipped(("a.csv", PLAIN), method=zipfile.ZIP_BZIP2), ENCRYPTED),
        (with_byte(zipped(("a.csv", PLAIN)), FLAGS_AT, 1), ENCRYPTED),
        (with_byte(zipped(("a.csv", PLAIN), method=zipfile.ZIP_STORED), FLAGS_AT, 8), ENCRYPTED),
        (with_byte(zipped(("a.csv", PLAIN)), DATA_AT, 0xFF), "is corrupt zip"),
        (zipped(("a.csv", PLAIN)).partition(b"PK\1\2")[0], "is corrupt or truncated zip"),
        (zipped(("a.csv", PLAIN)).partition(b"PK\1\2")[0] + b"more", "is corrupt or truncated zip"),
        (
            zipped(("[Content_Types].xml", b"<x/>"), ("xl/workbook.xml", b"<x/>")),
            "in Excel, save the sheet as CSV UTF-8",
        ),
        (b"\xd0\xcf\x11\xe0" + b"x" * 600, "in Excel, save the sheet as CSV UTF-8"),
    ],
)
def test_another_archive_is_a_bad_object_that_says_why(data: bytes, message: str) -> None:
    with pytest.raises(CorruptObjectError, match=message):
        list(unpacked(pieces(data, 100), "a"))


@pytest.mark.parametrize("kind", ["bzip2", "xz", "zip", "zstd", "gzip"])
def test_a_bomb_is_a_bad_object_and_is_read_in_bounded_pieces(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 2**20)
    monkeypatch.setattr(archives, "MAX_RATIO", 100)
    sizes: list[int] = []
    with pytest.raises(CorruptObjectError, match="expands to more than 100 times its size"):
        sizes.extend(map(len, unpacked(pieces(PACKED[kind](bytes(2**24)), 2**16), "a")))
    assert sizes
    assert max(sizes) <= PIECE_BYTES


@pytest.mark.parametrize("kind", ["bzip2", "xz", "zip", "zstd", "gzip"])
def test_an_object_may_expand_to_the_limit_exactly(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = bytes(50_000)
    packed = PACKED[kind](plain)
    monkeypatch.setattr(archives, "MAX_RATIO", 100)
    monkeypatch.setattr(archives, "FREE_BYTES", len(plain) - 100 * len(packed))
    assert b"".join(unpacked(iter([packed]), "a")) == plain
    monkeypatch.setattr(archives, "FREE_BYTES", len(plain) - 100 * len(packed) - 1)
    with pytest.raises(CorruptObjectError, match="expands to more than 100 times its size"):
        list(unpacked(iter([packed]), "a"))
