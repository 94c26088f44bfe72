from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from moto.events.models import EventPattern

from laptop_cloud.aws.event_bus import deliver
from laptop_cloud.errors import LaptopCloudError

EVENT = {"source": "aws.states", "detail-type": "Change", "detail": {"status": "ABORTED", "machine": "m"}}


def rule(pattern: dict[str, Any], target: dict[str, Any] | None = None, state: str = "ENABLED") -> Any:
    targets = [target or {"Arn": "arn:aws:lambda:us-east-1:1:function:f"}]
    parsed = EventPattern(json.dumps(pattern), pattern)
    return SimpleNamespace(name="r", state=state, event_pattern=parsed, targets=targets)


def delivered(*rules: Any) -> list[tuple[str, Any]]:
    sent: list[tuple[str, Any]] = []
    deliver(EVENT, list(rules), lambda arn, payload: sent.append((arn, json.loads(payload))))
    return sent


def test_a_matching_rule_sends_the_whole_event_to_its_function() -> None:
    pattern = {"source": ["aws.states"], "detail": {"status": ["TIMED_OUT", "ABORTED"]}}
    assert delivered(rule(pattern)) == [("arn:aws:lambda:us-east-1:1:function:f", EVENT)]


@pytest.mark.parametrize(
    "other",
    [
        rule({"source": ["aws.glue"]}),
        rule({"detail": {"status": ["FAILED"]}}),
        rule({"source": ["aws.states"]}, state="DISABLED"),
        rule({}),
    ],
)
def test_other_rules_send_nothing(other: Any) -> None:
    assert delivered(other) == []


def test_a_target_with_its_own_input_gets_that_input() -> None:
    target = {"Arn": "arn:aws:lambda:us-east-1:1:function:f", "Input": '{"own": true}'}
    assert delivered(rule({"source": ["aws.states"]}, target)) == [(target["Arn"], {"own": True})]


@pytest.mark.parametrize("more", [{"Arn": "arn:aws:sns:us-east-1:1:t"}, {"InputPath": "$.detail"}])
def test_an_unsupported_target_is_an_error(more: dict[str, Any]) -> None:
    target = {"Arn": "arn:aws:lambda:us-east-1:1:function:f", **more}
    with pytest.raises(LaptopCloudError, match="Rule r"):
        delivered(rule({"source": ["aws.states"]}, target))
