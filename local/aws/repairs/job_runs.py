"""Glue: what moto does differently from AWS, put right."""

from __future__ import annotations

import threading
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.glue import models as glue_models
from moto.glue.responses import GlueResponse

from local.aws.repairs.hooks import hooks


def glue_job_runs_run() -> None:
    """Stock: a job run succeeds after two looks, whatever its script does. AWS: it runs the script.

    Also, two StartJobRun calls at once can both pass the check of MaxConcurrentRuns: it is made under a lock here.
    """
    real_start = glue_models.FakeJob.start_job_run
    lock = threading.Lock()

    def start_job_run(self: glue_models.FakeJob, *args: Any, **kwargs: Any) -> str:
        with lock:
            run_id = real_start(self, *args, **kwargs)
            run = self.job_runs[-1]
            hooks().job_run_started(self, run)
        return str(run_id)

    glue_models.FakeJob.start_job_run = start_job_run


def glue_batch_stop_job_run() -> None:
    """Stock: BatchStopJobRun is not implemented. AWS: it stops the runs, and lists those that it could not stop."""

    def batch_stop_job_run(self: GlueResponse) -> ActionResult:
        job_name = self._get_param("JobName")
        stopped, errors = [], []
        for run_id in self._get_param("JobRunIds"):
            self.glue_backend.get_job_run(job_name, run_id)
            named = {"JobName": job_name, "JobRunId": run_id}
            if hooks().stop_job_run(run_id):
                stopped.append(named)
            else:
                detail = {"ErrorCode": "InvalidInputException", "ErrorMessage": "The job run is not running."}
                errors.append({**named, "ErrorDetail": detail})
        return ActionResult({"SuccessfulSubmissions": stopped, "Errors": errors})

    GlueResponse.batch_stop_job_run = batch_stop_job_run


def glue_update_job() -> None:
    """Stock: UpdateJob is not implemented. AWS: it changes the definition for the next run."""

    def update_job(self: GlueResponse) -> ActionResult:
        job = self.glue_backend.get_job(self._get_param("JobName"))
        for name, value in self._get_param("JobUpdate").items():
            setattr(job, camelcase_to_underscores(name), value)
        return ActionResult({"JobName": job.name})

    GlueResponse.update_job = update_job
