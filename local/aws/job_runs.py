"""Real Glue job runs: StartJobRun runs the job's script, as it lies in S3, in a warm PySpark driver.

moto keeps the jobs and their runs; this module gives the runs the life that they have on AWS: STARTING, RUNNING, then
SUCCEEDED, FAILED, TIMEOUT or STOPPED.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from moto.core.utils import utcnow
from moto.glue import models as glue_models

from local.aws.logs import LogWriter
from local.aws.spark_driver import Driver
from local.errors import DriverError, JobArgumentError

LOG = logging.getLogger(__name__)

_ACTIVE = ("STARTING", "WAITING", "RUNNING", "STOPPING")
_DEFAULT_TIMEOUT_MINUTES = 480
EXTRA_PY_FILES = "--extra-py-files"


class JobRun(glue_models.FakeJobRun):
    """A job run whose state is that of its script, not of moto's clockwork."""

    real_state = "STARTING"
    error_message: str | None = None
    glue_version = ""
    finished: datetime | None = None

    @property
    def status(self) -> str:
        """JobRunState."""
        return self.real_state

    @status.setter
    def status(self, value: str) -> None:
        """Moto sets its own idea of the state; it does not count."""

    def as_dict(self) -> dict[str, Any]:
        """The JobRun as GetJobRun gives it."""
        described: dict[str, Any] = super().as_dict()
        end = self.finished or utcnow()
        described.update(GlueVersion=self.glue_version, ExecutionTime=int((end - self.started_on).total_seconds()))
        if self.finished is None:
            described.pop("CompletedOn", None)
        else:
            described["CompletedOn"] = self.finished
        if self.error_message:
            described["ErrorMessage"] = self.error_message
        return described


def let_runs_be_real() -> None:
    """Let moto make `JobRun`s; part of the repair of job runs."""
    glue_models.FakeJobRun = JobRun  # type: ignore[misc]


