"""The producer: writes the records of a table's stream into the change log."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from fanout import bootstrap
from fanout.batches import batch_response
from fanout.bootstrap import logger, metrics
from fanout.production import Production


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Write a batch of the stream into the change log.

    Parameters
    ----------
    event
        A batch of a DynamoDB stream, or of a Kinesis data stream that a table feeds: ``{"Records": [...]}``.

    Returns
    -------
    ``{"batchItemFailures": [{"itemIdentifier": sequence number}]}``: from which to redeliver the batch; empty if
    the whole batch was written.
    """
    metrics.set_default_dimensions(env=bootstrap.producer_settings().env)
    done = bootstrap.producer().produce(event)
    _measure(done)
    logger.info("batch written" if done.failed is None else "batch will be redelivered", extra=asdict(done))
    return batch_response([] if done.failed is None else [done.failed])


def _measure(done: Production) -> None:
    metrics.add_metric("Unassigned", "Count", done.unassigned)
    metrics.add_metric("ForeignObjects", "Count", done.foreign)
