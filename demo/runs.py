"""Follows the runs of providers by their executions, Glue job runs, manifests and results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contract.manifest import Manifest
from contract.result import JobResult
from laptop_cloud.cloud import LaptopCloud


@dataclass
class Run:
    """One execution, and the figures known so far."""

    execution: str
    provider: str
    status: str
    engine: str = ""
    """"glue", "lambda", "none" (no new objects), or "" while it is not known."""
    state: str = ""
    """Its current step, or its final status."""
    objects: int | None = None
    rows: int | None = None
    messages: int | None = None
    seconds: float = 0.0
    """From its start to its end, or until now."""
    error: str | None = None


class RunWatcher:
    """Reads the progress of all runs. Files and finished executions are read only once.

    Manifests and results are in runs/ of the bucket. A run of at most `lambda_max_bytes` is shown as a Lambda run
    before its result exists.
    """

    def __init__(self, cloud: LaptopCloud, bucket: str, lambda_max_bytes: int) -> None:
        self._cloud = cloud
        self._bucket = bucket
        self._lambda_max_bytes = lambda_max_bytes
        self._manifests: dict[str, Manifest] = {}
        self._results: dict[str, JobResult] = {}
        self._read: set[str] = set()
        self._executions: dict[str, dict[str, Any]] = {}

    def runs(self) -> list[Run]:
        """Return every run, the oldest first."""
        states = self._cloud.client("stepfunctions")
        for listed in self._cloud.listed_executions():
            known = self._executions.get(listed["name"])
            if known is None or known["status"] != listed["status"]:
                self._executions[listed["name"]] = states.describe_execution(executionArn=listed["executionArn"])
        self._read_files()
        job_runs = {run["Arguments"]["--run_id"]: run["JobRunState"] for run in self._cloud.job_runs()}
        return [
            self._run(execution, job_runs.get(execution["name"], "running"))
            for execution in sorted(self._executions.values(), key=lambda execution: execution["startDate"])
        ]

    def _read_files(self) -> None:
        for key in (entry["Key"] for entry in self._cloud.objects(self._bucket, "runs/")):
            kind = key.rpartition("/")[2].removesuffix(".json")
            if key not in self._read and kind in ("manifest", "result"):
                body = self._cloud.client("s3").get_object(Bucket=self._bucket, Key=key)["Body"].read()
                if kind == "manifest":
                    manifest = Manifest.from_json(body)
                    self._manifests[manifest.run_id] = manifest
                else:
                    result = JobResult.from_json(body)
                    self._results[result.run_id] = result
                self._read.add(key)

    def _run(self, execution: dict[str, Any], job_run_state: str) -> Run:
        name, status = execution["name"], execution["status"]
        end = execution.get("stopDate") or datetime.now(execution["startDate"].tzinfo)
        run = Run(name, json.loads(execution["input"])["provider"], status, state=status.lower())
        run.seconds = (end - execution["startDate"]).total_seconds()
        claim = json.loads(execution.get("output") or "{}").get("claim", {})
        manifest, result = self._manifests.get(name), self._results.get(name)
        if claim.get("decision") in ("nothing", "busy"):
            run.engine, run.objects, run.rows, run.messages = "none", 0, 0, 0
        if manifest is not None:
            run.objects = len(manifest.objects)
            run.engine = "lambda" if manifest.bytes <= self._lambda_max_bytes else "glue"
        if status == "RUNNING":
            run.state = "claiming" if manifest is None else job_run_state.lower()
        if result is not None:
            run.engine, run.rows, run.messages = result.engine, result.rows, result.messages
            run.error = result.failure.in_one_line(result.failure_count) if result.failure else None
        if status not in ("RUNNING", "SUCCEEDED"):
            run.error = run.error or execution.get("cause")
        return run
