"""Counts S3 event notifications as pending objects of their providers, which the next tick finds."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from fanout import bootstrap
from fanout.batches import batch_response
from fanout.bootstrap import logger, metrics
from fanout.errors import InvalidRequestError
from fanout.s3_events import UNREADABLE


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Count a batch of S3 event notifications.

    Parameters
    ----------
    event
        A batch of SQS messages, ``{"Records": [{"messageId", "body"}, …]}``. A body is an event notification of S3, or
        the same in an envelope of SNS or EventBridge.

    Returns
    -------
    ``{"batchItemFailures": [{"itemIdentifier"}, …]}``: the messages to redeliver.
    """
    try:
        messages = {record["messageId"]: record["body"] for record in event["Records"]}
    except (KeyError, TypeError):
        raise InvalidRequestError('not a batch of SQS messages, {"Records": […]}') from None
    counting = bootstrap.object_events()
    metrics.set_default_dimensions(env=counting.settings.env)
    again, counts = counting.count(messages)
    _measure(counts)
    logger.info("object events counted", extra={"events": dict(counts), "again": len(again)})
    return batch_response(sorted(again))


def _measure(counts: Counter[str]) -> None:
    metrics.add_metric("UnreadableEvents", "Count", sum(counts[reason] for reason in UNREADABLE))
