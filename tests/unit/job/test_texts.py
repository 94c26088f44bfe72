"""Text in any encoding becomes UTF-8 in pieces of sufficient size."""

from __future__ import annotations

import pytest

from fanout_job.errors import CorruptObjectError
from fanout_job.texts import as_utf8, joined, marked_encoding, text_codec


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        ([b"", b""], []),
        ([b"ab"], [b"ab"]),
        ([b"abc"], [b"abc"]),
        ([b"ab", b"c"], [b"abc"]),
        ([b"ab", b"", b"cd", b"e"], [b"abcd", b"e"]),
        ([b"abc", b"ab", b"c", b"abcd"], [b"abc", b"abc", b"abcd"]),
    ],
)
def test_pieces_have_at_least_a_minimum_size(pieces: list[bytes], expected: list[bytes]) -> None:
    assert list(joined(iter(pieces), 3)) == expected


@pytest.mark.parametrize(
    ("name", "codec"), [("UTF8", "utf-8"), ("latin_1", "iso8859-1"), ("us-ascii", "ascii"), ("UTF-16", "utf-16")]
)
def test_a_text_encoding_has_all_names_that_python_knows(name: str, codec: str) -> None:
    assert text_codec(name).name == codec


@pytest.mark.parametrize(
    "name", ["klingon", "base64", "hex", "rot13", "idna", "punycode", "undefined", "unicode_escape", "a\0b"]
)
def test_an_encoding_that_files_do_not_have_is_rejected(name: str) -> None:
    with pytest.raises(LookupError):
        text_codec(name)


@pytest.mark.parametrize(
    ("encoding", "pieces", "expected"),
    [
        ("utf-8", [b"a", b"\xff"], [b"a", b"\xff"]),
        ("ascii", [b"a\xff", b"b"], [b"a\xff", b"b"]),
        ("latin-1", [b"a\xff", b"b"], ["aÿ".encode(), b"b"]),
        ("utf-16-le", [b"a", b"\0b\0c", b"\0"], [b"ab", b"c"]),
        ("cp1252", [b"\x81"], ["\udc81".encode(errors="surrogatepass")]),
    ],
)
def test_text_becomes_utf_8_and_invalid_bytes_stay_invalid(
    encoding: str, pieces: list[bytes], expected: list[bytes]
) -> None:
    assert list(as_utf8(iter(pieces), encoding)) == expected


@pytest.mark.parametrize(
    ("encoding", "pieces", "errors"),
    [
        ("ascii", [b"a", b"\xff"], "strict"),
        ("cp1252", [b"\x81"], "strict"),
        ("utf-16-le", [b"a\0b"], "surrogateescape"),
    ],
)
def test_bytes_that_are_not_text_are_a_bad_object(encoding: str, pieces: list[bytes], errors: str) -> None:
    with pytest.raises(CorruptObjectError, match=f"is not {encoding} text"):
        list(as_utf8(iter(pieces), encoding, errors))


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        (b"<a/>", None),
        (b"", None),
        (b"\xef\xbb\xbf<", "utf-8"),
        ("<a/>".encode("utf-32"), "utf-32"),
        ("<a/>".encode("utf-16"), "utf-16"),
        ("<a/>".encode("utf-16-be"), "utf-16-be"),
    ],
)
def test_the_first_bytes_of_a_text_identify_its_encoding(head: bytes, encoding: str | None) -> None:
    assert marked_encoding(head) == encoding
