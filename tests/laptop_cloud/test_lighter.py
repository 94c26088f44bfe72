"""What a laptop cloud does not import or read twice, and that it is still there when it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("moto.ec2", "moto.batch.models", "moto.cloudformation", "cfnlint", "openapi_spec_validator.validation.proxies")


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_a_laptop_cloud_imports_nothing_heavy_that_it_does_not_need() -> None:
    code = f"import sys, laptop_cloud.cloud; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run(code) == "[]"


@pytest.mark.slow
def test_batch_is_there_when_it_is_asked_for() -> None:
    code = "import laptop_cloud.aws; from moto.backends import get_backend; print(type(get_backend('batch')).__name__)"
    assert run(code) == "BackendDict"


def test_sessions_share_what_botocore_has_read() -> None:
    import botocore.session

    import laptop_cloud.aws  # noqa: F401 - its import is what is tested

    one, other = (botocore.session.Session().get_component("data_loader") for _ in range(2))
    assert one is other


def test_moto_says_that_it_takes_no_openapi_documents_here() -> None:
    from laptop_cloud.aws import lighter

    with pytest.raises(NotImplementedError, match="from the template only, not by ImportRestApi"):
        lighter._refuse({})
