"""Runs Glue jobs: StartJobRun runs the job's script from S3 in a warm PySpark driver.

moto stores the jobs and their runs. This module moves a run through its states as on AWS: STARTING, RUNNING, then
SUCCEEDED, FAILED, TIMEOUT or STOPPED.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.core.utils import utcnow
from moto.glue import models as glue_models

from laptop_cloud.aws.account import process_environment
from laptop_cloud.aws.logs import LogWriter
from laptop_cloud.aws.spark_driver import Driver, Drivers
from laptop_cloud.errors import LaptopCloudError

if TYPE_CHECKING:
    from laptop_cloud.aws.services import Services

_ACTIVE = ("STARTING", "WAITING", "RUNNING", "STOPPING")
_DEFAULT_TIMEOUT_MINUTES = 480
EXTRA_PY_FILES = "--extra-py-files"


class JobRun(glue_models.FakeJobRun):
    """A job run whose state follows its script, not moto's simulated transitions."""

    real_state = "STARTING"
    error_message: str | None = None
    glue_version = ""
    finished: datetime | None = None
    driver: Driver | None = None
    """The driver that runs the script, while it runs."""

    @property
    def status(self) -> str:
        """JobRunState."""
        return self.real_state

    @status.setter
    def status(self, value: str) -> None:
        """Ignore the states that moto sets."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JobRun of GetJobRun's response."""
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


def use_real_runs() -> None:
    """Make moto create `JobRun`s; part of the repair of job runs."""
    glue_models.FakeJobRun = JobRun  # type: ignore[misc]


class JobRunner:
    """Runs jobs. A run for which no driver is free waits in STARTING, as on AWS for capacity.

    Parameters
    ----------
    services
        The services that the scripts call.
    logs
        Folder of the runs' output, {run id}.log, which is also written to the log group that the run's
        --custom-logGroup-prefix names.
    minute
        Length of a minute of a job's Timeout, in seconds.
    """

    def __init__(
        self, services: Services, drivers: Drivers, logs: Path, log_writer: LogWriter, minute: float = 60.0
    ) -> None:
        self._services = services
        self._drivers = drivers
        self._logs = logs
        self._log_writer = log_writer
        self._minute = minute
        self._lock = threading.Lock()
        self._running: dict[str, JobRun] = {}
        self._scripts = Path(tempfile.mkdtemp(prefix="glue-scripts-", dir=logs))

    def start(self, job: Any, run: JobRun) -> None:
        """Run the job's script for an accepted run as soon as a driver is free."""
        run.glue_version = job.glue_version or ""
        with self._lock:
            self._running[run.job_run_id] = run
        threading.Thread(target=self._run, args=(job, run), name=run.job_run_id, daemon=True).start()

    def stop_run(self, run_id: str) -> bool:
        """Stop a run; returns False if it is not running."""
        return self._end_early(run_id, "STOPPED")

    def stop(self) -> None:
        """Stop every run."""
        for run_id in list(self._running):
            self._end_early(run_id, "STOPPED")

    def _run(self, job: Any, run: JobRun) -> None:
        try:
            error = self._run_script(job, run)
        # As on AWS, any error before the script starts fails the run, with the error as its message.
        except Exception as failure:  # noqa: BLE001 - see above
            error = f"{type(failure).__name__}: {failure}"
        with self._lock:
            self._running.pop(run.job_run_id, None)
            run.finished = run.modified_on = utcnow()
            if run.real_state in _ACTIVE:
                run.error_message = error
                run.real_state = "SUCCEEDED" if error is None else "FAILED"

    def _run_script(self, job: Any, run: JobRun) -> str | None:
        script = self._scripts / f"{run.job_run_id}.py"
        script.write_bytes(self._services.read_object(job.command["ScriptLocation"]))
        modules = self._extra_modules(run)
        access_key_id = self._services.access_key_id(self._services.principal(job.role))
        environment = process_environment(self._services.endpoint, access_key_id)
        minutes = float(run.timeout or _DEFAULT_TIMEOUT_MINUTES)
        driver, log = self._drivers.take(), self._logs / f"{run.job_run_id}.log"
        timer = threading.Timer(minutes * self._minute, self._end_early, args=(run.job_run_id, "TIMEOUT"))
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
            with self._lock:  # from now on, stopping the run must not kill the driver, which another run may use
                run.driver = None
            self._drivers.give_back(driver)
            if log.exists():
                prefix = (run.arguments or {}).get("--custom-logGroup-prefix", "/aws-glue/jobs")
                self._log_writer.put(f"{prefix}/output", f"{run.job_run_id}-driver", log)

    def _extra_modules(self, run: JobRun) -> list[Path]:
        """Return the zips that --extra-py-files names, which come first on the script's path, in their order.

        Source: Glue Developer Guide, "Using job parameters in AWS Glue jobs".
        """
        locations = [part.strip() for part in str((run.arguments or {}).get(EXTRA_PY_FILES, "")).split(",")]
        return [self._extra_module(location) for location in locations if location]

    def _extra_module(self, location: str) -> Path:
        if not location.startswith("s3://") or not location.endswith(".zip"):
            raise LaptopCloudError(f"{EXTRA_PY_FILES} names {location}: only zip files on S3 are supported.")
        content = self._services.read_object(location)
        # Changed content has another path, so that no importer, here or in a Python worker, takes it for an older one.
        path = self._scripts / f"{hashlib.sha256(content).hexdigest()[:16]}.zip"
        if not path.exists():
            unfinished = path.with_suffix(f".{threading.get_ident()}")  # another run may read the path at the same time
            unfinished.write_bytes(content)
            unfinished.replace(path)
        return path

    @staticmethod
    def _argv(script: Path, run: JobRun) -> list[str]:
        """Return the script's arguments in Glue's order: Glue's own, then the job's and the run's."""
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
