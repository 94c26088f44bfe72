"""Matches source fields to the fields of a model, by name and by type, and writes the mapping."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .layouts import Layout, layouts, scalar

if TYPE_CHECKING:
    from fanout_job.model import Field, Model

SYNONYMS = (
    "id no nr number num key guid sid identifier",
    "date day datum at time timestamp ts dt tm created placed issue issued ordered published pub updated booked since",
    "statement stmt",
    "account acct iban",
    "entry ntry",
    "credit cdt",
    "amount amt price cost betrag preis einzelpreis montant prix",
    "quantity qty count menge anzahl invoiced",
    "product item sku artikel title",
    "text message msg body",
    "currency ccy curr waehrung devise",
    "country land pays",
    "customer buyer kunde client",
    "name label nom libelle bezeichnung commune",
    "author creator",
    "topic topics category categories tag tags term",
    "url link href",
    "lon longitude lng",
    "lat latitude",
    "level severity",
    "population einwohner",
    "rate taux satz quote percent",
)
"""Words that often mean the same in the names of fields."""
MEANING = {word: group.split()[0] for group in SYNONYMS for word in group.split()} | {
    "bookg": "date",
    "changed": "date",
    "written": "date",
}

NULLS = ("-", ".", "x", "n/a", "N/A", "NA", "NULL", "null", "None", "...", "–")
TRUE_FALSE = (
    ("yes", "no"),
    ("ja", "nein"),
    ("oui", "non"),
    ("y", "n"),
    ("j", "n"),
    ("on", "off"),
    ("1", "2"),
    ("crdt", "dbit"),
)
UNITS = ("€", "EUR", "$", "USD", "£", "GBP", "CHF", "%", "kg")

DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%d.%m.%y", "%d %b %Y", "%Y-%m-%dT%H:%M:%S")
TIMES = (" %H:%M", " %H:%M:%S", " %H:%M:%S.%f")
IDENTITY = frozenset(SYNONYMS[0].split()) | {"other", "othr"}
"""Words that add nothing to the name of an element: `Stmt/Id` is the statement."""
LEAST_SCORE = 0.45
LEAST_ALTERNATIVE = 0.9
SURE_SCORE = 1.5
PARENT_PENALTY = 1.0
"""A field of the record is preferred to one of its parents with the same name."""


@dataclass(frozen=True)
class Match:
    """A source field for a field of the model, with the options that its texts need."""

    source: str
    score: float
    options: dict[str, Any]
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suggestion:
    """A mapping with comments, and what it is unsure of."""

    mapping: str
    unsure: tuple[str, ...]


def suggest(samples: Sequence[bytes], model: Model, name: str) -> Suggestion:
    """Return a first mapping for samples of one provider."""
    found = layouts(samples[0])
    for more in samples[1:]:
        for layout, other in ((a, b) for a in found for b in layouts(more) if a.form == b.form):
            count = max(map(len, layout.columns.values()), default=0)
            for path, texts in other.columns.items():
                layout.columns.setdefault(path, [None] * count).extend(texts)
    for layout in found:
        if layout.unnamed:
            _name_columns(layout, model)
    best, matches = max(
        ((one, _matches(one, model)) for one in found), key=lambda pair: _quality(pair[0], pair[1], model)
    )
    return _written(best, matches, model, name)


def _name_columns(layout: Layout, model: Model) -> None:
    """Give columns without names those of the model's fields, if their types fit in this order."""
    texts = list(layout.columns.values())
    pairs = list(zip(model.fields.items(), texts, strict=False))
    if len(texts) <= len(model.fields) and all(
        _options(field, [text for text in column if text is not None]) is not None for (_, field), column in pairs
    ):
        for old, ((new, _), column) in zip(list(layout.columns), pairs, strict=True):
            layout.form = [re.sub(rf"\b{old}\b", new, line) for line in layout.form]
            del layout.columns[old]
            layout.columns[new] = column


def _quality(layout: Layout, matches: dict[str, Match], model: Model) -> tuple[int, float]:
    required = sum(field.required and name in matches for name, field in model.fields.items())
    records = max(map(len, layout.columns.values()), default=0)
    outside = sum(match.source.startswith(("../", "/")) for match in matches.values())
    return required, sum(match.score for match in matches.values()) - outside / 2 + min(records, 3) / 10


