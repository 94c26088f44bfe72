"""S3's errors that have their cause in the object, judged by botocore's models of S3 and KMS."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from contract.refusals import _OTHER_CAUSE, ARCHIVED, why_refused

RETRIED = {*ThrottledRetryableChecker._THROTTLED_ERROR_CODES, *TransientRetryableChecker._TRANSIENT_ERROR_CODES}


@cache
def model(service: str) -> Any:
    return Loader().load_service_model(service, "service-2")


@cache
def kms_errors() -> dict[str, str]:
    """Errors of Decrypt with their documentation."""
    shapes = model("kms")["shapes"]
    names = [one["shape"] for one in model("kms")["operations"]["Decrypt"]["errors"]]
    return {name: shapes[name]["documentation"] for name in names}


@cache
def s3_codes() -> dict[str, str]:
    """Error codes of S3 with their HTTP status."""
    text = model("s3")["shapes"]["Error"]["members"]["Code"]["documentation"]
    return dict(re.findall(r"<i>Code:</i> (\w+)(?:(?!<i>Code:).)*?<i>HTTP Status Code:</i> (\w+)", text, re.DOTALL))


@pytest.mark.fault(42)
def test_an_error_of_kms_makes_an_object_bad_unless_its_documentation_says_that_it_can_be_retried() -> None:
    assert len(kms_errors()) >= 10
    for name, documentation in kms_errors().items():
        retried = "retr" in documentation.lower()
        assert why_refused(f"KMS.{name}", 400) == (None if retried else "cannot be decrypted"), name


@pytest.mark.fault(42)
def test_every_code_that_is_excepted_is_one_of_s3_of_kms_or_of_throttling() -> None:
    assert {"InvalidAccessKeyId", "AccountProblem"} <= set(s3_codes())
    assert set(_OTHER_CAUSE) - set(s3_codes()) - set(kms_errors()) - RETRIED == set()


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("code", "status", "message", "why"),
    [
        ("InvalidObjectState", 403, "", ARCHIVED),
        ("ObjectNotInActiveTierError", 403, "", ARCHIVED),
        ("AccessDenied", 403, "Access Denied", "access is denied"),
        ("AllAccessDisabled", 403, "All access to this object has been disabled", "access is denied"),
        ("InvalidPayer", 403, "", "access is denied"),
        ("MethodNotAllowed", 405, "", "access is denied"),
        (
            "AccessDenied",
            403,
            "x is not authorized to perform: kms:Decrypt on y",
            "cannot be decrypted",
        ),
        ("KMS.AccessDeniedException", 400, "", "cannot be decrypted"),
        ("KMS.NotFoundException", 400, "", "cannot be decrypted"),
        ("InvalidRequest", 400, "stored using a form of Server Side Encryption", "cannot be decrypted"),
        ("InvalidArgument", 400, "", "S3 rejects the request"),
        ("KMS.ThrottlingException", 400, "", None),
        ("KMS.KeyUnavailableException", 400, "", None),
        ("ExpiredToken", 400, "", None),
        ("SignatureDoesNotMatch", 403, "", None),
        ("RequestTimeTooSkewed", 403, "", None),
        ("SlowDown", 503, "", None),
        ("InternalError", 500, "", None),
        ("NoSuchKey", 404, "", None),
        ("PermanentRedirect", 301, "", None),
        ("EndpointConnectionError", None, "", None),
    ],
)
def test_a_refusal_has_the_reason_that_is_in_the_object(code: str, status: int | None, message: str, why: str) -> None:
    assert why_refused(code, status, message) == why
