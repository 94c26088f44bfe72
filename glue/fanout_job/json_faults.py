"""Describes a JSON syntax error with the same text in every version of Python."""

from __future__ import annotations

import json
import re

_AFTER_COMMA = re.compile(r"[ \t\n\r]*")


def described(error: json.JSONDecodeError) -> tuple[str, int]:
    """Return what the decoder expected, without any of the text, and the index of the character.

    Python 3.13 and later report a trailing comma; earlier versions report the bracket after it, as this does.
    """
    if not error.msg.startswith("Illegal trailing comma"):
        return error.msg, error.pos
    after = _AFTER_COMMA.match(error.doc, error.pos + 1)
    place = after.end() if after else error.pos
    expected = "Expecting value" if error.msg.endswith("array") else "Expecting property name enclosed in double quotes"
    return expected, place
