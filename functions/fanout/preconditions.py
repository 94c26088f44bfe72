"""ETag, If-Match and If-None-Match (RFC 9110, section 13): whether a request meets what is stored."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fanout.errors import InvalidRequestError

_TAG = r'(W/)?"[0-9a-f]{16}"'
PATTERN = rf"^(\*|{_TAG}( ?, ?{_TAG})*)$"
"""The two headers: `*`, or ETags that this API gave."""

_header = re.compile(PATTERN)


@dataclass(frozen=True)
class Precondition:
    """What a request asks of the entity tag that is stored. Without any header, nothing.

    Parameters
    ----------
    if_match, if_none_match
        Tags as the headers have them, with their quotes; None when the header is absent.
    """

    if_match: frozenset[str] | None = None
    if_none_match: frozenset[str] | None = None

    @classmethod
    def of(cls, if_match: str | None, if_none_match: str | None) -> Precondition:
        """Read the two headers.

        Raises
        ------
        InvalidRequestError
            A header is neither `*` nor a list of ETags of this API.
        """
        return cls(_tags("If-Match", if_match), _tags("If-None-Match", if_none_match))

    def holds(self, etag: str | None) -> bool:
        """Whether the request may go on, given the stored tag without quotes (None: nothing is stored)."""
        if self.if_match is not None and not _matches(self.if_match, etag, weak=False):
            return False
        return self.if_none_match is None or not _matches(self.if_none_match, etag, weak=True)


def _tags(name: str, header: str | None) -> frozenset[str] | None:
    if header is None:
        return None
    if not _header.fullmatch(header):
        raise InvalidRequestError(f"{name} must be * or an ETag that this API gave, with its quotes")
    return frozenset(tag.strip() for tag in header.split(","))


def _matches(tags: frozenset[str], etag: str | None, *, weak: bool) -> bool:
    """Compare as RFC 9110 8.8.3.2 has it; a weak tag counts only where the comparison is weak."""
    if etag is None:
        return False
    strong = f'"{etag}"'
    return "*" in tags or strong in tags or (weak and f"W/{strong}" in tags)
