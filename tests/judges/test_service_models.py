"""AWS's service models judge what no boto3 client validates: the state machine, and the job's own requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import botocore.session
import pytest
from botocore.model import OperationModel
from botocore.validate import ParamValidator

import fanout.errors
from fanout.errors import FanoutError
from fanout_job.messages import Message
from fanout_job.targets import EventBusTarget, QueueTarget, Target, TopicTarget
from tests.template.reading import MACHINE, states_of, template_with
from tools.definition import definitions

INTEGRATIONS = {"glue:startJobRun.sync": ("glue", "StartJobRun"), "lambda:invoke": ("lambda", "Invoke")}
"""Resource of a task, without its ARN's beginning -> service and operation that Step Functions calls."""
GUIDE = "Step Functions Developer Guide, "
OF_STEP_FUNCTIONS = {
    "States.ALL": GUIDE + "Handling errors in Step Functions workflows",
    "States.Timeout": GUIDE + "Handling errors in Step Functions workflows",
    "Lambda.ClientExecutionTimeoutException": GUIDE + "Handle Lambda service exceptions",
    "Lambda.AWSLambdaException": GUIDE + "Handle Lambda service exceptions",
    "Lambda.SdkClientException": GUIDE + "Handle Lambda service exceptions",
    "Lambda.Unknown": GUIDE + "Handle Lambda service exceptions",
    "Glue.AWSGlueException": "AWS Knowledge Center, How do I resolve the Rate exceeded error in AWS Glue",
    "Sandbox.Timedout": "Lambda's errorType of a function that timed out: seek-oss/aws-codedeploy-hooks, changelog",
    "Runtime.ExitError": "Lambda's errorType of a process that exited: aws/aws-lambda-runtime-interface-emulator",
}
"""Names that no service model has -> source."""
SAMPLES: dict[str, Any] = {"NumberOfWorkers": 2}
"""Values for parameters that come from the state's input, where the model does not want a string."""


@pytest.fixture(scope="module")
def states() -> dict[str, dict[str, Any]]:
    """State name -> state."""
    return dict(states_of(definitions(template_with())[MACHINE]))


@cache
def operation(service: str, name: str) -> OperationModel:
    return botocore.session.get_session().get_service_model(service).operation_model(name)


def tasks(states: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], OperationModel]]:
    for name, state in states.items():
        if state["Type"] == "Task":
            yield name, state, operation(*INTEGRATIONS[state["Resource"].partition(":::")[2]])


def filled(parameters: dict[str, Any], top: bool = True) -> dict[str, Any]:
    """A state's parameters, with samples for those that come from its input."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        if name.endswith(".$"):
            found[name[:-2]] = SAMPLES.get(name[:-2], "sample") if top else "sample"
        else:
            found[name] = filled(value, top=False) if isinstance(value, dict) else value
    return found


def judged(model: OperationModel, parameters: dict[str, Any]) -> str:
    """The faults that the service's model finds in an operation's parameters."""
    return str(ParamValidator().validate(parameters, model.input_shape).generate_report())


def test_the_parameters_of_every_task_are_those_of_its_operation(states: dict[str, dict[str, Any]]) -> None:
    judgments = {}
    for name, state, model in tasks(states):
        parameters = filled(state["Parameters"])
        if model.name == "Invoke":
            parameters["Payload"] = json.dumps(parameters["Payload"])  # Step Functions takes an object
        assert set(parameters) <= set(model.input_shape.members), name
        judgments[name] = judged(model, parameters)

    assert len(judgments) == 5
    assert set(judgments.values()) == {""}


def test_a_wrong_parameter_is_noticed() -> None:
    report = judged(operation("glue", "StartJobRun"), {"JobName": 1, "NumberOfWorkers": "2"})

    assert "Invalid type for parameter JobName" in report
    assert "Invalid type for parameter NumberOfWorkers" in report


def test_every_error_that_is_retried_or_caught_exists(states: dict[str, dict[str, Any]]) -> None:
    classes = {name: value for name, value in vars(fanout.errors).items() if isinstance(value, type)}
    ours = {name for name, value in classes.items() if issubclass(value, FanoutError)}
    used = set()
    for name, state, model in tasks(states):
        known = {f"{model.service_model.service_id}.{shape.name}" for shape in model.error_shapes}
        for rule in [*state.get("Retry", ()), *state.get("Catch", ())]:
            for error in rule["ErrorEquals"]:
                assert error in known | ours | set(OF_STEP_FUNCTIONS), (name, error)
                used.add(error)

    assert set(OF_STEP_FUNCTIONS) <= used, "no state uses these names"


@pytest.mark.parametrize(
    "target",
    [
        QueueTarget("https://sqs.eu-west-1.amazonaws.com/1/changes", "acme"),
        QueueTarget("https://sqs.eu-west-1.amazonaws.com/1/changes.fifo", "acme"),
        TopicTarget("arn:aws:sns:eu-west-1:123456789012:changes", "acme"),
        TopicTarget("arn:aws:sns:eu-west-1:123456789012:changes.fifo", "acme"),
        EventBusTarget("arn:aws:events:eu-west-1:123456789012:event-bus/changes", "acme"),
    ],
    ids=["queue", "FIFO queue", "topic", "FIFO topic", "event bus"],
)
def test_the_requests_that_the_job_builds_itself_are_those_of_the_service(target: Target) -> None:
    batch = [Message(f"id-{n}", f'{{"n": {n}}}', 8, "dynamodb.insert", f"g{n}") for n in range(2)]
    headers, body = target.request(batch)
    if "X-Amz-Target" in headers:
        service, _, name = headers["X-Amz-Target"].partition(".")
        parameters = json.loads(body)
        model = operation(target.service, name)
        assert service == model.service_model.metadata["targetPrefix"]
        assert headers["Content-Type"] == f"application/x-amz-json-{model.service_model.metadata['jsonVersion']}"
    else:
        form = dict(parse_qsl(body.decode(), strict_parsing=True))
        model = operation(target.service, form.pop("Action"))
        assert form.pop("Version") == model.service_model.api_version
        parameters = from_form(form)

    assert set(parameters) <= set(model.input_shape.members)
    assert judged(model, parameters) == ""
    assert len(entries(parameters)) == 2


def entries(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The list of messages in a request."""
    (found,) = [value for value in parameters.values() if isinstance(value, list)]
    return found


def from_form(form: dict[str, str]) -> dict[str, Any]:
    """Parameters of a request in the query protocol with one list of structures."""
    parameters: dict[str, Any] = {}
    for name, value in form.items():
        first, member, rest = name.partition(".member.")
        if not member:
            parameters[name] = value
            continue
        number, _, field = rest.partition(".")
        structures = parameters.setdefault(first, [])
        if int(number) > len(structures):
            structures.append({})
        structures[int(number) - 1][field] = value
    return parameters
