"""What is wrong with a JSON text, in the same words in every version of Python."""

from __future__ import annotations

import json
import re

_AFTER_COMMA = re.compile(r"[ \t\n\r]*")


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
