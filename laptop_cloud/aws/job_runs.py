"""Real Glue job runs: StartJobRun runs the job's script, as it lies in S3, in a warm PySpark driver.

moto keeps the jobs and their runs; this module gives the runs the life that they have on AWS: STARTING, RUNNING, then
SUCCEEDED, FAILED, TIMEOUT or STOPPED.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from moto.core.utils import utcnow
from moto.glue import models as glue_models

from laptop_cloud.aws.logs import LogWriter
from laptop_cloud.aws.spark_driver import Driver, Drivers
from laptop_cloud.errors import LaptopCloudError

_ACTIVE = ("STARTING", "WAITING", "RUNNING", "STOPPING")
_DEFAULT_TIMEOUT_MINUTES = 480
EXTRA_PY_FILES = "--extra-py-files"


class JobRun(glue_models.FakeJobRun):
    """A job run whose state is that of its script, not of moto's clockwork."""

    real_state = "STARTING"
    error_message: str | None = None
    glue_version = ""
    finished: datetime | None = None
    driver: Driver | None = None
    """While its script runs: the driver that runs it."""

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


@dataclass
class JobRunner:
    """Gives job runs their life; those for which no driver is free wait in STARTING, as on AWS for capacity."""

    drivers: Drivers
    environment: Callable[[str], dict[str, str]]
    """Role (ARN or name) of a job -> what its script needs to call AWS."""
    read: Callable[[str], bytes]
    """Content of an s3:// location."""
    logs: Path
    """Folder; {run id}.log in it takes what a run's script prints."""
    log_writer: LogWriter
    """Takes it too, for the log group that the run's --custom-logGroup-prefix names."""
    minute: float
    """Seconds that a minute of a job's Timeout lasts."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, JobRun] = {}
        self._scripts = Path(tempfile.mkdtemp(prefix="glue-scripts-", dir=self.logs))

    def start(self, job: Any, run: JobRun) -> None:
        """Run the job's script, for a run that was accepted, as soon as a driver is free."""
        run.glue_version = job.glue_version or ""
        with self._lock:
            self._running[run.job_run_id] = run
        threading.Thread(target=self._run, args=(job, run), name=run.job_run_id, daemon=True).start()

    def stop_run(self, run_id: str) -> bool:
        """Stop a run; False when it is not running."""
        return self._end_early(run_id, "STOPPED")

    def stop(self) -> None:
        """Stop every run."""
        for run_id in list(self._running):
            self._end_early(run_id, "STOPPED")

    def _run(self, job: Any, run: JobRun) -> None:
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
        script.write_bytes(self.read(job.command["ScriptLocation"]))
        modules, environment = self._extra_modules(run), self.environment(job.role)
        minutes = float(run.timeout or _DEFAULT_TIMEOUT_MINUTES)
        driver, log = self.drivers.take(), self.logs / f"{run.job_run_id}.log"
        timer = threading.Timer(minutes * self.minute, self._end_early, args=(run.job_run_id, "TIMEOUT"))
        timer.daemon = True
        try:
            with self._lock:
                if run.real_state not in _ACTIVE:
                    return None
                run.real_state, run.driver = "RUNNING", driver
            timer.start()
            return driver.run(self._argv(script, run), modules, environment, log)
        finally:
            timer.cancel()
            with self._lock:  # whoever ends the run from now on does not kill what another run works with
                run.driver = None
            self.drivers.give_back(driver)
            if log.exists():
                prefix = (run.arguments or {}).get("--custom-logGroup-prefix", "/aws-glue/jobs")
                self.log_writer.put(f"{prefix}/output", f"{run.job_run_id}-driver", log)

    def _extra_modules(self, run: JobRun) -> list[Path]:
        """The zips that --extra-py-files names, which come first on the script's path, in their order.

        Source: Glue Developer Guide, "Using job parameters in AWS Glue jobs".
        """
        locations = [part.strip() for part in str((run.arguments or {}).get(EXTRA_PY_FILES, "")).split(",")]
        return [self._extra_module(location) for location in locations if location]

    def _extra_module(self, location: str) -> Path:
        if not location.startswith("s3://") or not location.endswith(".zip"):
            raise LaptopCloudError(f"{EXTRA_PY_FILES} names {location}: zips in S3 are taken here.")
        content = self.read(location)
        # Another content is another path: no importer, here or in a Python worker, can mistake it for an older one.
        path = self._scripts / f"{hashlib.sha256(content).hexdigest()[:16]}.zip"
        if not path.exists():
            unfinished = path.with_suffix(f".{threading.get_ident()}")  # another run may need the file at this moment
            unfinished.write_bytes(content)
            unfinished.replace(path)
        return path

    @staticmethod
    def _argv(script: Path, run: JobRun) -> list[str]:
        """The script's arguments, in the order of Glue: its own first, then the job's and the run's."""
        argv = [str(script), "--JOB_NAME", run.job_name, "--JOB_RUN_ID", run.job_run_id]
        for name, value in (run.arguments or {}).items():
            argv += [name, str(value)]
        return argv

    def _end_early(self, run_id: str, state: str) -> bool:
        with self._lock:
            run = self._running.get(run_id)
            if run is None or run.real_state not in _ACTIVE:
                return False
            run.real_state = state
            run.finished = run.modified_on = utcnow()
            if run.driver is not None:
                run.driver.kill()
        return True
