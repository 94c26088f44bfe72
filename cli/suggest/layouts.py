"""Recognizes the format of a sample, and finds the elements that may be records, with all their fields."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

DELIMITERS = ",;\t|\x01"
MAX_RECORDS = 200
MAX_DEPTH = 6
MAX_CHOICES = 30
"""Maximum different keys of an element that is chosen by a key."""

PLAIN = re.compile(r"[A-Za-zÀ-ÿ_][\w.()/ -]*(?<! )")


@dataclass
class Layout:
    """One way to read a sample.

    Attributes
    ----------
    form
        Lines of the mapping that describe the format.
    records
        Path of the records, or name of their element. Empty for CSV.
    parents
        Names of the elements that contain a record, the innermost first. Known for XML only.
    columns
        Source field -> its texts, one for each record, None if a record does not have it.
    several
        Source fields that have several values in a record, with the option that chooses among them.
    unnamed
        Whether the columns have no names.
    notes
        Doubts.
    """

    form: list[str]
    columns: dict[str, list[str | None]]
    several: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unnamed: bool = False
    records: str = ""
    parents: tuple[str, ...] = ()


def scalar(text: str) -> str:
    """Return a text as a YAML scalar."""
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def layouts(data: bytes) -> list[Layout]:
    """Return the possible layouts of a sample."""
    encoding = encoding_of(data)
    text = data.decode(encoding, "replace").removeprefix("\ufeff")
    start = text.lstrip()[:1]
    if start == "<":
        return list(_xml(data))
    if start in ("{", "["):
        return list(_json(text))
    return [_csv(text, encoding)]


def encoding_of(data: bytes) -> str:
    """Return the encoding of a text: that of its byte order mark, or else UTF-8 or Windows-1252."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        data.decode()
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


# ---- CSV


def _csv(text: str, encoding: str) -> Layout:
    def rows_by(delimiter: str) -> list[list[str]]:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))

    def consistency(delimiter: str) -> tuple[int, int]:
        counts = Counter(len(row) for row in rows_by(delimiter) if len(row) > 1)
        width, count = counts.most_common(1)[0] if counts else (1, 0)
        return count * (width - 1), -DELIMITERS.index(delimiter)

    delimiter = max(DELIMITERS, key=consistency)
    rows = [row for row in rows_by(delimiter) if row]
    width = Counter(len(row) for row in rows if len(row) > 1).most_common(1)[0][0] if consistency(delimiter)[0] else 1
    start = next(place for place, row in enumerate(rows) if len(row) == width)
    options, notes = [f"delimiter: {json.dumps(delimiter)}"] if delimiter != "," else [], []
    if encoding != "utf-8":
        options.append(f"encoding: {encoding}")
    header, body = rows[start], rows[start + 1 :]
    named = all(name.strip() and not re.search(r"\d{4}", name) for name in header) and len(set(header)) == width
    if not named:
        body = rows[start + 1 :] if not header[0].strip() else rows[start:]
        header, start = [f"column{number}" for number in range(1, width + 1)], len(rows) - len(body)
        options.append(f"columns: [{', '.join(header)}]")
        notes.append("the file has no header that can be used; give its columns better names")
    if start:
        options.append(f"skip: {start}")
    end = next((place for place, row in enumerate(body) if len(row) != width), len(body))
    if end < len(body) and all(len(row) != width for row in body[end:]):
        options.append(f"footer: [{json.dumps(body[end][0][:20], ensure_ascii=False)}]")
        body = body[:end]
    totals = [row for row in body[-1:] if re.match(r"(?i)(total|summe|somme|gesamt)", row[0])]
    if totals:
        options.append(f"footer: [{scalar(totals[0][0])}]")
        body = body[:-1]
    if header in body:
        options.append("repeated_header: true")
        body = [row for row in body if row != header]
    body = [row for row in body if len(row) == width]
    columns: dict[str, list[str | None]] = {name: [row[n] for row in body] for n, name in enumerate(header)}
    return Layout([f"csv: {{{', '.join(options)}}}" if options else "csv:"], columns, notes=notes, unnamed=not named)


# ---- JSON


def _json(text: str) -> Iterator[Layout]:
    numbers: dict[str, Any] = {"parse_float": str, "parse_int": str}
    try:
        document = json.loads(text, **numbers)
    except json.JSONDecodeError:
        lines = [line for line in text.splitlines() if line.strip()]
        values = [json.loads(line, **numbers) for line in lines[:-1] or lines]
        last = [json.loads(lines[-1], **numbers)] if len(lines) > 1 and lines[-1].endswith(("}", "]")) else []
        yield _json_layout("json_lines:", [[value] for value in values + last])
        return
    found: dict[str, list[list[Any]]] = {}
    _find_records(document, [], [], found)
    if isinstance(document, dict):
        found.setdefault("", [[document]])
    for path, chains in found.items():
        if isinstance(chains[0][-1], list):
            yield from _json_table(document, path, chains)
        else:
            yield _json_layout(f"json: {{records: {scalar(path)}}}" if path else "json:", chains, path)


def _find_records(value: Any, path: list[str], chain: list[Any], found: dict[str, list[list[Any]]]) -> None:
    if len(path) > MAX_DEPTH:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, dict | list):
                _find_records(inner, [*path, quoted(name)], [*chain, value], found)
    elif isinstance(value, list) and value and isinstance(value[0], dict | list):
        for element in value[:MAX_RECORDS]:
            found.setdefault("/".join(path), []).append([*chain, element])
            for name, inner in element.items() if isinstance(element, dict) else ():
                if isinstance(inner, list):
                    _find_records(inner, [*path, "*", quoted(name)], [*chain, element], found)


