"""Lambda: what moto does differently from AWS, put right."""

from __future__ import annotations

from typing import Any

from moto.awslambda.models import EventSourceMapping, LambdaBackend
from moto.awslambda.responses import LambdaResponse
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.sqs.models import sqs_backends

from local.aws.repairs.hooks import hooks


def lambda_functions_run() -> None:
    """Stock: without Docker, Invoke answers with its own payload. AWS: it runs the handler."""

    def invoke(
        self: LambdaSimpleBackend,
        function_name: str,
        qualifier: str | None,
        body: Any,
        headers: Any,
        response_headers: dict[str, str],
    ) -> bytes:
        function = self.get_function(function_name, qualifier)
        sent = {str(name).lower(): value for name, value in dict(headers or {}).items()}
        kind = sent.get("x-amz-invocation-type", "RequestResponse")
        payload = body.encode() if isinstance(body, str) else body or b"{}"
        return hooks().invoke_function(function, payload, kind, response_headers)

    LambdaSimpleBackend.invoke = invoke


def lambda_qualifiers() -> None:
    """Stock: Invoke ignores its Qualifier, and looks for one in the event. AWS: it is the version or alias to run."""
    real_invoke = LambdaResponse.invoke

    def invoke(self: LambdaResponse) -> Any:
        self.querystring["qualifier"] = self.querystring.get("Qualifier") or ["$LATEST"]
        return real_invoke(self)

    LambdaResponse.invoke = invoke


def lambda_polls_queues() -> None:
    """Stock: SendMessage hands the queue's messages to the function before it answers. AWS: Lambda polls the queue."""
    real_create = LambdaBackend.create_event_source_mapping

    def create(self: LambdaBackend, spec: dict[str, Any]) -> EventSourceMapping:
        mapping = real_create(self, spec)
        for queue in sqs_backends[self.account_id][self.region_name].queues.values():
            queue.lambda_event_source_mappings.pop(mapping.function_arn, None)
        return mapping

    LambdaBackend.create_event_source_mapping = create
