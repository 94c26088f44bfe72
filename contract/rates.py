"""Estimates how long a run takes in Lambda, for the functions that choose its engine.

The rates are those of docs/bench, measured on two shared cores. Only the jobs know formats, so no function does.
"""

from __future__ import annotations

from collections.abc import Iterable

CHANGE_LOG_BYTES_PER_SECOND = 900_000
"""Compressed bytes of a change log that a Lambda run reads and sends. Source: docs/bench/job.json, the largest of
`engines.points`: 18,831,756 bytes in 20.8 s."""
CSV_BYTES_PER_SECOND = 27_000_000
"""Bytes of CSV that `standardize` converts in Lambda, rounded down: docs/bench/standardize.json has 37 million."""
SLOW_FORMAT = 8
"""How many times slower other formats are taken for: 3.4 million bytes per second. By docs/bench/standardize.json, the
job reads 10 million bytes of XML and 20 million of JSON per second, without what follows the reading."""
GZIP = 10
"""How many bytes a byte of gzip is taken for, if the rate is for plain bytes: more than tables usually compress to."""
REQUEST_SECONDS = 0.2
"""Latency of a small request. Source: "Performance design patterns for Amazon S3", S3 User Guide: 100 to 200 ms."""
OPENED_AHEAD = 8
"""Objects that the job opens at once: PREFETCH_OBJECTS in glue/fanout_job/objects.py."""
READ_SECONDS = REQUEST_SECONDS / OPENED_AHEAD
"""Time per object of a change log, besides its bytes."""
CONVERT_SECONDS = READ_SECONDS + 3 * REQUEST_SECONDS
"""The same for a job that writes a file per object: two HEAD requests and a PUT follow the read."""


def lambda_seconds(job: str, objects: Iterable[tuple[str, int]]) -> float:
    """Estimate how long a run takes in Lambda.

    Parameters
    ----------
    job
        Name of the job.
    objects
        Key and stored bytes of each object.
    """
    each = _seconds_per_object(job)
    return sum(each + size / _bytes_per_second(job, key) for key, size in objects)


def pending_lambda_seconds(job: str, objects: int, size: int) -> float:
    """The same for objects of which only the number and the bytes are known."""
    return objects * _seconds_per_object(job) + size / _bytes_per_second(job, "")


def _seconds_per_object(job: str) -> float:
    return READ_SECONDS if job == "change_log" else CONVERT_SECONDS


def _bytes_per_second(job: str, key: str) -> float:
    """The rate for an object, by the format in its name. Your own job is taken for as slow as `change_log`."""
    if job != "standardize":
        return CHANGE_LOG_BYTES_PER_SECOND
    name = key.lower()
    plain = name.removesuffix(".gz")
    rate = CSV_BYTES_PER_SECOND / (1 if plain.endswith((".csv", ".tsv")) else SLOW_FORMAT)
    return rate / GZIP if plain != name else rate
