"""Errors that the operator sees, exit statuses, and plain words for the errors of AWS and the network."""

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
"""Error codes of AWS for missing permissions."""
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"}


class Exit(IntEnum):
    """Exit statuses of `fanout`."""

    OK = 0
    UNHEALTHY = 1
    """The command worked, and found or did something that needs attention: a failed run or check, a late provider."""
    USAGE = 2
    """The command line is invalid, or names something that does not exist."""
    NO_ACCESS = 3
    """AWS, the laptop cloud or the config API cannot be reached, or denies access."""
    INTERRUPTED = 130


class OperatorError(Exception):
    """The command failed. The message says why and what to do."""

    status = Exit.UNHEALTHY


class UsageError(OperatorError):
    """The command line is invalid, or names something that does not exist."""

    status = Exit.USAGE


class AccessError(OperatorError):
    """A service cannot be reached, or denies access."""

    status = Exit.NO_ACCESS


EXPECTED = (OperatorError, FanoutError, ClientError, BotoCoreError)
"""The errors that a command may end with; any other is a defect."""


def as_operator_error(error: Exception, *, local: bool) -> OperatorError:
    """Turn one of `EXPECTED` into an error that says what to do.

    Parameters
    ----------
    local
        Whether the command works with the laptop cloud.
    """
    if isinstance(error, FanoutError) and isinstance(error.__cause__, ClientError | BotoCoreError):
        error = error.__cause__
    if isinstance(error, OperatorError):
        return error
    if isinstance(error, ClientError):
        return _refused(error)
    if isinstance(error, NoCredentialsError | PartialCredentialsError | TokenRetrievalError):
        return AccessError(
            "no AWS credentials found; sign in with `aws sso login` or `aws configure`, set AWS_PROFILE, or add "
            "--local to use the laptop cloud"
        )
    if isinstance(error, NoRegionError):
        return AccessError("no AWS region is set; add --region or set AWS_REGION")
    if isinstance(error, ProfileNotFound):
        return AccessError(f"{error}; list your profiles with `aws configure list-profiles`")
    if isinstance(error, ConnectionError):
        cure = "check that `make up` is still running" if local else "check the network and --region"
        return AccessError(f"cannot connect: {error}; {cure}")
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
            f"your credentials do not allow {error.operation_name}: {message}; docs/reference/cli.md lists the IAM "
            "actions that each command needs"
        )
    if code in _EXPIRED:
        return AccessError(f"AWS rejected your credentials ({code}); sign in again")
    return OperatorError(f"AWS rejected {error.operation_name}: {code}: {message}")
