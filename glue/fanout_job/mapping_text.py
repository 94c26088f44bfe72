"""Parses a mapping to YAML nodes, which have line numbers. Converts JSON to equivalent YAML first."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from contract.nesting import is_too_deep
from fanout_job.errors import MappingError
from fanout_job.json_faults import described

MAX_BYTES = 2**18
"""Maximum size of a mapping. A document of this size takes less than a second."""
MAX_DEPTH = 20
MAX_SHOWN = 200
"""Maximum characters of the parser's message in an error."""

LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C loader, which every wheel of PyYAML contains, is 20 times as fast."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NOT_PLAIN = re.compile(r"[^ -~]")


def nodes_of(text: bytes, name: str) -> yaml.Node:
    """Read a document.

    Raises
    ------
    MappingError
        The document is not YAML or JSON, is too large, is nested too deeply, or has aliases.
    """
    if len(text) > MAX_BYTES:
        line = text.count(b"\n", 0, MAX_BYTES) + 1
        raise MappingError(f"has more than {MAX_BYTES} bytes", uri=name, line=line)
    plain = _decoded(text, name)
    if name.endswith(".json"):
        plain = _as_yaml(plain, name)
    depth = 0
    try:
        for event in yaml.parse(plain, LOADER):
            if isinstance(event, yaml.AliasEvent):
                what = "has an alias (*), which mappings do not support; repeat the value"
                raise MappingError(what, uri=name, line=_line(event.start_mark))
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise MappingError("is nested too deeply", uri=name, line=_line(event.start_mark))
        tree: yaml.Node | None = yaml.compose(plain, LOADER)
    except yaml.MarkedYAMLError as error:
        last = plain.rstrip().count("\n") + 1  # the parser may report the end one line later
        line = min(_line(error.problem_mark), last)
        raise MappingError(f"is not YAML: {str(error.problem)[:MAX_SHOWN]}", uri=name, line=line) from None
    except yaml.reader.ReaderError as error:
        line = plain.encode().count(b"\n", 0, error.position) + 1
        raise MappingError("is not YAML: it has an invalid character", uri=name, line=line) from None
    if tree is None:
        raise MappingError("is empty", uri=name, line=1)
    return tree


def _decoded(text: bytes, name: str) -> str:
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise MappingError("is not UTF-8 text", uri=name, line=line) from None


def _as_yaml(plain: str, name: str) -> str:
    """Return JSON as YAML with the same lines. YAML has other escapes, and allows tabs only within texts."""
    if is_too_deep(plain):
        raise MappingError("is nested too deeply", uri=name, line=1)
    try:
        json.loads(plain, parse_int=str)
    except json.JSONDecodeError as error:
        expected, place = described(error)
        line = plain.count("\n", 0, place) + 1
        raise MappingError(f"is not JSON: {expected}", uri=name, line=line) from None
    made, place = [], 0
    for found in _STRING.finditer(plain):
        string = json.dumps(json.loads(found[0]), ensure_ascii=False)
        if half := re.search(r"[\ud800-\udfff]", string):
            line = plain.count("\n", 0, found.start()) + 1
            what = f"has {ascii(half[0])[1:-1]}, half of a surrogate pair, which is not a character"
            raise MappingError(what, uri=name, line=line)
        made += [plain[place : found.start()].replace("\t", " "), _NOT_PLAIN.sub(_escape, string)]
        place = found.end()
    return "".join(made) + plain[place:].replace("\t", " ")


def _escape(found: re.Match[str]) -> str:
    return f"\\U{ord(found[0]):08x}"


def _line(mark: Any) -> int:
    return int(mark.line) + 1
