"""The result of a job. Written once by the job, read by *Update Status*.

It states that every row of the manifest's objects was acknowledged; without it, nothing is committed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from contract.document import About, Stored
from contract.failure import Failure

VERSION: Literal[1] = 1

MAX_FAILURES = 20
"""The most failures that a result lists; the others are only counted."""


@dataclass(frozen=True, kw_only=True)
class JobResult(Stored):
    """The result of a job."""

    version: Annotated[Literal[1], About("version of this format", required=True)] = VERSION
    run_id: str
    provider: str
    job: Annotated[str, About("the script that ran, without .py")]
    engine: Literal["lambda", "glue"]
    status: Literal["succeeded", "failed"]
    objects: Annotated[int, About("objects of the manifest that were processed")]
    bytes: Annotated[int, About("stored size of these objects")]
    rows: Annotated[int, About("rows that were processed")]
    messages: Annotated[int, About("messages that the target acknowledged")]
    quarantined: Annotated[int, About("lines, rows and objects that were copied to the quarantine")]
    seconds: Annotated[float, About("from the start of the job to this result")]
    workers: Annotated[int, About("machines of the run")]
    notes: Annotated[dict[str, Any], About("details that a job adds, such as the mapping and its version")] = field(
        default_factory=dict
    )
    failure: Annotated[Failure | None, About("the first failure by object and line; null unless the job failed")]
    failures: Annotated[tuple[Failure, ...], About(f"the first {MAX_FAILURES} failures, including bad objects")]
    failure_count: Annotated[int, About("number of all failures")]


def in_order(failures: Iterable[Failure]) -> list[Failure]:
    """Sort failures by object and line, those without an object last: the same order on both engines."""
    return sorted(failures, key=lambda f: (f.object is None, f.object, f.line or 0, f.type, f.message))
