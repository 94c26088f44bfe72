"""`Job`: the begin and the end of a job run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Job:
    """Marks where a script begins and commits. Bookmarks are not kept here."""

    def __init__(self, glue_context: Any) -> None:
        self.glue_context = glue_context
        self.name: str | None = None

    def init(self, job_name: str, args: Mapping[str, str] | None = None) -> None:
        """Begin the run."""
        self.name = job_name

    def commit(self) -> None:
        """End the run.

        Raises:
            RuntimeError: the run was never begun.
        """
        if self.name is None:
            raise RuntimeError("Job.commit was called before Job.init")
