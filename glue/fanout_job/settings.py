"""The settings of one run, from Glue's arguments or from Lambda's event and environment."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, get_args

from contract.manifest import NO_MANIFEST, BookmarkMode
from contract.uris import split_uri
from fanout_job.errors import SettingsError


@dataclass(frozen=True)
class Settings:
    """The settings of one run. On Glue they are `--name value` arguments, in Lambda environment variables NAME and
    fields of the event.
    """

    provider: str
    run_id: str
    manifest: str
    """S3 URI; "none" if Glue's job bookmark selects the new objects."""
    run_dir: str
    """S3 URI, ending in "/", of the folder for the run's result."""
    env: str
    data_bucket: str
    queue_url: str = ""
    """URL of an SQS queue, or ARN of another target; empty for a job that sends nothing."""
    job: str = "change_log"
    """Name of the script, without .py."""
    change_log_dir: str = ""
    message_order: str = "none"
    on_bad_record: str = "fail"
    bookmark_mode: str = "manifest"
    """See `contract.manifest.BookmarkMode`."""
    max_message_bytes: str = ""
    """The queue's MaximumMessageSize, if it is below the service's limit."""
    log_level: str = "INFO"
    JOB_NAME: str = ""

    PER_RUN: ClassVar[tuple[str, ...]] = ("provider", "run_id", "manifest", "run_dir")
    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "message_order": ("none", "key"),
        "on_bad_record": ("fail", "quarantine"),
        "bookmark_mode": get_args(BookmarkMode),
        "log_level": ("INFO", "DEBUG", "WARN", "ERROR"),
    }

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of all arguments."""
        return [f.name for f in fields(cls)]

    @classmethod
    def required(cls) -> list[str]:
        """Return the names of the required arguments."""
        return [*cls.PER_RUN, "env", "data_bucket"]

    @classmethod
    def from_values(cls, values: Mapping[str, Any], spelled: Callable[[str], str] = "--{}".format) -> Settings:
        """Build from plain values. `spelled` returns the caller's name of an argument.

        Raises
        ------
        SettingsError
            Names every missing argument, or an argument with an invalid value and the valid values.
        """
        given = {name: str(values[name]) for name in cls.names() if values.get(name) not in (None, "")}
        required = cls.required() + (["change_log_dir"] if given.get("bookmark_mode") == "glue" else [])
        missing = [spelled(name) for name in required if name not in given]
        if missing:
            raise SettingsError(f"missing: {', '.join(missing)}")
        for name, choices in cls.CHOICES.items():
            if name in given and given[name] not in choices:
                raise SettingsError(f"{spelled(name)} is {given[name]!r}; it may be {' or '.join(choices)}")
        if not re.fullmatch(r"\d*", given.get("max_message_bytes", "")):
            raise SettingsError(f"{spelled('max_message_bytes')} is not a number of bytes")
        if not _is_uri(given["run_dir"]) or not given["run_dir"].endswith("/"):
            raise SettingsError(f"{spelled('run_dir')} is not an S3 URI that ends in '/'")
        if given["manifest"] != NO_MANIFEST and not _is_uri(given["manifest"]):
            raise SettingsError(f"{spelled('manifest')} is {given['manifest']!r}, which is not an S3 URI of an object")
        return cls(**given)

    @classmethod
    def from_arguments(cls, argv: Sequence[str]) -> Settings:
        """Build from Glue's argv, with awsglue's parser if it is installed."""
        present = [n for n in cls.names() if any(a == f"--{n}" or a.startswith(f"--{n}=") for a in argv)]
        try:
            read = importlib.import_module("awsglue.utils").getResolvedOptions
        except ImportError:
            read = plain_arguments
        return cls.from_values(read(list(argv), present))

    @classmethod
    def from_event(cls, event: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
        """Build from the state machine's event, for this run, and the environment, the same for all runs."""
        per_run = {name: event.get(name) for name in cls.PER_RUN}
        standing = {name: environ.get(name.upper()) for name in cls.names()}
        return cls.from_values(
            {**standing, **per_run}, lambda name: f"event.{name}" if name in per_run else f"${name.upper()}"
        )


def _is_uri(text: str) -> bool:
    """Whether a text is the S3 URI of an object or a folder."""
    try:
        return bool(split_uri(text)[1])
    except ValueError:
        return False


def plain_arguments(argv: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Read `--name value` and `--name=value` if awsglue is not installed."""
    values: dict[str, str] = {}
    arguments = iter(argv[1:])
    for argument in arguments:
        name, given, value = argument.removeprefix("--").partition("=")
        values[name] = value if given else next(arguments, "")
    return {name: value for name, value in values.items() if name in names}
