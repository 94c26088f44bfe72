"""The end of a handler's process by SIGKILL looks as on AWS, where the reason can be a lack of memory."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from laptop_cloud.cloud import LaptopCloud
from tests.harness.children import alive
from tests.harness.waiting import eventually


def invoke(cloud: LaptopCloud, event: Any) -> tuple[Any, str | None]:
    answer = cloud.client("lambda").invoke(
        FunctionName=cloud.physical_id("EchoFunction"), Payload=json.dumps(event).encode()
    )
    return json.loads(answer["Payload"].read()), answer.get("FunctionError")


def test_a_handler_killed_during_an_invocation_gets_aws_s_error(cloud: LaptopCloud) -> None:
    failed, error = invoke(cloud, {"kill": True})

    assert error == "Unhandled"
    assert failed["errorType"] == "Runtime.ExitError"
    assert failed["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")


def test_a_process_killed_while_idle_is_not_reused(cloud: LaptopCloud) -> None:
    pid = invoke(cloud, {})[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive({pid}), "the end of the process")

    after, error = invoke(cloud, {})

    assert error is None
    assert after["pid"] != pid
