"""What becomes of a custom resource whose function fails, keeps silent or answers nonsense. Each test is a cloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.errors import ResourceError

from .conftest import FIXTURES

TEMPLATE = FIXTURES / "custom_resources" / "template.yaml"


def refusal(tmp_path: Path, how: str, timeout: int = 600) -> str:
    """Why a cloud whose custom resource is made in this way does not come up."""
    parameters = {"How": how, "ServiceTimeout": timeout}
    with pytest.raises(ResourceError) as refused:
        LaptopCloud(TEMPLATE, parameters, workdir=tmp_path).start()
    return str(refused.value)


def test_a_crash_after_the_answer_does_not_count(tmp_path: Path) -> None:
    with LaptopCloud(TEMPLATE, {"How": "answer, then crash"}, workdir=tmp_path) as up:
        assert up.outputs["Thing"] == "made-by-hand"


def test_failed_names_the_resource_and_the_reason(tmp_path: Path) -> None:
    assert refusal(tmp_path, "fail") == "Thing (Custom::Thing) was not made: the bucket is not empty"


def test_silence_ends_at_the_service_timeout(tmp_path: Path) -> None:
    assert "Thing (Custom::Thing) was not made: no answer came within 1 s" in refusal(tmp_path, "silence", timeout=1)


@pytest.mark.parametrize(
    ("how", "error"), [("crash", "ValueError: no such bucket"), ("exit", "Runtime.ExitError: .*exit status 3")]
)
def test_a_handler_that_crashes_is_named_without_a_long_wait(tmp_path: Path, how: str, error: str) -> None:
    with pytest.raises(ResourceError, match=rf"and none will, .*glue-fanout-dev-Maker-\w+ failed: {error}"):
        LaptopCloud(TEMPLATE, {"How": how, "ServiceTimeout": 3600}, workdir=tmp_path).start()


@pytest.mark.parametrize(
    ("how", "what"), [("garbage", "not a JSON object: 'done'"), ("mix up", "RequestId is 'of another event'")]
)
def test_an_answer_that_cloudformation_would_not_take_is_refused(tmp_path: Path, how: str, what: str) -> None:
    assert what in refusal(tmp_path, how)


def test_a_service_timeout_that_cloudformation_would_not_take_is_refused(tmp_path: Path) -> None:
    assert "ServiceTimeout is 3601" in refusal(tmp_path, "answer", timeout=3601)
