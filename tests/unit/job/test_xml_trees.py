"""XML trees of any shape become the rows that another parser finds. The limits hold wherever a piece ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, combinations
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout_job import xml_tree
from fanout_job.blocks import MAX_RECORD_BYTES
from fanout_job.errors import CorruptObjectError
from fanout_job.mapping import Xml
from fanout_job.paths import Source, Step, parsed_path
from fanout_job.xml_source import MAX_DEPTH, Records
from fanout_job.xml_tree import ELEMENT_CHARACTERS, State, Trie, xml_text

MEGABYTE = b"x" * 2**20
TOO_LONG = "has a record of more than"


def reading(*names: str) -> Records:
    """Return a reader of things, which joins the values of each field."""
    wanted = [Source(name, join="|") for name in names]
    return Records(Xml("thing"), wanted, lambda *bad: pytest.fail(str(bad)))


def texts(records: Records, pieces: Iterable[bytes]) -> list[list[str | None]]:
    """Return the fields of each row."""
    for piece in chain(pieces, [b""]):
        records.feed(piece)
    records.rows.close(records.open[0][0])
    blocks = list(records.rows.rest())
    return [[b.columns[source][n].as_py() for source in records.wanted] for b in blocks for n in range(len(b.numbers))]


def in_pieces(document: str, size: int) -> list[bytes]:
    data = document.encode()
    return [data[start : start + size] for start in range(0, len(data), size)]


words = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=3)
names = st.sampled_from(["p", "q", "r"])


def element(name: st.SearchStrategy[str], inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    attributes = st.dictionaries(names, words, max_size=2)
    shown = attributes.map(lambda fields: "".join(f" {name}={quoteattr(text)}" for name, text in fields.items()))
    content = st.lists(inner | words.map(escape), max_size=4).map("".join)
    return st.builds("<{0}{1}>{2}</{0}>".format, name, shown, content)


fields = st.recursive(element(names, st.nothing()), lambda inner: element(names, inner), max_leaves=6)
things = element(st.just("thing"), fields)
documents = element(st.just("all"), element(st.just("group"), things | fields) | things | fields)

PATHS = ["@p", ".", "p", "q/p", "p/@q", "p/q/r", "../@p", "../p", "../q/p", "/all/p", "/all/q/@p"]


def values(start: ElementTree.Element, path: str) -> list[str]:
    """Return the values at a path, by ElementTree."""
    steps, at, attribute = path.rpartition("@")
    if at:
        return [one.attrib[attribute] for one in start.findall(steps.rstrip("/") or ".") if attribute in one.attrib]
    return [(one.text or "") + "".join(child.tail or "" for child in one) for one in start.findall(path)]


def expected(document: str, paths: Iterable[str]) -> list[list[str | None]]:
    root = ElementTree.fromstring(document)  # noqa: S314 - made above
    parents = {child: parent for parent in root.iter() for child in parent}
    found = []
    for thing in root.iter("thing"):
        starts = {"..": parents[thing], "/all": root}
        row = []
        for path in paths:
            prefix = next((prefix for prefix in starts if path.startswith(prefix)), "")
            several = values(starts.get(prefix, thing), path.removeprefix(f"{prefix}/" if prefix else ""))
            row.append("|".join(several) if several else None)
        found.append(row)
    return found


MANY = """<all p="a">b<p>c</p>d<q p="e"><p>f</p></q>
<thing p="g">h<p q="i">j<p>k</p>l<q>m<r>n<r/></r>o</q>p<r/></p>q<q>r<p>s<r>t</r>u</p>v</q>w<p/></thing>x
<group p="y">z<p>0</p><thing>1<r>2</r><p>3</p>4</thing><q>5<p>6</p></q><thing/><p>7</p></group>8<r>9</r></all>"""


@pytest.mark.parametrize("paths", [*combinations(PATHS, 1), *combinations(PATHS, 2), PATHS])
def test_any_fields_of_a_tree_are_read(paths: list[str]) -> None:
    for size in (1, len(MANY)):
        assert texts(reading(*paths), in_pieces(MANY, size)) == expected(MANY, paths)


@pytest.mark.parametrize(
    ("paths", "called"),
    [
        ("p @p q", ""),
        ("p .", "."),
        ("p q/p @q", "q/p"),
        ("p q q/p", "q q/p"),
        ("p q/@p", "q/@p"),
        ("p r", "p r"),
        ("p /all/thing/p/q", "p"),
    ],
)
def test_single_texts_of_a_record_are_read_without_a_call_for_each(
    paths: str, called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(element: Any, source: Source, steps: Sequence[Step]) -> str | None:
        calls.append(source.name)
        return xml_text(element, source, steps)

    monkeypatch.setattr(xml_tree, "xml_text", counted)
    document = "<all><thing p='1' q='2'>0<p>3</p><q p='4'>5<p>6</p></q><r/><r/></thing></all>"
    assert texts(reading(*paths.split()), [document.encode()]) == expected(document, paths.split())
    assert calls == called.split()


def test_children_of_which_the_same_is_wanted_share_a_state() -> None:
    trie = Trie()
    trie.add(parsed_path("p/q").steps)
    state = State([trie])
    assert state.below("p") is state.below("p") is not state.below("q")
    assert state.below("q") is state.below("r") is not state.below("q", Trie())


@given(documents, st.lists(st.sampled_from(PATHS), min_size=1, unique=True), st.integers(1, 30))
def test_the_fields_of_a_tree_equal_those_of_another_parser_for_any_pieces(
    document: str, paths: list[str], size: int
) -> None:
    assert texts(reading(*paths), in_pieces(document, size)) == expected(document, paths)


@pytest.mark.parametrize(("path", "opened"), [(".", ["thing"]), ("p", ["thing", "p"]), ("p/q", ["thing", "p", "q"])])
def test_a_record_has_at_most_a_limited_number_of_characters(path: str, opened: list[str]) -> None:
    most = MAX_RECORD_BYTES - ELEMENT_CHARACTERS * len(opened)
    begin = "".join(f"<{name}>" for name in opened).encode()
    end = "".join(f"</{name}>" for name in reversed(opened)).encode()
    half = b"x" * (most // 2)

    assert texts(reading(path), [begin, half, half, end]) == [[(half + half).decode()]]
    with pytest.raises(CorruptObjectError, match=TOO_LONG):
        texts(reading(path), [begin, half, half + b"x" + end])


def test_attributes_count_as_characters_of_their_record() -> None:
    half = b"'" + b"x" * (MAX_RECORD_BYTES // 2) + b"'"
    pieces = [b"<thing p=" + half + b">", b"<p q=" + half + b"/></thing>"]

    assert len(texts(reading("@p"), pieces)) == len(texts(reading("p/@q"), pieces)) == 1
    with pytest.raises(CorruptObjectError, match=TOO_LONG):
        texts(reading("@p", "p/@q"), pieces)


@pytest.mark.parametrize(
    ("path", "begin", "unread"),
    [("p", b"<thing><p>", 84), (".", b"<thing>", 84), (".", b"<thing>" + MEGABYTE * 9 + b"<q/>", 93)],
)
def test_a_text_without_an_end_is_read_up_to_the_limit(path: str, begin: bytes, unread: int) -> None:
    pieces = iter([begin, *[MEGABYTE] * 100])
    with pytest.raises(CorruptObjectError, match=TOO_LONG):
        texts(reading(path), pieces)
    assert len(list(pieces)) == unread


@pytest.mark.parametrize(
    ("path", "begin", "end", "text"),
    [
        ("p", b"<all>", b"<thing><p>1</p></thing></all>", "1"),
        ("p", b"<thing>", b"<p>1</p></thing>", "1"),
        ("p", b"<thing><q>", b"</q><p>1</p></thing>", "1"),
        ("p", b"<thing><p>1<q>", b"</q>2</p></thing>", "12"),
        (".", b"<thing>1<q>", b"</q>2</thing>", "12"),
        ("p/q", b"<thing><p>", b"<q>1</q></p></thing>", "1"),
    ],
)
def test_a_text_that_is_not_wanted_has_any_length(path: str, begin: bytes, end: bytes, text: str) -> None:
    for inner in (MEGABYTE, MEGABYTE + b"<r/>"):
        assert texts(reading(path), [begin, *[inner] * 20, end]) == [[text]]


@pytest.mark.parametrize(
    ("path", "record"),
    [
        ("p", b"<thing><p>" + MEGABYTE + b"</p></thing>"),
        ("../@p", b"<group p='" + MEGABYTE + b"'><thing/></group>"),
        ("/all/group/@p", b"<group p='" + MEGABYTE + b"'><thing/></group>"),
    ],
)
def test_the_records_of_a_document_have_any_length_in_total(path: str, record: bytes) -> None:
    assert texts(reading(path), [b"<all>", *[record] * 20, b"</all>"]) == [[MEGABYTE.decode()]] * 20


def test_any_number_of_elements_that_are_not_wanted_may_be_in_a_parent() -> None:
    elements = b"<q/>" * (MAX_RECORD_BYTES // ELEMENT_CHARACTERS)
    assert texts(reading("../@p"), [b"<all p='1'>", elements, b"<thing/></all>"]) == [["1"]]


@pytest.mark.parametrize("names", ["", "thing", "thing q", "thing q q", "thing p", "thing p q", "thing p q q"])
def test_elements_have_at_most_200_levels(names: str) -> None:
    opened = names.split()

    def document(levels: int) -> list[bytes]:
        path = ["all", *["group"] * (levels - 1 - len(opened)), *opened]
        before = "<all>" + "<thing><q><q></q></q></thing>" * MAX_DEPTH
        inner = "".join(f"<{name}>" for name in path[1:]) + "".join(f"</{name}>" for name in reversed(path))
        return [(before + inner).encode()]

    assert len(texts(reading("p"), document(MAX_DEPTH))) == MAX_DEPTH + ("thing" in opened)
    with pytest.raises(CorruptObjectError, match="is nested too deeply"):
        texts(reading("p"), document(MAX_DEPTH + 1))


def test_a_tag_has_at_most_a_limited_number_of_bytes() -> None:
    begin, half = b"<thing p='", b"x" * (MAX_RECORD_BYTES // 2)
    end = half[len(begin) + 3 :] + b"'/>"

    assert texts(reading("@q"), [b"<all>", begin + half, end, b"</all>"]) == [[None]]
    records = reading("@q")
    records.feed(b"<all>")
    records.feed(begin + half)
    with pytest.raises(CorruptObjectError, match="has a tag of more than"):
        records.feed(b"x" + end)


def test_a_tag_is_read_as_soon_as_it_is_complete() -> None:
    records = reading("@p")
    records.feed(b"<thing p='")
    records.feed(b"1' q='2'/>")
    assert records.number == 1
