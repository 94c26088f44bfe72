"""What is wrong with a JSON text, in the same words and with the same limits in every version of Python."""

from __future__ import annotations

import json
import re

MAX_DEPTH = 200
"""Arrays and objects within one another. Python parses this many from any place in the code, in every version."""

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)
_AFTER_COMMA = re.compile(r"[ \t\n\r]*")


def is_too_deep(text: str) -> bool:
    """Whether a JSON text is nested deeper than `MAX_DEPTH`. Text that is not JSON gets an answer, too."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for token in _TOKENS.finditer(text):
        sign = token[0]
        depth += (sign in "[{") - (sign in "]}")
        if depth > MAX_DEPTH:
            return True
    return False


def described(error: json.JSONDecodeError) -> tuple[str, int]:
    """Return what the decoder expected and at which character, from 0. Nothing of the text is in it.

    Since Python 3.13 the decoder points to a comma before a closing bracket; before, it pointed to the bracket.
    """
    if not error.msg.startswith("Illegal trailing comma"):
        return error.msg, error.pos
    after = _AFTER_COMMA.match(error.doc, error.pos + 1)
    place = after.end() if after else error.pos
    expected = "Expecting value" if error.msg.endswith("array") else "Expecting property name enclosed in double quotes"
    return expected, place