def _words(text: str) -> set[str]:
    plain = unicodedata.normalize("NFKD", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)).encode("ascii", "ignore").decode()
    return set(re.findall(r"[a-z]+|\d+", plain.lower()))


def _alike(first: set[str], second: set[str]) -> float:
    """Return how alike two names are, from 0 to 1.5: words with the same meaning, and the same words."""
    alike = {MEANING.get(word, word) for word in first}, {MEANING.get(word, word) for word in second}
    return len(alike[0] & alike[1]) / len(alike[0] | alike[1]) + len(first & second) / len(first | second) / 2


def _score(field: str, path: str, parents: Sequence[str] = ()) -> float:
    """Return how well the name of a source field fits a field of the model.

    `parents` has the names of the record's parents, the innermost first.
    """
    path = path.replace("coordinates/0", "lon").replace("coordinates/1", "lat")  # the order of GeoJSON
    path = re.sub(r"\w+:(?=\w)", "", path)
    wanted, choice = _words(field), re.search(r"\[@?\w+='([^']*)'\]", path)
    steps = [step for step in re.sub(r"\[.*?\]", "", path).split("/") if step not in ("..", "*", "")]
    last = _words(choice[1] if choice else steps[-1] if steps else path)
    if all(_words(step) <= IDENTITY for step in steps) and (up := path.count("../")):
        steps = [*parents[up - 1 : up], *steps]
    named = steps if wanted & IDENTITY else [step for step in steps if not _words(step) <= IDENTITY]
    whole = _words(" ".join((named or steps)[-3:]))
    if not last or not wanted or not whole:
        return 0.0
    name = choice[1] if choice else path.rsplit("/", maxsplit=1)[-1]
    exact = float(re.sub(r"\W", "", name.lower()) == field.lower())
    return exact + _alike(wanted, last) + _alike(wanted, whole) - 0.01 * len(steps)


def _matches(layout: Layout, model: Model) -> dict[str, Match]:
    def rank(one: tuple[float, str, str]) -> float:
        present = sum(text is not None for text in layout.columns[one[2]]) / len(layout.columns[one[2]])
        return -one[0] - present / 10 + PARENT_PENALTY * (one[2].count("../") + one[2].startswith("/"))

    scored = [(_score(field, path, layout.parents), field, path) for field in model.fields for path in layout.columns]
    ranked = sorted(scored, key=rank)
    matches: dict[str, Match] = {}
    used: set[str] = set()
    for score, field, path in ranked:
        if score < LEAST_SCORE or path in used:
            continue
        if field in matches:
            main, other = layout.columns[matches[field].source], layout.columns[path]
            fills = any(a is None and b is not None for a, b in zip(main, other, strict=True))
            if score >= LEAST_ALTERNATIVE and fills and not layout.form[0].startswith("csv"):
                matches[field] = replace(matches[field], others=(*matches[field].others, path))
            continue
        options = _options(model.fields[field], [text for text in layout.columns[path] if text is not None])
        if options is not None:
            options |= layout.several.get(path, {})
            matches[field] = Match(path, score, options)
            used.add(path)
    return matches


def _options(field: Field, texts: list[str]) -> dict[str, Any] | None:
    """Return the options with which all texts are values of the field; None if there are none."""
    import pyarrow as pa  # type: ignore[import-untyped]

    from fanout_job.columns import conversion
    from fanout_job.mapping import Rule

    nulls = sorted({text.strip() for text in texts} & set(NULLS)) if field.type != "string" else []
    values = pa.array(texts, pa.string())
    for options in _candidates(field.type, texts, ["", *nulls]):
        typed: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in options.items()}
        _, bad = conversion(field.arrow, Rule(source=("x",), nulls=("", *nulls), **typed))([values])
        if not bad:
            return options | ({"nulls": ["", *nulls]} if nulls else {})
    return None


