"""`getResolvedOptions`: a Glue script's arguments."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

BOOKMARK_OPTIONS = ("job-bookmark-enable", "job-bookmark-pause", "job-bookmark-disable")
RANGE = ("job-bookmark-from", "job-bookmark-to")
RESERVED = (
    *("JOB_ID", "JOB_RUN_ID", "SECURITY_CONFIGURATION", "encryption-type", "enable-data-lineage"),
    *("RedshiftTempDir", "TempDir", *RANGE),
)
"""Arguments that Glue itself passes; returned whether asked for or not, None where they are not there."""


class GlueArgumentError(Exception):
    """An argument that was declared is missing, or has a value that it may not have."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise GlueArgumentError(message)


def getResolvedOptions(args: Sequence[str], options: Sequence[str]) -> dict[str, Any]:  # noqa: N802 - AWS's name
    """Find the declared arguments of a job run in sys.argv, each of which must be there as `--name value`.

    Abbreviations are refused, as from Glue 6.0 on; earlier versions take them.

    Returns
    -------
    Name -> text, with Glue's own. Dashes inside a name become underscores; arguments not declared are ignored. There
    always is a job_bookmark_option, which is job-bookmark-disable where nothing was passed.

    Raises
    ------
    GlueArgumentError
        A declared argument is missing.
    RuntimeError
        A name of Glue's own was declared, or a bookmark range does not fit the bookmark option.
    """
    parser = _Parser(allow_abbrev=False, add_help=False)
    parser.add_argument("--job-bookmark-option", choices=BOOKMARK_OPTIONS, default=BOOKMARK_OPTIONS[-1])
    for name in RESERVED:
        parser.add_argument(f"--{name}")
    if {"job-bookmark-option", *RANGE} & set(options):
        raise RuntimeError("Glue's own arguments cannot be declared")
    for name in dict.fromkeys(options):
        if name not in RESERVED:
            parser.add_argument(f"--{name}", required=True)
    found = vars(parser.parse_known_args(args[1:])[0])
    found["TempDir"] = found["RedshiftTempDir"] = found["TempDir"] or found["RedshiftTempDir"]
    given = [name for name in RANGE if found[name.replace("-", "_")] is not None]
    paused = found["job_bookmark_option"] == "job-bookmark-pause"
    if len(given) == (1 if paused else 2):
        raise RuntimeError(f"{' and '.join(given)} do not fit {found['job_bookmark_option']}")
    return found
