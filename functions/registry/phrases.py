"""What HTTP statuses are called: as RFC 9110 does, whatever the version of Python."""

from __future__ import annotations

from http import HTTPStatus

TOO_LARGE = HTTPStatus(413)
UNPROCESSABLE = HTTPStatus(422)

_RENAMED = {TOO_LARGE: "Content Too Large", UNPROCESSABLE: "Unprocessable Content"}
"""Python 3.13 has these names; before, it had those of older RFCs."""


def phrase(status: HTTPStatus) -> str:
    """Return a status's reason phrase."""
    return _RENAMED.get(status, status.phrase)
