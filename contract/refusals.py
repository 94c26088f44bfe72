"""Which errors of S3 have their cause in the object that is read, so that it is bad and all others are read.

Sources: "List of error codes", Amazon S3 API reference, which botocore's model of S3 has as well (shape `Error`, member
`Code`): the codes with status 400, 403 and 405. KMS's own errors reach the reader with the prefix ``KMS.``: "Decrypt",
AWS KMS API reference, says which of them can be retried.
"""

from __future__ import annotations

ARCHIVED = "is archived"

_STATUSES = (400, 401, 403, 405)
_ARCHIVED = frozenset({"InvalidObjectState", "ObjectNotInActiveTierError"})  # of a read, and of a copy
_OTHER_CAUSE = frozenset(
    {
        # the credentials, or the account
        *("AccountProblem", "AuthorizationHeaderMalformed", "CredentialsNotSupported", "ExpiredToken"),
        *("InvalidAccessKeyId", "InvalidSecurity", "InvalidToken", "MissingSecurityHeader", "NotSignedUp"),
        *("SignatureDoesNotMatch", "TokenRefreshRequired"),
        # the clock, and the time that the request took
        *("OperationAborted", "RequestTimeTooSkewed", "RequestTimeout"),
        # S3 or KMS is busy
        *("RequestLimitExceeded", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException"),
        *("DependencyTimeoutException", "KMSInternalException", "KeyUnavailableException", "LimitExceededException"),
    }
)
"""Codes, without the prefix of KMS, after which the same object may be read later."""


def why_refused(code: str, status: int | None, message: str = "") -> str | None:
    """Why S3 does not return an object until its storage class, key or permissions are changed.

    Parameters
    ----------
    code, status, message
        S3's error code, HTTP status, and message.

    Returns
    -------
    The reason, as in "is archived"; None if the error has another cause than the object.
    """
    if status not in _STATUSES or code.removeprefix("KMS.") in _OTHER_CAUSE:
        return None
    if code in _ARCHIVED:
        return ARCHIVED
    # A role without kms:Decrypt gets AccessDenied, and a reader of SSE-C without the key InvalidRequest.
    if code.startswith("KMS.") or "kms:" in message.lower() or "encryption" in message.lower():
        return "cannot be decrypted"
    return "S3 rejects the request" if status == 400 else "access is denied"