def _candidates(kind: str, texts: list[str], nulls: list[str]) -> Iterator[dict[str, Any]]:
    present = {text.strip() for text in texts} - set(nulls)
    if kind == "boolean":
        yield {}
        folded = {text.lower(): text for text in present}
        for true, false in TRUE_FALSE:
            if present and set(folded) <= {true, false}:
                yield {"values": {folded.get(true, true): "true", folded.get(false, false): "false"}}
    elif kind in ("date", "timestamp"):
        yield from _time_candidates(present)
    elif kind == "string":
        yield {}
    else:
        yield from _number_candidates(present)


def _time_candidates(present: set[str]) -> Iterator[dict[str, Any]]:
    if present and all(re.fullmatch(r"\d{9,10}(\.\d+)?", text) for text in present):
        yield {"format": ["epoch"]}
    if present and all(re.fullmatch(r"\d{12,13}", text) for text in present):
        yield {"format": ["epoch_ms"]}
    yield {}
    if present and all(re.fullmatch(r"[1-5]\d{4}([.,]\d+)?", text) for text in present):
        yield {"format": ["excel"], **({"decimal": ","} if any("," in text for text in present) else {})}
    yield {"format": ["rfc2822"]}
    for form in (*DAYS, *(day + time for day in DAYS[:-1] for time in TIMES)):
        yield {"format": [form]}


def _number_candidates(present: set[str]) -> Iterator[dict[str, Any]]:
    units = {"unit": [unit for unit in UNITS if any(unit in text for text in present)]}
    extra: dict[str, Any] = {name: value for name, value in units.items() if value}
    if extra.get("unit") == ["%"]:
        extra["factor"] = Decimal("0.01")
    if any("(" in text for text in present):
        extra["negative"] = ["parentheses"]
    elif any(text.endswith("-") for text in present):
        extra["negative"] = ["trailing"]
    comma = any(re.search(r",\d{1,2}(\D|$)", text) for text in present)
    spellings: list[dict[str, Any]] = [{}, {"thousands": ","}, {"thousands": " "}]
    german: list[dict[str, Any]] = [{"decimal": ","}, {"decimal": ",", "thousands": "."}]
    german.append({"decimal": ",", "thousands": " "})
    for spelling in german + spellings if comma else spellings + german:
        yield spelling | extra


def _written(layout: Layout, matches: dict[str, Match], model: Model, name: str) -> Suggestion:
    common = {
        option: next((m.options[option] for m in matches.values() if option in m.options), None)
        for option in ("decimal", "thousands")
    }
    numeric = [m for field, m in matches.items() if model.fields[field].type not in ("string", "boolean")]
    for option, value in list(common.items()):
        if value is None or any(m.options.get(option, value) != value for m in numeric):
            common.pop(option)
    unsure = list(layout.notes)
    lines = [f"# Suggested from {name}. Try it with `fanout mapping check`.", *layout.form]
    lines += [f"{option}: {json.dumps(value)}" for option, value in common.items()]
    lines.append("fields:")
    for field, spec in model.fields.items():
        if field not in matches:
            need = ", which the model requires" if spec.required else ""
            lines.append(f"  # {field}: no source field was found for this {spec.type}{need}")
            unsure += [f"{field} has no source field"] * spec.required
            continue
        match = matches[field]
        if match.score < SURE_SCORE:
            unsure.append(f"{field} from {match.source}")
            lines.append(f"  # unsure: {field}")
        lines += [f"  # not exact: %d/%m could also be %m/%d in {field}"] * ("%d/%m/%Y" in str(match.options))
        lines.append(f"  {field}: {_rule(match, common)}")
    return Suggestion("\n".join(lines) + "\n", tuple(unsure))


def _rule(match: Match, common: dict[str, Any]) -> str:
    sources = [scalar(path) for path in (match.source, *match.others)]
    source = sources[0] if len(sources) == 1 else f"[{', '.join(sources)}]"
    options = {name: value for name, value in match.options.items() if name not in common}
    if not options:
        return source
    inner = ", ".join(
        f"{name}: {json.dumps(value, ensure_ascii=False, default=float)}" for name, value in options.items()
    )
    return f"{{from: {source}, {inner}}}"
