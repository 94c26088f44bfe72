"""ETag, If-Match and If-None-Match (RFC 9110, section 13): whether a request matches the stored entry."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fanout.errors import InvalidRequestError

_TAG = r'(W/)?"[0-9a-f]{16}"'
PATTERN = rf"^(\*|{_TAG}( ?, ?{_TAG})*)$"
"""Pattern of both headers: `*`, or ETags of this API."""

_header = re.compile(PATTERN)


@dataclass(frozen=True)
class Precondition:
    """The ETags that a request requires or excludes, with their quotes; None if a header is missing."""

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
        """Whether the request is allowed, given the stored ETag without quotes (None if nothing is stored).

        If-Match compares strongly, so that a weak tag never matches; If-None-Match weakly (RFC 9110, 8.8.3.2).
        """
        same = {"*", f'"{etag}"'} if etag is not None else set()
        weakly_same = same | {f'W/"{etag}"'}
        return (self.if_match is None or bool(self.if_match & same)) and (
            self.if_none_match is None or etag is None or not self.if_none_match & weakly_same
        )


def _tags(name: str, header: str | None) -> frozenset[str] | None:
    if header is None:
        return None
    if not _header.fullmatch(header):
        raise InvalidRequestError(f"{name} must be * or an ETag of this API, with its quotes")
    return frozenset(tag.strip() for tag in header.split(","))
