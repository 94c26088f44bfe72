"""Probes of moto's Lambda and Glue."""

from __future__ import annotations

from botocore.exceptions import ClientError

from tests.laptop_cloud.probes.base import REGION, ROLE, client, job


def _function(name: str) -> str:
    client("lambda").create_function(
        FunctionName=name, Runtime="python3.13", Role=ROLE, Handler="a.b", Code={"ZipFile": b"zip"}
    )
    return name


def lambda_functions_run() -> bool:
    answer = client("lambda").invoke(FunctionName=_function("f"), Payload=b'{"echo": 1}')
    return answer["Payload"].read() != b'{"echo": 1}'


def lambda_qualifiers() -> bool:
    functions, name = client("lambda"), _function("q")
    functions.invoke(FunctionName=name, Payload=b"{}")
    try:
        functions.invoke(FunctionName=name, Qualifier="no-such-alias", Payload=b"{}")
    except functions.exceptions.ResourceNotFoundException:
        return "the handler ran" in str(
            functions.invoke(FunctionName=name, Payload=b'{"qualifier": "x"}')["Payload"].read()
        )
    return False


def lambda_account_settings() -> bool:
    try:
        limit = client("lambda").get_account_settings()["AccountLimit"]
    except (ClientError, KeyError):
        return False
    return bool(limit["UnreservedConcurrentExecutions"] == 7)


def lambda_polls_queues() -> bool:
    sqs = client("sqs")
    queue = sqs.create_queue(QueueName="polled")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:123456789012:polled"
    client("lambda").create_event_source_mapping(FunctionName=_function("polls"), EventSourceArn=arn)
    try:
        sqs.send_message(QueueUrl=queue, MessageBody="x")
    except sqs.exceptions.ClientError:
        return False
    return "Messages" in sqs.receive_message(QueueUrl=queue)


def glue_job_runs_run() -> bool:
    glue = client("glue")
    run_id = glue.start_job_run(JobName=job("bad"))["JobRunId"]
    states = [glue.get_job_run(JobName="bad", RunId=run_id)["JobRun"]["JobRunState"] for _ in range(4)]
    return states[-1] == "FAILED"


def glue_batch_stop_job_run() -> bool:
    glue = client("glue")
    run_id = glue.start_job_run(JobName=job("long"))["JobRunId"]
    try:
        answer = glue.batch_stop_job_run(JobName="long", JobRunIds=[run_id])
    except glue.exceptions.ClientError:
        return False
    return bool([stopped["JobRunId"] for stopped in answer["SuccessfulSubmissions"]] == [run_id])


def glue_update_job() -> bool:
    glue, name = client("glue"), job("changed")
    try:
        glue.update_job(JobName=name, JobUpdate={"Role": "r", "DefaultArguments": {"--a": "new"}})
    except glue.exceptions.ClientError:
        return False
    return bool(glue.get_job(JobName=name)["Job"]["DefaultArguments"] == {"--a": "new"})
