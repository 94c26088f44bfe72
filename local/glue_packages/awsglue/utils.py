"""`getResolvedOptions`: a Glue script's arguments."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

RESERVED = ("JOB_NAME", "JOB_ID", "JOB_RUN_ID", "SECURITY_CONFIGURATION", "job-bookmark-option", "TempDir")
"""Arguments that Glue itself passes; they are returned when they are there, asked for or not."""


class GlueArgumentError(Exception):
    """A declared argument was not passed."""


def getResolvedOptions(args: Sequence[str], options: Sequence[str]) -> dict[str, str]:  # noqa: N802 - AWS's name
    """The declared arguments of a job run, by name.

    Args:
        args: sys.argv, the script first.
        options: names without dashes; each must have been passed as `--name value`.

    Returns:
        Name -> text. Dashes inside a name become underscores, as in Glue; arguments not declared are ignored.

    Raises:
        GlueArgumentError: a declared argument is missing.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False, add_help=False)
    wanted = list(dict.fromkeys([*options, *RESERVED]))
    for name in wanted:
        parser.add_argument(f"--{name}", dest=name.replace("-", "_"))
    parsed = {name: value for name, value in vars(parser.parse_known_args(args[1:])[0]).items() if value is not None}
    missing = [name for name in options if name.replace("-", "_") not in parsed]
    if missing:
        names = ", ".join(f"--{name}" for name in missing)
        raise GlueArgumentError(f"the following arguments are required: {names}")
    return parsed
