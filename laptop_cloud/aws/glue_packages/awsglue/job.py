"""`Job`: the start and the commit of a job run, which read and write its bookmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from .bookmarks import BookmarkStore
from .context import GlueContext

ENABLE, PAUSE, DISABLE = "job-bookmark-enable", "job-bookmark-pause", "job-bookmark-disable"


class Job:
    """Marks where a script starts and commits."""

    store: Callable[[], BookmarkStore] = BookmarkStore
    """Creates the bookmark store; tests replace it."""

    def __init__(self, glue_context_or_spark_session: Any) -> None:
        if not isinstance(glue_context_or_spark_session, GlueContext):
            raise TypeError("the laptop cloud supports only a Job of a GlueContext")
        self._context = glue_context_or_spark_session
        self._name: str | None = None
        self._option = DISABLE
        self._run_id: str | None = None

    def init(self, job_name: str, args: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Start the run: read the latest version of the job's bookmark, if `getResolvedOptions` found its option.

        Glue's behavior for a name other than the job's is not documented, so such a name fails here.
        """
        self._option = args.get("job_bookmark_option") or DISABLE
        if self._option not in (ENABLE, PAUSE, DISABLE):
            raise ValueError(f"{self._option} is not a job-bookmark-option")
        if args.get("job_bookmark_from") or args.get("job_bookmark_to"):
            raise NotImplementedError("the laptop cloud does not support job-bookmark-from and job-bookmark-to")
        self._name, self._run_id = job_name, args.get("JOB_RUN_ID")
        self._context._bookmark = None
        self._context._read_sources = {}
        if self._option != DISABLE:
            self._context._bookmark = type(self).store().read(job_name)

    def commit(self) -> None:
        """End the run: write the next version of the bookmark, if bookmarks are enabled.

        Raises
        ------
        RuntimeError
            The run was not started.
        VersionMismatchException
            Another run of the job has committed since this run began.
        """
        if self._name is None:
            raise RuntimeError("Job.commit was called before Job.init")
        bookmark = self._context._bookmark
        if self._option == ENABLE and bookmark is not None:
            sources = {**bookmark.sources, **self._context._read_sources}
            type(self).store().write(self._name, bookmark, sources, self._run_id)
