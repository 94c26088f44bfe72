"""Follows the runs of providers from outside: executions, Glue job runs, and what the runs wrote to S3."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from local.cloud import LaptopCloud


@dataclass
class Run:
    """One execution, as far as it is known.

    Attributes
    ----------
    execution
        Its name.
    provider
        Whose run it is.
    status
        The execution's status.
    engine
        "glue", "small", "none" (nothing was new), or "" while that is not known.
    state
        What it is doing, or how it ended, in a word.
    objects, rows, messages
        Figures of its result; None while there is none.
    seconds
        From its start to its end, or to now.
    error
        Why it failed.
    """

    execution: str
    provider: str
    status: str
    engine: str = ""
    state: str = ""
    objects: int | None = None
    rows: int | None = None
    messages: int | None = None
    seconds: float = 0.0
    error: str | None = None


class RunWatcher:
    """Reads the runs' progress; what was written once is read once.

    Parameters
    ----------
    cloud
        A running laptop cloud.
    bucket
        The bucket below whose runs/ manifests and results lie.
    small_run_max_bytes
        Up to how many bytes a run is a small one; only to name the engine before the run has begun.
    """

    def __init__(self, cloud: LaptopCloud, bucket: str, small_run_max_bytes: int) -> None:
        self._cloud = cloud
        self._bucket = bucket
        self._small_run_max_bytes = small_run_max_bytes
        self._files: dict[str, dict[str, Any]] = {}

    def runs(self) -> list[Run]:
        """Every run, the oldest first."""
        self._read_files()
        manifests = {body["run_id"]: body for key, body in self._files.items() if key.endswith("/manifest.json")}
        results = {body["run_id"]: body for key, body in self._files.items() if key.endswith("/result.json")}
        job_runs = {run["Arguments"]["--run_id"]: run for run in self._cloud.job_runs()}
        return [self._run(execution, manifests, results, job_runs) for execution in self._cloud.executions()]

    def _read_files(self) -> None:
        s3 = self._cloud.client("s3")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix="runs/"):
            for entry in page.get("Contents", []):
                key = entry["Key"]
                if key not in self._files and key.endswith(("/manifest.json", "/result.json")):
                    try:
                        self._files[key] = json.loads(s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())
                    except ClientError:
                        continue  # it is there at the next look

    def _run(
        self,
        execution: dict[str, Any],
        manifests: dict[str, dict[str, Any]],
        results: dict[str, dict[str, Any]],
        job_runs: dict[str, dict[str, Any]],
    ) -> Run:
        name, status = execution["name"], execution["status"]
        end = execution.get("stopDate") or datetime.now(execution["startDate"].tzinfo)
        run = Run(name, json.loads(execution["input"])["provider"], status, state=status.lower())
        run.seconds = (end - execution["startDate"]).total_seconds()
        claim = json.loads(execution.get("output") or "{}").get("claim", {})
        manifest, result, job_run = manifests.get(name), results.get(name), job_runs.get(name)
        if claim.get("decision") in ("nothing", "busy"):
            run.engine, run.objects, run.rows, run.messages = "none", 0, 0, 0
        if manifest is not None:
            run.objects = len(manifest["objects"])
            size = sum(stored["size"] for stored in manifest["objects"])
            run.engine = "small" if size <= self._small_run_max_bytes else "glue"
        if status == "RUNNING":
            run.state = "claiming" if manifest is None else job_run["JobRunState"].lower() if job_run else "running"
        if result is not None:
            run.engine, run.rows, run.messages = result["engine"], result["rows"], result["messages"]
            run.error = (result["error"] or {}).get("message")
        if status not in ("RUNNING", "SUCCEEDED"):
            run.error = run.error or execution.get("cause")
        return run
