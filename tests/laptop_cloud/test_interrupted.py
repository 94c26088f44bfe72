"""No process outlives a test run that is interrupted or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.children import Child, alive, descendants
from tests.harness.waiting import eventually

from .conftest import FIXTURES

ROOT = Path(__file__).parents[2]
TEST = f"""
import sys, threading
from pathlib import Path
from laptop_cloud.aws.spark_driver import Drivers
from laptop_cloud.cloud import LaptopCloud
from tests.harness.children import Child
from tests.harness.waiting import HANG_SECONDS, eventually

def test_that_lasts(tmp_path):
    template = {str(FIXTURES / "template.yaml")!r}
    up = [sys.executable, "-m", "laptop_cloud", "up", "--port", "0", "--template", template]
    up += ["--workdir", tmp_path / "up"]
    with Child(up) as process, LaptopCloud(template, workdir=tmp_path / "own") as cloud:
        name, event = cloud.physical_id("EchoFunction"), b'{{"seconds": 900}}'
        call = lambda: cloud.client("lambda").invoke(FunctionName=name, Payload=event)
        threading.Thread(target=call, daemon=True).start()
        cloud.client("glue").start_job_run(JobName="job-test", Arguments={{"--mode": "sleep"}})
        eventually((tmp_path / "up/cloud.json").exists)
        eventually(lambda: len(cloud.processes()) == 2)
        Path("ready").touch()
        process.wait()
"""


@pytest.mark.spark
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize(("how", "workers"), [(signal.SIGINT, 0), (signal.SIGKILL, 0), (signal.SIGKILL, 1)])
def test_no_process_outlives_a_test_run(tmp_path: Path, how: signal.Signals, workers: int) -> None:
    (tmp_path / "test_that_lasts.py").write_text(TEST, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", f"-n{workers}", "-p", "no:cacheprovider", "test_that_lasts.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = tmp_path / "said.txt"  # not a pipe, which would stop the run when it is full
    with (
        said.open("wb") as output,
        Child(command, cwd=tmp_path, env=environment, stdout=output, stderr=subprocess.STDOUT) as run,
    ):
        eventually(lambda: (tmp_path / "ready").exists() or run.poll() is not None, "the test to be in the middle")
        assert run.poll() is None, said.read_text(encoding="utf-8")
        # The reaper; the other cloud, its forks' server and a function; this one's server, function, driver and JVM.
        eventually(lambda: len(descendants(run.pid)) >= 8 + workers, lambda: f"more than {descendants(run.pid)}")
        started = descendants(run.pid)
        os.kill(run.pid, how)
        run.wait()
        eventually(lambda: not alive(started), lambda: f"the end of {alive(started)}")
