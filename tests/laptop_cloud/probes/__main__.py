"""Checks for each repair in `laptop_cloud.aws.repairs` whether moto behaves as AWS does.

`python -m tests.laptop_cloud.probes stock|repaired` prints {probe: true | false}. A probe that is true with stock moto
means that its repair is no longer needed. Each probe has the name of its repair.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys

from moto.core.config import default_user_config
from moto.server import ThreadedMotoServer

from tests.laptop_cloud.probes import data, executions, runs
from tests.laptop_cloud.probes.base import HOOKS, SERVER, client

PROBES = [
    probe
    for module in (data, runs, executions)
    for name, probe in vars(module).items()
    if getattr(probe, "__module__", "") == module.__name__ and not name.startswith("_")
]


def main(kind: str) -> None:
    """Run every probe."""
    logging.disable(logging.CRITICAL)
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["lambda"] = {"use_docker": False}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ["MOTO_PORT"] = str(port)
    if kind == "repaired":
        from laptop_cloud.aws import job_runs, repairs
        from laptop_cloud.aws.repairs.hooks import Hooks, connect

        SERVER.repaired = True
        job_runs.use_real_runs()
        repairs.apply_all()
        recorded = (HOOKS.invoke_function, HOOKS.job_run_started, HOOKS.stop_job_run, HOOKS.execution_changed)
        connect(Hooks(*recorded, HOOKS.access_key_id, HOOKS.concurrency))
    ThreadedMotoServer("127.0.0.1", port, verbose=False).start()
    SERVER.endpoint = f"http://127.0.0.1:{port}"
    client("iam").create_role(RoleName="machine", AssumeRolePolicyDocument="{}")
    print(json.dumps({probe.__name__: probe() for probe in PROBES}))


if __name__ == "__main__":
    main(sys.argv[1])
