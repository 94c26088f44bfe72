"""A limit on the nesting of JSON texts, checked before parsing: Python's own limit depends on its version."""

from __future__ import annotations

import re

MAX_DEPTH = 200
"""Levels of arrays and objects. Every version of Python can parse this many, anywhere in the code."""

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)


def is_too_deep(text: str) -> bool:
    """Whether a JSON text is nested deeper than `MAX_DEPTH`. The text may be invalid JSON."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for token in _TOKENS.finditer(text):
        sign = token[0]
        depth += (sign in "[{") - (sign in "]}")
        if depth > MAX_DEPTH:
            return True
    return False
