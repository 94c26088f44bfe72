"""Partial batch responses (ReportBatchItemFailures), for both event sources of this project."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def batch_response(redeliver: Iterable[str]) -> dict[str, Any]:
    """The answer to a batch.

    Parameters
    ----------
    redeliver
        Ids of the SQS messages to redeliver; for a stream, the sequence number of the first record to redeliver.
        Source: "Implementing partial batch responses", Lambda Developer Guide.
    """
    return {"batchItemFailures": [{"itemIdentifier": one} for one in redeliver]}