class JobRunner:
    """Runs job runs on at most `slots` drivers at a time; the others wait in STARTING, as on AWS for capacity.

    Parameters
    ----------
    slots
        Spark drivers at once; each takes about 600 MB.
    environment
        Principal -> environment of a driver whose jobs call AWS as that principal.
    principal
        Role (ARN or name) of a job -> principal.
    read
        Content of an s3:// location.
    logs
        Folder; {run id}.log in it takes what a run's script prints.
    log_writer
        Takes it too, for the log group that the run's --custom-logGroup-prefix names.
    minute
        Seconds that a minute of a job's Timeout lasts; tests shorten it.
    """

    def __init__(
        self,
        slots: int,
        environment: Callable[[str], dict[str, str]],
        principal: Callable[[str], str],
        read: Callable[[str], bytes],
        logs: Path,
        log_writer: LogWriter,
        minute: float = 60.0,
    ) -> None:
        self._slots = threading.BoundedSemaphore(slots)
        self._environment = environment
        self._principal = principal
        self._read = read
        self._logs = logs
        self._log_writer = log_writer
        self._minute = minute
        self._lock = threading.Lock()
        self._idle: dict[str, list[Driver]] = defaultdict(list)
        self._drivers: list[Driver] = []
        self._running: dict[str, tuple[JobRun, Driver | None]] = {}
        self._scripts = Path(tempfile.mkdtemp(prefix="glue-scripts-", dir=logs))
        self._stopped = False

    def warm_up(self, role: str, drivers: int) -> None:
        """Start drivers for the jobs of `role` in the background."""
        principal = self._principal(role)
        for _ in range(drivers):
            threading.Thread(target=self._start_idle, args=(principal,), daemon=True).start()

    def start(self, job: Any, run: JobRun) -> None:
        """A run was accepted: run the job's script as soon as a driver is free."""
        run.glue_version = job.glue_version or ""
        with self._lock:
            self._running[run.job_run_id] = (run, None)
        threading.Thread(target=self._run, args=(job, run), name=run.job_run_id, daemon=True).start()

    def stop_run(self, run_id: str) -> bool:
        """Stop a run; False when it is not running."""
        return self._end_early(run_id, "STOPPED")

    def pids(self) -> list[int]:
        """Driver processes that are alive; each is the leader of its process group."""
        with self._lock:
            return [driver.process.pid for driver in self._drivers if driver.alive()]

    def stop(self) -> None:
        """End every driver."""
        with self._lock:
            self._stopped = True
            drivers = list(self._drivers)
        for driver in drivers:
            driver.kill()

    def _start_idle(self, principal: str) -> None:
        try:
            driver = self._new_driver(principal)
            driver.wait_until_ready()
        except DriverError:
            if not self._stopped:  # the first run tries again, and reports it if it fails
                LOG.exception("A Spark driver could not be warmed up")
            return
        with self._lock:
            self._idle[principal].append(driver)

    def _new_driver(self, principal: str) -> Driver:
        environment = self._environment(principal)
        with self._lock:
            if self._stopped:
                raise DriverError("The laptop cloud is stopping.")
            driver = Driver(environment, self._logs / "spark-drivers.log")
            self._drivers.append(driver)
        return driver

    def _driver(self, principal: str) -> Driver:
        with self._lock:
            while self._idle[principal]:
                driver = self._idle[principal].pop()
                if driver.alive():
                    return driver
        driver = self._new_driver(principal)
        driver.wait_until_ready()
        return driver

    def _run(self, job: Any, run: JobRun) -> None:
        with self._slots:
            try:
                error = self._run_script(job, run)
            # A run that cannot even start has failed, and says why; so it does on AWS.
            except Exception as failure:  # noqa: BLE001 - said above
                error = f"{type(failure).__name__}: {failure}"
        with self._lock:
            self._running.pop(run.job_run_id, None)
            run.finished = run.modified_on = utcnow()
            if run.real_state in _ACTIVE:
                run.error_message = error
                run.real_state = "SUCCEEDED" if error is None else "FAILED"

    def _run_script(self, job: Any, run: JobRun) -> str | None:
        script = self._scripts / f"{run.job_run_id}.py"
        script.write_bytes(self._read(job.command["ScriptLocation"]))
        modules = self._extra_modules(run)
        principal = self._principal(job.role)
        driver = self._driver(principal)
        with self._lock:
            if run.real_state not in _ACTIVE:
                self._idle[principal].append(driver)
                return None
            run.real_state = "RUNNING"
            self._running[run.job_run_id] = (run, driver)
        timer = threading.Timer(self._timeout(run), self._end_early, args=(run.job_run_id, "TIMEOUT"))
        timer.daemon = True
        timer.start()
        log = self._logs / f"{run.job_run_id}.log"
        try:
            error = driver.run(self._argv(script, run), modules, log)
        finally:
            timer.cancel()
            if log.exists():
                prefix = (run.arguments or {}).get("--custom-logGroup-prefix", "/aws-glue/jobs")
                self._log_writer.put(f"{prefix}/output", f"{run.job_run_id}-driver", log)
        with self._lock:
            if driver.alive() and run.real_state == "RUNNING":
                self._idle[principal].append(driver)
        return error

    def _extra_modules(self, run: JobRun) -> list[Path]:
        """The zips that --extra-py-files names, which come first on the script's path, in their order.

        Source: Glue Developer Guide, "Using job parameters in AWS Glue jobs".
        """
        locations = [part.strip() for part in str((run.arguments or {}).get(EXTRA_PY_FILES, "")).split(",")]
        return [self._extra_module(location) for location in locations if location]

    def _extra_module(self, location: str) -> Path:
        if not location.startswith("s3://") or not location.endswith(".zip"):
            raise JobArgumentError(f"{EXTRA_PY_FILES} names {location}: zips in S3 are taken here.")
        content = self._read(location)
        # Another content is another path: no importer, here or in a Python worker, can mistake it for an older one.
        path = self._scripts / f"{hashlib.sha256(content).hexdigest()[:16]}.zip"
        if not path.exists():
            unfinished = path.with_suffix(f".{threading.get_ident()}")  # another run may need the file at this moment
            unfinished.write_bytes(content)
            unfinished.replace(path)
        return path

    def _timeout(self, run: JobRun) -> float:
        return float(run.timeout or _DEFAULT_TIMEOUT_MINUTES) * self._minute

    @staticmethod
    def _argv(script: Path, run: JobRun) -> list[str]:
        """The script's arguments, in the order of Glue: its own first, then the job's and the run's."""
        argv = [str(script), "--JOB_NAME", run.job_name, "--JOB_RUN_ID", run.job_run_id]
        for name, value in (run.arguments or {}).items():
            argv += [name, str(value)]
        return argv

    def _end_early(self, run_id: str, state: str) -> bool:
        with self._lock:
            run, driver = self._running.get(run_id, (None, None))
            if run is None or run.real_state not in _ACTIVE:
                return False
            run.real_state = state
            run.finished = run.modified_on = utcnow()
        if driver is not None:
            driver.kill()
        return True
