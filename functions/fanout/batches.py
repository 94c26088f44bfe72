"""Partial batch responses, which both event sources of this project ask for (ReportBatchItemFailures)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def batch_response(redeliver: Iterable[str]) -> dict[str, Any]:
    """The answer to a batch.

    Parameters
    ----------
    redeliver
        Ids of SQS messages to deliver again; of a stream, the sequence number of the record from which on the batch is
        delivered again. Source: "Implementing partial batch responses", Lambda Developer Guide.
    """
    return {"batchItemFailures": [{"itemIdentifier": one} for one in redeliver]}
