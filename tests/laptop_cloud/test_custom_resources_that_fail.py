"""A custom resource whose function fails, or sends no response or an invalid one. Each test starts a cloud."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.errors import ResourceError

from .conftest import FIXTURES

TEMPLATE = FIXTURES / "custom_resources" / "template.yaml"


def error_of(tmp_path: Path, how: str, timeout: int = 600) -> str:
    """Return the error with which a cloud with such a custom resource does not start."""
    parameters = {"How": how, "ServiceTimeout": timeout}
    with pytest.raises(ResourceError) as raised:
        LaptopCloud(TEMPLATE, parameters, workdir=tmp_path).start()
    return str(raised.value)


def test_a_crash_after_the_response_is_ignored(tmp_path: Path) -> None:
    with LaptopCloud(TEMPLATE, {"How": "answer, then crash"}, workdir=tmp_path) as up:
        assert up.outputs["Thing"] == "made-by-hand"


def test_the_error_names_the_resource_and_the_reason(tmp_path: Path) -> None:
    assert error_of(tmp_path, "fail") == "Thing (Custom::Thing) could not be made: the bucket is not empty"


def test_a_missing_response_fails_at_the_service_timeout(tmp_path: Path) -> None:
    assert "Thing (Custom::Thing) could not be made: no response within 1 s" in error_of(tmp_path, "silence", 1)


@pytest.mark.parametrize(
    ("how", "error"), [("crash", "ValueError: no such bucket"), ("exit", "Runtime.ExitError: .*exit status 3")]
)
def test_a_crash_fails_the_deployment_at_once(tmp_path: Path, how: str, error: str) -> None:
    expected = rf"laptop-Maker-\w+ failed without a response: {error}"
    assert re.search(expected, error_of(tmp_path, how, timeout=3600))


@pytest.mark.parametrize(
    ("how", "what"), [("garbage", "not a JSON object: 'done'"), ("mix up", "RequestId is 'of another event'")]
)
def test_a_response_that_cloudformation_rejects_is_an_error(tmp_path: Path, how: str, what: str) -> None:
    assert what in error_of(tmp_path, how)


def test_a_service_timeout_that_cloudformation_rejects_is_an_error(tmp_path: Path) -> None:
    assert "ServiceTimeout is 3601" in error_of(tmp_path, "answer", timeout=3601)
