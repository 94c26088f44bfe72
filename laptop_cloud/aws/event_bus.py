"""EventBridge: delivers events about the status of Step Functions executions to functions."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from laptop_cloud.aws.account import ACCOUNT_ID, REGION
from laptop_cloud.errors import LaptopCloudError


def execution_status_event(execution: Any) -> dict[str, Any]:
    """Build the event of an execution's status change; times in `detail` are in milliseconds since 1970.

    Source: Step Functions Developer Guide, "Automating Step Functions event delivery with EventBridge".
    """
    done = execution.stop_date
    finished = execution.status == "SUCCEEDED"
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": ACCOUNT_ID,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [execution.exec_arn],
        "detail": {
            "executionArn": execution.exec_arn,
            "stateMachineArn": execution.state_machine_arn,
            "name": execution.name,
            "status": execution.status,
            "startDate": _milliseconds(execution.start_date),
            "stopDate": None if done is None else _milliseconds(done),
            "input": execution.execution_input,
            "output": execution.output if finished else None,
            **dict.fromkeys(("stateMachineVersionArn", "stateMachineAliasArn")),
            "redriveCount": 0,
            **dict.fromkeys(("redriveDate", "redriveStatus", "redriveStatusReason")),
            "inputDetails": {"included": True},
            "outputDetails": {"included": True} if finished else None,
            "error": execution.error,
            "cause": execution.cause,
        },
    }


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def deliver(event: dict[str, Any], rules: list[Any], invoke: Callable[[str, bytes], None]) -> int:
    """Invoke the functions of moto's rules that match an event, with the event as JSON.

    Returns
    -------
    The number of functions that were invoked.

    Raises
    ------
    LaptopCloudError
        A matching rule has an unsupported target or input.
    """
    sent = 0
    for rule in rules:
        pattern = rule.event_pattern
        if rule.state != "ENABLED" or not pattern.get_pattern() or not pattern.matches_event(event):
            continue
        for target in rule.targets:
            if ":lambda:" not in target["Arn"] or "InputTransformer" in target or "InputPath" in target:
                raise LaptopCloudError(f"Rule {rule.name}: the only supported targets are functions with a full event.")
            payload = target["Input"] if "Input" in target else json.dumps(event)
            invoke(target["Arn"], payload.encode())
            sent += 1
    return sent
