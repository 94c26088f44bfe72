"""Repairs of moto's Lambda and Glue."""

from __future__ import annotations

import json
import threading
from typing import Any

from moto.awslambda import urls
from moto.awslambda.models import EventSourceMapping, LambdaBackend
from moto.awslambda.responses import LambdaResponse
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.glue import models as glue_models
from moto.glue.responses import GlueResponse
from moto.sqs.models import sqs_backends

from laptop_cloud.aws.repairs.hooks import hooks


def lambda_functions_run() -> None:
    """moto: without Docker, Invoke returns its own payload. AWS: it runs the handler."""

    def invoke(
        self: LambdaSimpleBackend,
        function_name: str,
        qualifier: str | None,
        body: Any,
        headers: Any,
        response_headers: dict[str, str],
    ) -> bytes:
        function = self.get_function(function_name, qualifier)
        sent = {str(name).lower(): value for name, value in dict(headers or {}).items()}
        kind = sent.get("x-amz-invocation-type", "RequestResponse")
        payload = body.encode() if isinstance(body, str) else body or b"{}"
        return hooks().invoke_function(function, payload, kind, response_headers)

    LambdaSimpleBackend.invoke = invoke


def lambda_qualifiers() -> None:
    """moto: Invoke ignores its Qualifier, and looks for one in the event. AWS: it is the version or alias to run."""
    real_invoke = LambdaResponse.invoke

    def invoke(self: LambdaResponse) -> Any:
        self.querystring["qualifier"] = self.querystring.get("Qualifier") or ["$LATEST"]
        return real_invoke(self)

    LambdaResponse.invoke = invoke


def lambda_account_settings() -> None:
    """moto: GetAccountSettings is not implemented. AWS: it returns the account's concurrency."""

    def get_account_settings(self: LambdaResponse) -> tuple[int, dict[str, str], str]:
        limit = hooks().concurrency()
        limits = {"ConcurrentExecutions": limit, "UnreservedConcurrentExecutions": limit}
        usage = {"FunctionCount": len(list(self.backend.list_functions()))}
        return 200, {}, json.dumps({"AccountLimit": limits, "AccountUsage": usage})

    LambdaResponse.get_account_settings = get_account_settings
    urls.url_paths["{0}/(?P<api_version>[^/]+)/account-settings/?$"] = LambdaResponse.dispatch


def lambda_polls_queues() -> None:
    """moto: SendMessage invokes the function with the queue's messages before it responds. AWS: Lambda polls."""
    real_create = LambdaBackend.create_event_source_mapping

    def create(self: LambdaBackend, spec: dict[str, Any]) -> EventSourceMapping:
        mapping = real_create(self, spec)
        for queue in sqs_backends[self.account_id][self.region_name].queues.values():
            queue.lambda_event_source_mappings.pop(mapping.function_arn, None)
        return mapping

    LambdaBackend.create_event_source_mapping = create


def glue_job_runs_run() -> None:
    """moto: a job run succeeds after two GetJobRun calls. AWS: it runs the script.

    Also, two concurrent StartJobRun calls can both pass moto's check of MaxConcurrentRuns. A lock prevents that.
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
    """moto: BatchStopJobRun is not implemented. AWS: it stops the runs, and lists those that it could not stop."""

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
    """moto: UpdateJob is not implemented. AWS: it changes the definition for the next run."""

    def update_job(self: GlueResponse) -> ActionResult:
        job = self.glue_backend.get_job(self._get_param("JobName"))
        for name, value in self._get_param("JobUpdate").items():
            setattr(job, camelcase_to_underscores(name), value)
        return ActionResult({"JobName": job.name})

    GlueResponse.update_job = update_job
