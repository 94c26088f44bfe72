"""Starting an execution by hand, and watching it until it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fanout.schedule import execution_name

BY_HAND, REPLAY = "-m", "-r"
"""What is put behind an execution's name, so that it never takes the name of a tick's."""

BUSY = "Already Running"


@dataclass(frozen=True)
class Ended:
    """An execution that is over, and the state it ended in."""

    arn: str
    status: str
    last_state: str
    error: str | None
    cause: str | None

    @property
    def busy(self) -> bool:
        """Whether it did nothing because another run has the provider."""
        return self.last_state == BUSY

    @property
    def succeeded(self) -> bool:
        """Whether the run did what it was started for."""
        return self.status == "SUCCEEDED" and not self.busy


def start(
    states: Any, state_machine_arn: str, provider: str, now: datetime, replay: dict[str, str] | None = None
) -> str:
    """Start a provider's execution; return its ARN.

    Parameters
    ----------
    states
        boto3 Step Functions client.
    replay
        ``{"from", "to"}`` in ISO 8601.
    """
    given = {"provider": provider, **({"replay": replay} if replay else {})}
    name = execution_name(provider, now) + (REPLAY if replay else BY_HAND)
    try:
        started = states.start_execution(stateMachineArn=state_machine_arn, name=name, input=json.dumps(given))
    except states.exceptions.ExecutionAlreadyExists:  # names are to the second, and the run before took less
        time.sleep(1)
        return start(states, state_machine_arn, provider, now + timedelta(seconds=1), replay)
    return str(started["executionArn"])


def watch(states: Any, arn: str, entered: Callable[[str], None], poll_seconds: float) -> Ended:
    """Wait until an execution ends, telling of each state that it enters."""
    seen = 0
    last = ""
    while True:
        described = states.describe_execution(executionArn=arn)
        names = entered_states(states, arn)
        for name in names[seen:]:
            entered(name)
        seen, last = len(names), names[-1] if names else last
        if described["status"] != "RUNNING":
            return Ended(arn, described["status"], last, described.get("error"), described.get("cause"))
        time.sleep(poll_seconds)


def entered_states(states: Any, arn: str) -> list[str]:
    """The states that an execution has entered so far, in order."""
    return [
        event["stateEnteredEventDetails"]["name"]
        for page in states.get_paginator("get_execution_history").paginate(executionArn=arn, includeExecutionData=False)
        for event in page["events"]
        if "stateEnteredEventDetails" in event
    ]
