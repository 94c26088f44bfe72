"""Errors that the operator sees, the exit statuses of `fanout`, and what AWS and the network say in plain words."""

from __future__ import annotations

from enum import IntEnum

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own name
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)

from fanout.errors import ConfigApiAccessError, FanoutError, InvalidProviderError, InvalidRequestError, TransientError

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}
"""Codes of errors that say that the credentials are not enough."""
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"}


class Exit(IntEnum):
    """What `fanout` tells whoever called it."""

    OK = 0
    UNHEALTHY = 1
    """The command worked, and what it found or did is not well: a failed run, a late provider, a failed check."""
    USAGE = 2
    """The command line asks for something that is not there or not allowed."""
    NO_ACCESS = 3
    """AWS, the laptop cloud or the config API cannot be reached, or does not let the caller in."""
    INTERRUPTED = 130


class OperatorError(Exception):
    """The command cannot be done. The message says why and what to do."""

    status = Exit.UNHEALTHY


class UsageError(OperatorError):
    """The command line asks for something that is not there or not allowed."""

    status = Exit.USAGE


class AccessError(OperatorError):
    """Something cannot be reached, or does not let the caller in."""

    status = Exit.NO_ACCESS


EXPECTED = (OperatorError, FanoutError, ClientError, BotoCoreError)
"""What a command may end with; anything else is a defect."""


def as_operator_error(error: Exception, *, local: bool) -> OperatorError:
    """Turn one of `EXPECTED` into an error that says what to do; `local` is for the laptop cloud."""
    if isinstance(error, FanoutError) and isinstance(error.__cause__, ClientError | BotoCoreError):
        error = error.__cause__
    if isinstance(error, OperatorError):
        return error
    if isinstance(error, ClientError):
        return _refused(error)
    if isinstance(error, NoCredentialsError | PartialCredentialsError | TokenRetrievalError):
        return AccessError(
            "there are no AWS credentials: sign in (aws sso login, aws configure) or set AWS_PROFILE, "
            "or add --local to work with `make up`"
        )
    if isinstance(error, NoRegionError):
        return AccessError("no AWS region is set: add --region or set AWS_REGION")
    if isinstance(error, ProfileNotFound):
        return AccessError(f"{error}; `aws configure list-profiles` shows those that there are")
    if isinstance(error, ConnectionError):
        cure = "is `make up` still running?" if local else "check the network and --region"
        return AccessError(f"nothing answers: {error}; {cure}")
    if isinstance(error, BotoCoreError):
        return AccessError(f"{type(error).__name__}: {error}")
    if isinstance(error, InvalidProviderError | InvalidRequestError):
        return UsageError(str(error))
    if isinstance(error, ConfigApiAccessError | TransientError):
        return AccessError(str(error))
    return OperatorError(str(error))


def _refused(error: ClientError) -> OperatorError:
    code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    if code in DENIED:
        return AccessError(
            f"your credentials may not do {error.operation_name}: {message}; docs/reference/cli.md lists the "
            "permissions that an operator needs"
        )
    if code in _EXPIRED:
        return AccessError(f"AWS does not know your credentials ({code}): sign in again")
    return OperatorError(f"AWS refused {error.operation_name}: {code}: {message}")
