"""The text of a mapping, in YAML or JSON, becomes nodes, or the error names its line."""

from __future__ import annotations

import hashlib

import pytest

from fanout_job.errors import MappingError
from fanout_job.mapping_text import MAX_BYTES, MAX_DEPTH, nodes_of
from tests.unit.job.standardizing import MODEL


@pytest.mark.parametrize(
    ("name", "text", "line", "says"),
    [
        ("m.yaml", b"\n" * (MAX_BYTES + 1), MAX_BYTES + 1, "has more than 262144 bytes"),
        ("m.yaml", b"\n" * MAX_BYTES, 1, "is empty"),
        ("m.yaml", b"a:\n " + b"[" * MAX_DEPTH, 2, "is nested too deeply"),
        ("m.yaml", b"\n\na: {\n]\nb: 1\n", 4, "is not YAML: did not find expected node content"),
        ("m.yaml", b"a: [\n\n\n", 1, "is not YAML: did not find expected node content"),
        ("m.yaml", b"a: 1\n---\nb: 2\nc: 3\n", 2, "is not YAML: but found another document"),
        ("m.yaml", b"\na: \x01\n", 2, "is not YAML: it has an invalid character"),
        ("m.yaml", b"\n\xff", 2, "is not UTF-8 text"),
        ("m.json", b"\n{,}", 2, "is not JSON: "),
        ("m.json", b'\n{"a":\n"x\\ud800"}', 3, r"has \\ud800, half of a surrogate pair"),
        ("m.json", b'{"a": "\\udfff"}', 1, r"has \\udfff, half of a surrogate pair"),
    ],
)
def test_the_error_of_a_text_names_its_line(name: str, text: bytes, line: int, says: str) -> None:
    with pytest.raises(MappingError, match=says) as caught:
        nodes_of(text, name)
    assert caught.value.line == line


def test_a_mapping_is_nested_at_most_20_deep() -> None:
    whole = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH

    assert nodes_of(whole, "m.yaml").start_mark.line == 0
    assert len(nodes_of(b"- [[a], [b]]\n" * 3 * MAX_DEPTH, "m.yaml").value) == 3 * MAX_DEPTH


def test_a_mapping_may_have_its_maximum_size() -> None:
    assert nodes_of(b"a" * MAX_BYTES, "m.yaml").value == "a" * MAX_BYTES


@pytest.mark.parametrize("text", ["\U0001f600", "\u0142", "a\tb", '"\\\n'])
def test_each_character_of_json_is_read_as_it_is(text: str) -> None:
    for quoted in (f'["{text}"]', '["' + "".join(f"\\u{unit:04x}" for unit in units(text)) + '"]'):
        if text.isprintable() or "\\u" in quoted:
            assert nodes_of(quoted.encode(), "m.json").value[0].value == text


def units(text: str) -> list[int]:
    """The UTF-16 code units of a text."""
    raw = text.encode("utf-16-be")
    return [int.from_bytes(raw[place : place + 2]) for place in range(0, len(raw), 2)]


def test_an_output_file_has_the_end_of_the_name_of_its_source_and_a_hash() -> None:
    source = f"in/provider=acme/{'y' * 50}{'x' * 119}z"

    key = MODEL.output_key("acme", source)

    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    assert key == f"standard/model=things/provider=acme/{'x' * 119}z-{digest}.parquet"
