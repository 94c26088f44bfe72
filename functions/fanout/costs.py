"""The cost of a run, from a table of unit prices. `tools/cost.py` computes yearly bills from the same table."""

from __future__ import annotations

import math

PRICES_AS_OF = "2026-11-29"
PRICES = {
    "glue_dpu_hour": 0.308,  # from Glue 6.0 on; 0.44 before
    "glue_minimum_seconds": 60,
    "lambda_gb_second": 0.0000166667,
    "lambda_request": 0.20 / 1e6,
    "step_functions_transition": 0.025 / 1e3,
    "scheduler_invocation": 1.0 / 1e6,
    "dynamodb_write": 0.625 / 1e6,  # of 1 KB
    "dynamodb_read": 0.125 / 1e6,  # of 4 KB, consistent; half of it otherwise
    "sqs_request": 0.40 / 1e6,  # of 64 KiB
    "s3_list_or_put": 0.005 / 1e3,
    "s3_get": 0.0004 / 1e3,
    "api_gateway_request": 3.50 / 1e6,
    "secret_month": 0.40,
    "secret_request": 0.05 / 1e4,
    "kms_key_month": 1.00,
    "kms_request": 0.03 / 1e4,
    "log_gb": 0.50,
    "metric_month": 0.30,
    "alarm_metric_month": 0.10,
    "dashboard_month": 3.00,
    "xray_trace": 5.0 / 1e6,
}
"""US dollars, us-east-1, on demand, without free tiers. Source: the services' price pages at `PRICES_AS_OF`."""

SQS_REQUEST_BYTES = 64 * 1024
SQS_BATCH = 10
_DPU = {"G.025X": 0.25, "G.1X": 1, "G.2X": 2, "G.4X": 4, "G.8X": 8}


def glue_dollars(seconds: float, workers: int, worker_type: str = "G.1X") -> float:
    """Cost of one Glue job run: DPU-hours, billed per second, at least one minute."""
    billed = max(math.ceil(seconds), PRICES["glue_minimum_seconds"])
    return billed / 3600 * workers * _DPU[worker_type] * PRICES["glue_dpu_hour"]


def lambda_dollars(seconds: float, memory_mb: int) -> float:
    """Cost of one Lambda invocation: GB-seconds, billed per millisecond, and the request."""
    return math.ceil(seconds * 1000) / 1000 * memory_mb / 1024 * PRICES["lambda_gb_second"] + PRICES["lambda_request"]


def queue_dollars(messages: int, mean_bytes: float = 1024, batch: int = SQS_BATCH) -> float:
    """Cost of sending messages in batches; SQS bills a request for each 64 KiB of a batch."""
    requests = math.ceil(messages / batch)
    return requests * max(1, math.ceil(mean_bytes * batch / SQS_REQUEST_BYTES)) * PRICES["sqs_request"]
