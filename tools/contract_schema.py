"""JSON Schemas of the documents in contract/, made from their dataclasses; `make docs` writes them."""

from __future__ import annotations

import inspect
import json
from dataclasses import is_dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from contract.document import members
from contract.failure import Failure
from contract.manifest import Manifest
from contract.result import JobResult

DOCUMENTS: dict[str, type] = {"manifest": Manifest, "result": JobResult, "failure": Failure}
TYPES: dict[Any, dict[str, Any]] = {
    Any: {},
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
}


def text(name: str) -> str:
    """The schema of a document as text, for its file in docs/reference."""
    return json.dumps(schema(DOCUMENTS[name]), indent=2) + "\n"


def schema(kind: type) -> dict[str, Any]:
    """The JSON Schema, draft 2020-12, of a dataclass's documents."""
    definitions: dict[str, Any] = {}
    whole = _object(kind, definitions)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": kind.__name__}
    return {**head, **whole, **({"$defs": definitions} if definitions else {})}


def _object(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    properties = {
        one.name: {**_type(one.type, definitions), **({"description": one.description} if one.description else {})}
        for one in members(kind)
    }
    return {
        "description": " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split()),
        "type": "object",
        "properties": properties,
        "required": [one.name for one in members(kind) if one.required],
    }


def _type(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in TYPES:
        return TYPES[kind]
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    if origin in (Union, UnionType):
        inner = next(one for one in arguments if one is not NoneType)
        return {"anyOf": [_type(inner, definitions), {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": _type(arguments[0], definitions)}
    if is_dataclass(kind) and isinstance(kind, type):
        if kind.__name__ not in definitions:
            definitions[kind.__name__] = {}  # before its members, one of which may have the same type
            definitions[kind.__name__] = _object(kind, definitions)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    return {"type": "object"}