def quoted(name: str) -> str:
    """Return a name as a step of a path."""
    special = name.startswith("'") or set(name) & set("/[]") or name in ("*", ".", "..", "key()")
    return "'" + name.replace("'", "''") + "'" if special else name


def _json_layout(form: str, chains: list[list[Any]], records: str = "") -> Layout:
    layout = Layout([form], {}, records=records)
    for number, chain in enumerate(chains):
        for up, value in enumerate(reversed(chain)):
            for path, text in _json_leaves(value, "../" * up, layout, 0):
                layout.columns.setdefault(path, [None] * len(chains))[number] = text
    return layout


def _json_leaves(value: Any, prefix: str, layout: Layout, depth: int) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict) or depth > MAX_DEPTH:
        return
    for name, inner in value.items():
        path = prefix + quoted(name)
        if isinstance(inner, dict):
            yield from _json_leaves(inner, f"{path}/", layout, depth + 1)
        elif isinstance(inner, list):
            if inner and not isinstance(inner[0], dict | list):
                if all(re.fullmatch(r"-?[\d.]+", str(one)) for one in inner):
                    yield from ((f"{path}/{place}", str(one)) for place, one in enumerate(inner[:3]))
                else:
                    layout.several[f"{path}/*"] = {"join": ", "}
                    yield f"{path}/*", str(inner[0])
        elif inner is not None:
            yield path, inner if isinstance(inner, str) else json.dumps(inner)


def _json_table(document: Any, path: str, chains: list[list[Any]]) -> Iterator[Layout]:
    """Yield the layout of records that are arrays, if the document has a list of as many names."""
    count = len(chains[0][-1])
    found: dict[str, list[list[Any]]] = {}
    _find_records(document, [], [], found)
    for place, described in found.items():
        names = [chain[-1].get("name") if isinstance(chain[-1], dict) else None for chain in described]
        if len(names) == count and all(isinstance(name, str) for name in names):
            form = f"json: {{records: {scalar(path)}, header: {scalar(f'/{place}/*/name')}}}".replace('"/', '"/')
            parents = [[*chain[:-1], dict(zip(names, chain[-1], strict=True))] for chain in chains]
            layout = _json_layout(form, parents, path)
            top = [name for name in layout.columns if name.startswith("../")]
            for name in top:
                layout.columns[f"/{name.replace('../', '')}"] = layout.columns.pop(name)
            yield layout


# ---- XML


def _xml(data: bytes) -> Iterator[Layout]:
    prefixes: dict[str, str] = {}
    for _, (prefix, uri) in ElementTree.iterparse(io.BytesIO(data), events=["start-ns"]):  # noqa: S314 - own sample
        prefixes.setdefault(uri, prefix)
    root = ElementTree.fromstring(data)  # noqa: S314 - the operator's own sample
    chains: dict[str, list[list[ElementTree.Element]]] = {}

    def walk(element: ElementTree.Element, chain: list[ElementTree.Element]) -> None:
        chain = [*chain, element]
        if (len(element) or element.attrib) and len(chains.setdefault(element.tag, [])) < MAX_RECORDS:
            chains[element.tag].append(chain)
        for child in element:
            walk(child, chain)

    walk(root, [])
    spaces = ", ".join(f"{json.dumps(prefix)}: {json.dumps(uri)}" for uri, prefix in prefixes.items())
    for tag, found in chains.items():
        form = f"xml: {{record: {scalar(_named(tag, prefixes))}{f', namespaces: {{{spaces}}}' if spaces else ''}}}"
        parents = tuple(_named(element.tag, prefixes) for element in found[0][-2::-1])
        layout = Layout([form], {}, records=_named(tag, prefixes), parents=parents)
        for number, chain in enumerate(found):
            for up, element in enumerate(reversed(chain)):
                inner = chain[len(chain) - up] if up else None
                for path, text in _xml_leaves(element, "../" * up, prefixes, layout, inner):
                    layout.columns.setdefault(path, [None] * len(found))[number] = text
        yield layout


def _named(tag: str, prefixes: dict[str, str]) -> str:
    uri, _, local = tag.removeprefix("{").rpartition("}")
    return f"{prefixes[uri]}:{local}" if prefixes.get(uri) else local


def _xml_leaves(
    element: ElementTree.Element,
    prefix: str,
    prefixes: dict[str, str],
    layout: Layout,
    without: ElementTree.Element | None = None,
    depth: int = 0,
) -> Iterator[tuple[str, str]]:
    for name, text in element.attrib.items():
        yield f"{prefix}@{_named(name, prefixes)}", text
    if not len(element) and (element.text or "").strip() and depth == 0 and not prefix:
        yield ".", element.text or ""
    counts = Counter(child.tag for child in element)
    for child in element:
        if depth > MAX_DEPTH or (without is not None and child.tag == without.tag):
            continue
        path = prefix + _named(child.tag, prefixes)
        if counts[child.tag] > 1 and len(child.attrib) > 1 and counts[child.tag] <= MAX_CHOICES:
            key, *others = child.attrib
            for other in others:
                layout.several[f"{path}/@{other}"] = {"take": "first"}
                yield f"{path}/@{other}", child.attrib[other]
                yield f"{path}[@{key}='{child.attrib[key]}']/@{other}", child.attrib[other]
            continue
        inner = list(_xml_leaves(child, f"{path}/", prefixes, layout, None, depth + 1))
        if (child.text or "").strip() and not len(child):
            inner.append((path, child.text or ""))
        if counts[child.tag] > 1:
            layout.several |= {one: {"join": ", "} for one, _ in inner}
        yield from inner
