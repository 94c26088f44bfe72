"""Reason phrases of HTTP statuses as in RFC 9110, for every version of Python."""

from __future__ import annotations

from http import HTTPStatus

TOO_LARGE = HTTPStatus(413)
UNPROCESSABLE = HTTPStatus(422)

_RENAMED = {TOO_LARGE: "Content Too Large", UNPROCESSABLE: "Unprocessable Content"}
"""Names since Python 3.13; earlier versions have those of older RFCs."""


def phrase(status: HTTPStatus) -> str:
    """Return a status's reason phrase."""
    return _RENAMED.get(status, status.phrase)
