"""S3 URIs, and the locations of a run's documents: `s3://BUCKET/runs/provider=NAME/CLAIMED_RUN/`."""

from __future__ import annotations

import re
from datetime import datetime

from contract.times import compact, parse_compact

RESERVED = frozenset(
    {"aws", "claim-check", "claim_check", "library", "mappings"}
    | {"output", "quarantine", "runs", "standard", "unassigned"}
)
"""Prefixes of the data bucket that have a purpose, so that they cannot contain a change log. `claim_check` is not used,
but would be confused with `claim-check`."""
_RUN_DIR = re.compile(r"([0-9]{8}T[0-9]{6}Z)_(.+)/")


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``; the key of a bucket's own URI is empty.

    `urlsplit` is not used: it ends a key at its first '?' or '#'.

    Raises
    ------
    ValueError
        The text is not an S3 URI.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise ValueError(f"{uri!r} is not an s3:// URI")
    return bucket, key


def runs_dir(bucket: str, provider: str) -> str:
    """The folder of a provider's runs."""
    return f"s3://{bucket}/runs/provider={provider}/"


def run_dir(bucket: str, provider: str, claimed_at: datetime, run_id: str) -> str:
    """The folder of a run. The names sort by the time of the claim."""
    return f"{runs_dir(bucket, provider)}{compact(claimed_at)}_{run_id}/"


def parse_run_dir(name: str) -> tuple[datetime, str] | None:
    """The time of a run's claim and its id, from the name of its folder; None for other names."""
    found = _RUN_DIR.fullmatch(name)
    return (parse_compact(found[1]), found[2]) if found else None


def manifest_uri(run_dir: str) -> str:
    """A run's manifest, written by its claim."""
    return run_dir + "manifest.json"


def result_uri(run_dir: str) -> str:
    """A run's result, written by its job."""
    return run_dir + "result.json"


def record_uri(run_dir: str) -> str:
    """A run's record, written when it has ended in the ledger."""
    return run_dir + "record.json"
