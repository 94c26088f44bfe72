"""An object's bytes become lines: every gzip member, in bounded memory, or a typed error."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout_job import formats
from fanout_job.errors import CorruptObjectError
from fanout_job.foreign import HEAD_BYTES
from fanout_job.formats import GZIP_MAGIC, PIECE_BYTES, decompressed, gunzipped, members, split_lines, unmarked


def chunks(raw: bytes, size: int = 7) -> Iterator[bytes]:
    return (raw[start : start + size] for start in range(0, len(raw), size))


def lines_of(raw: bytes, key: str = "part.json.gz", size: int = 7) -> list[bytes | None]:
    return [line for lines in split_lines(decompressed(chunks(raw, size), key)) for line in lines]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100_000])
def test_every_gzip_member_is_read(size: int) -> None:
    raw = gzip.compress(b"one\ntwo\nth") + gzip.compress(b"ree\n") + gzip.compress(b"") + gzip.compress(b"four")
    assert lines_of(raw, size=size) == [b"one", b"two", b"three", b"four"]


def test_zeros_after_the_last_member_are_padding() -> None:
    assert lines_of(gzip.compress(b"one\n") + b"\0" * 20) == [b"one"]


@pytest.mark.parametrize("key", ["part.json", "part.jsonl", "firehose-1-2026-11-22"])
def test_plain_json_lines_are_read_too(key: str) -> None:
    assert lines_of(b"one\ntwo", key) == [b"one", b"two"]


def test_gzip_is_detected_by_its_bytes_and_not_by_its_name() -> None:
    assert lines_of(gzip.compress(b"one\ntwo"), "firehose-1-2026-11-22") == [b"one", b"two"]


def zipped(content: bytes) -> bytes:
    """Without a time stamp: the bytes are part of test ids, which must be the same in every test process."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize("raw", [b"", zipped(b"")])
def test_an_empty_object_has_no_lines(raw: bytes) -> None:
    assert lines_of(raw) == []


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (zipped(b"one\ntwo\n" * 100)[:-1], "truncated"),
        (zipped(b"one\ntwo\n" * 100)[:15], "truncated"),
        (zipped(b"one\n") + zipped(b"two\n")[:12], "truncated"),
        (b"\x1f\x8b", "truncated"),
        (b"\x1f\x8b" + b"x" * 40, "corrupt"),
        (zipped(b"one\n")[:-6] + b"xxxxxx", "corrupt"),
        (zipped(b"one\n") + b"trailing", "after the end"),
        (zipped(b"one\n") + b"\x1f", "after the end"),
        (b"plain text", "named .gz"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 20, "zstd"),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_damage_is_a_typed_error(raw: bytes, says: str, size: int) -> None:
    with pytest.raises(CorruptObjectError, match=says):
        lines_of(raw, size=size)


@pytest.mark.fault(24)
def test_a_gzip_bomb_is_read_in_bounded_chunks() -> None:
    bomb = gzip.compress(b"\0" * 300_000_000, 1)
    largest = max(len(piece) for piece in decompressed(chunks(bomb, 2**19), "bomb.gz"))
    assert largest <= PIECE_BYTES


def test_a_line_over_the_limit_is_not_kept_and_the_next_lines_are() -> None:
    pieces = [b"a\n" + b"x" * 6, b"x" * 6, b"x\nb\n", b"y" * 9, b"yy\nc\n", b"z" * 9, b"z" * 9, b"z"]
    found = [line for lines in split_lines(pieces, limit=10) for line in lines]
    assert found == [b"a", None, b"b", None, b"c", None]


@given(st.lists(st.binary(max_size=9), max_size=8), st.integers(1, 20))
def test_lines_do_not_depend_on_the_chunks(parts: list[bytes], size: int) -> None:
    whole = b"\n".join(parts)
    expected = whole.split(b"\n")
    expected = expected[:-1] if not expected[-1] else expected
    assert [line for lines in split_lines(chunks(whole, size)) for line in lines] == expected


