"""Counts S3 event notifications as pending objects of their providers, which the next tick finds."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from fanout import bootstrap
from fanout.batches import batch_response
from fanout.bootstrap import logger
from fanout.errors import InvalidRequestError


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Count a batch of S3 event notifications.

    Parameters
    ----------
    event
        A batch of SQS messages, ``{"Records": [{"messageId", "body": a notification of S3}, …]}``.

    Returns
    -------
    ``{"batchItemFailures": [{"itemIdentifier"}, …]}``: the messages to redeliver.
    """
    try:
        messages = {record["messageId"]: record["body"] for record in event["Records"]}
    except (KeyError, TypeError):
        raise InvalidRequestError('not a batch of SQS messages, {"Records": […]}') from None
    again, counts = bootstrap.object_events().count(messages)
    logger.info("object events counted", extra={"events": dict(counts), "again": len(again)})
    return batch_response(sorted(again))
