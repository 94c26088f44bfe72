"""How deeply a JSON text is nested, which is checked before it is parsed: Python's own limit differs by version."""

from __future__ import annotations

import re

MAX_DEPTH = 200
"""Arrays and objects within one another. Python parses this many from any place in the code, in every version."""

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)


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
