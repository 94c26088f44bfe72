"""*Claim Partition*: claims the provider for a run and plans the run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from fanout import bootstrap
from fanout.bootstrap import logger
from fanout.claims import ClaimRequest


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Claim the provider for the execution and plan its run.

    Parameters
    ----------
    event
        ``{"run_id", "execution_arn", "input": {"provider", "scheduled_at"?, "replay"?: {"from", "to"}}}``.

    Returns
    -------
    ``{"decision": "busy" | "nothing" | "lambda" | "glue", "reason", "provider", "run_id", "run_dir", "manifest",
    "objects", "bytes", "workers"}``; see `fanout.claims.Claim`.
    """
    request = ClaimRequest.from_event(event)
    logger.append_keys(provider=request.provider, run_id=request.run_id)
    claim = asdict(bootstrap.claims().claim(request))
    logger.info("claimed", extra={"claim": claim})
    return claim
