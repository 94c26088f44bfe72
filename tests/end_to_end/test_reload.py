"""`make up` deploys an edited job, and the next run uses it, without a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from laptop_cloud.up import Reloader
from tests.harness.waiting import eventually

from .test_library_updates import Project

pytestmark = pytest.mark.slow
NEWER = 'return {"edited": change.keys}'


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """The project, which is reloaded as in `make up`, and whose runs are in Lambda."""
    made = Project(tmp_path, {})
    reloader = Reloader(made.cloud)
    reloader.start()
    yield made
    reloader.stop()
    made.cloud.stop()


def script_of_the_glue_job(project: Project) -> str:
    job = project.cloud.client("glue").get_job(JobName=project.cloud.outputs["GlueJobName"])["Job"]
    bucket, _, key = job["Command"]["ScriptLocation"].removeprefix("s3://").partition("/")
    return str(project.cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode())


def test_the_next_run_uses_an_edited_job(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert project.sent()["data"]["table"] == "orders"

    project.edit("change_log.py", "return change.data", NEWER)
    eventually(lambda: "deployed for the next run: change_log.py" in capsys.readouterr().out, "the deployment")

    assert project.sent()["data"] == {"edited": {"pk": "a", "sk": 7}}
    assert NEWER in script_of_the_glue_job(project)
