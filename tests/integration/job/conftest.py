"""A moto server, a local Spark, and a harness that runs the job on either engine."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

from tests.harness.waiting import HANG_SECONDS
from tests.integration.job.harness import DATA, MODULES, Harness

STAND_INS = Path(__file__).parents[3] / "laptop_cloud" / "aws" / "glue_packages"


@pytest.fixture(scope="session")
def aws(no_aws_account: None) -> Iterator[str]:
    """Serve moto's API; every client of the session gets its address from AWS_ENDPOINT_URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
    yield os.environ["AWS_ENDPOINT_URL"]
    del os.environ["AWS_ENDPOINT_URL"]
    server.stop()


@pytest.fixture(scope="session")
def spark(aws: str, laptop_spark: None) -> Iterator[Any]:
    """Start Spark with two cores, once."""
    from pyspark.sql import SparkSession

    # For the driver and for Spark's workers: the jobs' library, and the laptop cloud's awsglue before the official one,
    # whose classes need Glue's jars.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(STAND_INS), MODULES])
    sys.path.insert(0, str(STAND_INS))
    for name in [name for name in sys.modules if name.partition(".")[0] == "awsglue"]:
        del sys.modules[name]
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


@pytest.fixture
def clean(aws: str) -> None:
    """Start each test with an empty cloud that has a data bucket."""
    requests.post(f"{aws}/moto-api/reset", timeout=HANG_SECONDS)
    boto3.client("s3").create_bucket(Bucket=DATA)


@pytest.fixture
def queue(clean: None) -> str:
    """A standard queue."""
    url: str = boto3.client("sqs").create_queue(QueueName=f"changes-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    return url


@pytest.fixture
def fifo_queue(clean: None) -> str:
    """A FIFO queue."""
    created = boto3.client("sqs").create_queue(
        QueueName=f"changes-{uuid.uuid4().hex[:8]}.fifo", Attributes={"FifoQueue": "true"}
    )
    url: str = created["QueueUrl"]
    return url


@pytest.fixture(params=["lambda", pytest.param("glue", marks=pytest.mark.spark)])
def engine(request: pytest.FixtureRequest) -> str:
    """Run the test on each engine."""
    name: str = request.param
    if name == "glue":
        request.getfixturevalue("spark")
    return name


@pytest.fixture
def job(engine: str, queue: str) -> Harness:
    """The job, sending to a standard queue."""
    return Harness(engine, queue)


@pytest.fixture
def job_in_order(engine: str, fifo_queue: str) -> Harness:
    """The job, sending to a FIFO queue."""
    return Harness(engine, fifo_queue)
