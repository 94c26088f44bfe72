"""A message target is declared once, in `fanout_job.targets`: template and docs agree with it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fanout_job.targets import ARN, TARGETS, QueueTarget, Target
from laptop_cloud.stack.intrinsics import resolve
from tests.template.reading import ROOT, template_with, written
from tools.iam import EVERYTHING, Names

BY_ARN = [target for target in TARGETS if target.addresses.startswith(ARN)]


def test_the_parameter_allows_the_addresses_of_the_targets_and_no_others() -> None:
    rest = "|".join(target.addresses.removeprefix(ARN) for target in BY_ARN)
    assert written()["Parameters"]["TargetArn"]["AllowedPattern"] == f"^({ARN}({rest}))?$"


def sending(arn: str) -> dict[str, dict[str, Any]]:
    """The statements that allow a job to send, by Sid, when the parameter TargetArn is this."""
    template = template_with(**EVERYTHING, TargetArn=arn)
    policy = resolve(template.resources["SendChangesPolicy"].properties, Names(template, None))["PolicyDocument"]
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def test_a_job_may_send_to_the_queue_and_to_the_target_in_the_parameter_only() -> None:
    arn = "arn:aws:events:us-east-1:123456789012:event-bus/changes"
    statements = sending(arn)
    assert statements["Messages"]["Action"] == QueueTarget.iam_action
    assert statements["OtherTarget"]["Resource"] == arn
    assert statements["OtherTarget"]["Action"] == [target.iam_action for target in BY_ARN]
    assert "OtherTarget" not in sending("")


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.service)
def test_the_docs_show_the_limits_of_each_target(target: type[Target]) -> None:
    text = (ROOT / "docs/etl.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\|[^|]*\| `{target.iam_action}` \|[^|]*\| ([\d,]+) KiB \| (\d+) \|$", text, re.MULTILINE)
    assert row == (f"{target.limit // 1024:,}", str(target.max_entries))