@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=5), st.integers(1, 4000))
def test_gzip_members_of_any_content_are_read_whole(parts: list[bytes], size: int) -> None:
    # No content begins with the signature of another format, which is named instead: see test_foreign_formats.py.
    parts = [b"{", *parts]
    raw = b"".join(gzip.compress(part) for part in parts)
    assert b"".join(decompressed(chunks(raw, size), "a.gz")) == b"".join(parts)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_damaged_gzip_is_never_read_as_complete(content: bytes, data: st.DataObject) -> None:
    raw = bytearray(gzip.compress(content))
    place = data.draw(st.integers(10, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = b"".join(decompressed(chunks(bytes(raw)), "a.gz"))
    except CorruptObjectError:
        return
    # Bits that gzip does not protect, such as padding, leave the content as it was.
    assert found == content.removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize("pieces", [1, 2, 100])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_byte_order_mark_at_the_beginning_is_skipped(pieces: int, zipped: bool) -> None:
    raw = b"\xef\xbb\xbfone\n\xef\xbb\xbftwo"
    stored = gzip.compress(raw) if zipped else raw
    chunks = iter([stored[n : n + pieces] for n in range(0, len(stored), pieces)])
    assert b"".join(decompressed(chunks, "a.json")) == b"one\n\xef\xbb\xbftwo"


def test_a_line_of_exactly_the_limit_is_kept_for_any_chunks() -> None:
    pieces = [b"aaa", b"aa\nbbb", b"bb\nccccc", b"\ndddd", b"d"]
    assert [line for lines in split_lines(pieces, limit=5) for line in lines] == [
        b"aaaaa",
        b"bbbbb",
        b"ccccc",
        b"ddddd",
    ]


def test_a_line_of_one_byte_more_than_the_limit_is_not_kept() -> None:
    pieces = [b"aaa", b"aaa\nbbb", b"bbb"]
    assert [line for lines in split_lines(pieces, limit=5) for line in lines] == [None, None]


def test_pieces_are_joined_only_until_the_beginning_is_known() -> None:
    head = b"x" * HEAD_BYTES

    assert list(decompressed(iter([head, b"y"]), "a.json")) == [head, b"y"]
    assert list(decompressed(iter([head[1:], b"y", b"z"]), "a.json")) == [head[1:] + b"y", b"z"]
    assert list(unmarked(iter([b"abc", b"d"]))) == [b"abc", b"d"]
    assert list(unmarked(iter([b"ab", b"c", b"d"]))) == [b"abc", b"d"]


HALF = PIECE_BYTES // 2


@pytest.mark.parametrize(
    ("made", "sizes"),
    [
        ([(HALF, False), (HALF, True)], [PIECE_BYTES]),
        ([(HALF, False), (HALF, False), (1, True)], [PIECE_BYTES, 1]),
        ([(HALF + 1, False), (HALF, False), (HALF, True)], [HALF + 1, PIECE_BYTES]),
        ([(1, True), (HALF, False), (HALF, True)], [1, PIECE_BYTES]),
        ([(1, False), (2, False), (3, True), (4, False)], [6]),
    ],
)
def test_a_member_is_held_back_until_it_is_complete_or_a_piece_is_full(
    made: list[tuple[int, bool]], sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "members", lambda *_: iter([(b"x" * size, complete) for size, complete in made]))

    assert [len(piece) for piece in gunzipped(b"", iter([]))] == sizes


def test_the_bytes_before_a_truncation_are_read_and_those_of_a_corrupt_member_are_not() -> None:
    content = b"one\ntwo\n"
    whole = zipped(content)
    for raw, expected in [(whole, [content]), (whole[:-1], [content]), (whole[:-8] + b"x" * 8, [])]:
        found: list[bytes] = []
        try:
            found.extend(gunzipped(raw, iter([])))
        except CorruptObjectError:
            assert raw != whole
        assert found == expected


@pytest.mark.parametrize(("begun", "chunks_read"), [(1, 1), (2, 0), (3, 0)])
def test_the_next_chunk_is_read_only_when_a_member_needs_it(begun: int, chunks_read: int) -> None:
    one, two = zipped(b"one"), zipped(b"two")
    read = []

    def later() -> Iterator[bytes]:
        for chunk in (two[begun:], b"never"):
            read.append(chunk)
            yield chunk

    steps = members(one + two[:begun], later())

    assert next(steps) == (b"one", True)
    next(steps)
    assert len(read) == chunks_read


@pytest.mark.parametrize("cut", range(1, 4))
def test_a_member_may_begin_in_one_chunk_and_continue_in_the_next(cut: int) -> None:
    one, two = zipped(b"one"), zipped(b"two")
    assert two.startswith(GZIP_MAGIC)

    assert list(members(one + two[:cut], iter([two[cut:]])))[-1] == (b"two", True)


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize(("free", "ratio"), [(100_000, 1), (1, 0)])
def test_an_object_may_decompress_to_exactly_its_limit(
    more: int, free: int, ratio: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "EXPANDED_BYTES", free)
    monkeypatch.setattr(formats, "MAX_EXPANSION", ratio)
    raw = zipped(b"x" * (free + more))
    if more:
        with pytest.raises(CorruptObjectError, match=f"decompresses to more than {ratio} times its size"):
            list(members(raw, iter([])))
    else:
        assert sum(len(piece) for piece, _ in members(raw, iter([]))) == free
