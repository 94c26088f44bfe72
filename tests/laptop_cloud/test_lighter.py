"""A laptop cloud imports and reads only what it needs, and the rest on first use."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("moto.ec2", "moto.batch.models", "moto.cloudformation", "cfnlint", "openapi_spec_validator.validation.proxies")


def run(code: str) -> str:
    """Return the output of a new interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_a_laptop_cloud_imports_no_large_modules_that_it_does_not_need() -> None:
    code = f"import sys, laptop_cloud.cloud; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run(code) == "[]"


@pytest.mark.slow
def test_batch_is_imported_on_first_use() -> None:
    code = "import laptop_cloud.aws; from moto.backends import get_backend; print(type(get_backend('batch')).__name__)"
    assert run(code) == "BackendDict"


def test_sessions_share_botocore_s_loader() -> None:
    import botocore.session

    import laptop_cloud.aws  # noqa: F401 - the test is about its import

    one, other = (botocore.session.Session().get_component("data_loader") for _ in range(2))
    assert one is other


def test_openapi_documents_are_rejected() -> None:
    from laptop_cloud.aws import lighter

    with pytest.raises(NotImplementedError, match="only from a template, not by ImportRestApi"):
        lighter._reject({})
