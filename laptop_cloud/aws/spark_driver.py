"""Warm Spark drivers: processes with a JVM that run one Glue job script after another."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from laptop_cloud.aws.spark_jvm import spark_environment
from laptop_cloud.errors import DriverError

PROGRAM = Path(__file__).with_name("driver_process.py")
GLUE_PACKAGES = Path(__file__).with_name("glue_packages")
"""Folder with our implementation of the `awsglue` package."""

MAX_DRIVERS = 2
"""Each driver takes about 600 MB."""


class Driver:
    """A warm Spark driver, whose output before its first run goes to `log`."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                env=_environment(),
                start_new_session=True,  # its own process group, so that killing the group also ends the JVM
            )
        self.log = log

    def wait_until_ready(self) -> None:
        """Wait until Spark has started.

        Raises
        ------
        DriverError
            Spark did not start.
        """
        if self._answer() is None:
            raise DriverError(f"A Spark driver did not start. See its log, {self.log}.")

    def run(self, argv: list[str], modules: list[Path], environment: Mapping[str, str], log: Path) -> str | None:
        """Run a script to its end.

        Parameters
        ----------
        argv
            The script and its arguments.
        modules
            Zips and folders that come first on its path.
        environment
            Environment variables of this run, in the driver and in Spark's Python workers.
        log
            The file for its output.

        Returns
        -------
        The error message, or None if the script succeeded.
        """
        assert self.process.stdin is not None
        paths = [str(path) for path in modules]
        request = {"argv": argv, "modules": paths, "environment": dict(environment), "log": str(log)}
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return "The driver exited"
        answer = self._answer()
        return "The driver exited" if answer is None else answer["error"]

    def alive(self) -> bool:
        """Return whether the driver can take another run."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End the driver and its JVM; safe to call twice."""
        if self.alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _answer(self) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None


class Drivers:
    """A pool that starts drivers on demand, and replaces drivers that were killed.

    Parameters
    ----------
    log
        The file for the drivers' output before their first run.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._changed = threading.Condition()
        self._idle: list[Driver] = []
        self._started: list[Driver] = []
        self._stopped = False

    def warm_up(self, count: int) -> None:
        """Start drivers in the background. Errors are ignored: the next run tries again, and reports them."""
        for _ in range(min(count, MAX_DRIVERS)):
            threading.Thread(target=self._warm_up, daemon=True).start()

    def take(self) -> Driver:
        """Take an idle driver, start one, or wait until one is given back.

        Raises
        ------
        DriverError
            A driver did not start, or all have been stopped.
        """
        with self._changed:
            while True:
                self._idle = [driver for driver in self._idle if driver.alive()]
                self._started = [driver for driver in self._started if driver.alive()]
                if self._stopped:
                    raise DriverError("The laptop cloud is stopping.")
                if self._idle:
                    return self._idle.pop()
                if len(self._started) < MAX_DRIVERS:
                    break
                self._changed.wait()
            driver = Driver(self._log)
            self._started.append(driver)
        try:
            driver.wait_until_ready()
        except DriverError:
            driver.kill()
            with self._changed:
                self._changed.notify()
            raise
        return driver

    def give_back(self, driver: Driver) -> None:
        """Return a driver to the pool, alive or not."""
        with self._changed:
            self._idle.append(driver)
            self._changed.notify()

    def pids(self) -> list[int]:
        """Return the ids of the driver processes that are alive; each leads its own process group."""
        with self._changed:
            return [driver.process.pid for driver in self._started if driver.alive()]

    def stop(self) -> None:
        """End every driver."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            for driver in self._started:
                driver.kill()

    def _warm_up(self) -> None:
        with contextlib.suppress(DriverError):
            self.give_back(self.take())


def _environment() -> dict[str, str]:
    """Return the environment of a Spark driver and its Python workers, without the variables of a run."""
    submit = [
        "--master local[1]",
        "--conf spark.ui.enabled=false",
        "--conf spark.sql.shuffle.partitions=2",
        "--conf spark.driver.host=127.0.0.1",
        "--conf spark.driver.bindAddress=127.0.0.1",
        "pyspark-shell",
    ]
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", tempfile.gettempdir()),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "TZ": "UTC",
        "PYTHONPATH": str(GLUE_PACKAGES),
        "PYTHONSAFEPATH": "1",  # a script must not import from this package or from the working directory
        "PYTHONUNBUFFERED": "1",
        "PYSPARK_SUBMIT_ARGS": " ".join(submit),
        **spark_environment(),
    }
