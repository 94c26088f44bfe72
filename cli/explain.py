"""What AWS and the network say, in words that tell the operator what to do."""

from __future__ import annotations

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

from cli.errors import AccessError, OperatorError

_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"}


def explain(error: BotoCoreError | ClientError, *, local: bool) -> OperatorError:
    """Turn an error of boto3 into one that says what to do."""
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
    return AccessError(f"{type(error).__name__}: {error}")


def _refused(error: ClientError) -> OperatorError:
    code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    if code in _DENIED:
        return AccessError(
            f"your credentials may not do {error.operation_name}: {message}; docs/reference/cli.md lists the "
            "permissions that an operator needs"
        )
    if code in _EXPIRED:
        return AccessError(f"AWS does not know your credentials ({code}): sign in again")
    return OperatorError(f"AWS refused {error.operation_name}: {code}: {message}")
