"""`getResolvedOptions`: a Glue script's arguments."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

BOOKMARK_OPTIONS = ("job-bookmark-enable", "job-bookmark-pause", "job-bookmark-disable")
CONTINUATION_OPTIONS = ("continuation-enabled", "continuation-readonly", "continuation-ignore")
"""Their old names, in the same order."""
RANGE = ("job-bookmark-from", "job-bookmark-to")
TEMPORARY = ("TempDir", "RedshiftTempDir")
OF_GLUE = (*RANGE, *TEMPORARY, "JOB_ID", "JOB_RUN_ID", "SECURITY_CONFIGURATION", "enable-data-lineage")
"""Arguments that Glue itself passes; always returned, with None if they are missing."""


class GlueArgumentError(Exception):
    """A declared argument is missing, or its value is not allowed."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise GlueArgumentError(message)


def getResolvedOptions(  # noqa: N802 - AWS's name
    args: Sequence[str], options: Sequence[str], allow_abbrev: bool = False
) -> dict[str, Any]:
    """Read the declared arguments of a job run from sys.argv, where each must be present as `--name value`.

    Parameters
    ----------
    args
        sys.argv.
    options
        Names of the declared arguments.
    allow_abbrev
        Whether names can be abbreviated, as before Glue 6.0.

    Returns
    -------
    Name -> value, including Glue's own arguments. Dashes in names become underscores; undeclared arguments are ignored.
    job_bookmark_option is always present, by default job-bookmark-disable.

    Raises
    ------
    GlueArgumentError
        A declared argument is missing.
    RuntimeError
        A bookmark argument was declared, or a bookmark range does not fit the bookmark option.
    argparse.ArgumentError
        Another of Glue's own arguments was declared, or one argument twice.
    """
    parser = _Parser(allow_abbrev=allow_abbrev)
    parser.add_argument("--job-bookmark-option", choices=BOOKMARK_OPTIONS)
    parser.add_argument("--continuation-option", choices=CONTINUATION_OPTIONS)
    parser.add_argument("--encryption-type", choices=("sse-s3",))
    for name in OF_GLUE:
        parser.add_argument(f"--{name}")
    if reserved := {"job-bookmark-option", "continuation-option", *RANGE} & set(options):
        raise RuntimeError(f"{', '.join(sorted(reserved))} cannot be declared: Glue passes it itself")
    for name in options:
        if name not in TEMPORARY:
            parser.add_argument(f"--{name}", required=True)
    found = vars(parser.parse_known_args(args[1:])[0])
    found["TempDir"] = found["RedshiftTempDir"] = found["TempDir"] or found["RedshiftTempDir"]
    old_name = found.pop("continuation_option")
    if found["job_bookmark_option"] is None:
        at = CONTINUATION_OPTIONS.index(old_name) if old_name else -1
        found["job_bookmark_option"] = BOOKMARK_OPTIONS[at]
    given = [name for name in RANGE if found[name.replace("-", "_")] is not None]
    paused = found["job_bookmark_option"] == "job-bookmark-pause"
    if len(given) == (1 if paused else 2):
        raise RuntimeError(f"{' and '.join(given)} do not fit {found['job_bookmark_option']}")
    return found
