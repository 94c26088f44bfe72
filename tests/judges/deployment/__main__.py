"""`make judge-deploy`: deploys what `sam build` built to MiniStack, and checks the stack from creation to deletion.

MiniStack is an independent CloudFormation, Lambda, Step Functions, API Gateway, DynamoDB, S3, SQS, EventBridge
Scheduler and IAM. Template, packages and settings are those of a deployment to AWS; `tests.judges.deployment.server`
repairs where MiniStack differs from AWS.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import requests
import typer

from cli.commands.diff import read
from cli.deployment import Deployment, Where
from cli.errors import EXPECTED
from cli.registry import add
from fanout.errors import ConfigApiUnavailableError
from laptop_cloud.stack.template import Template
from tests.cloud.report import BrokenError
from tests.harness.children import run
from tests.harness.waiting import eventually
from tests.judges.deployment.cloud import LOG, ministack
from tests.template.reading import ROOT, TEMPLATE, written
from tools.package import PYTHON_VERSION

STACK = "glue-fanout-dev"
"""Of the environment `default` in samconfig.toml."""
KEPT = "kept"
"""A provider that outlives update, rollback and deletion."""
NOT_JUDGED = """\
Not judged:
  Glue: MiniStack marks job runs as succeeded without running them. `make test` runs the jobs on Spark.
  The schedule's ticks and the alarms: the dispatcher is invoked by the smoke test.
  A new key by ConfigApiKeyLength: MiniStack only reads the secret again if the template's text changes.
  TLS, the saved queries of CloudWatch Logs, and Profile=prod.
"""


class Judge:
    """The steps, in order; each returns what it found, or raises BrokenError.

    Parameters
    ----------
    sam
        The SAM CLI.
    folder
        For the packaged template.
    """

    def __init__(self, sam: Path, folder: Path) -> None:
        self._sam, self._packaged = sam, folder / "packaged.yaml"
        self._stack = Deployment.find(Where(STACK))
        self._former: dict[str, Any] = {}

    def steps(self) -> dict[str, Callable[[], str]]:
        """Name -> step."""
        return {
            "package": self.package,
            "create": self.create,
            "config API": self.config_api,
            "smoke test": self.smoke_test,
            "diff": self.diff,
            "update": self.update,
            "failing update": self.failing_update,
            "smoke test again": self.smoke_test,
            "delete": self.delete,
        }

    def package(self) -> str:
        """Upload the packages, once for all deployments."""
        self._run("package", "--resolve-s3", "--s3-prefix", STACK, "--output-template-file", str(self._packaged))
        return "the packages of `sam build` are in SAM's bucket, which is a stack of its own"

    def create(self) -> str:
        """The stack has the resources and outputs that the laptop cloud reads in the template."""
        self._deploy()
        wanted = Template.load(TEMPLATE, {"Env": "dev", "ScheduleState": "ENABLED"}, STACK)
        found = Counter(resource["ResourceType"] for resource in self._resources().values())
        expected = Counter(resource.type for resource in wanted.resources.values())
        self._equal("resources", dict(found), dict(expected))
        self._equal("providers", self._providers(), [])
        add(self._stack, KEPT, {"frequency": 60, "paused": True})
        return f"{found.total()} resources, {len(self._stack.outputs)} outputs"

    def config_api(self) -> str:
        """API Gateway refuses requests without the key."""
        for key in ({}, {"x-api-key": "wrong"}):
            answer = requests.get(self._stack.output("ConfigApiUrl"), headers=key, timeout=60)
            self._equal("status without the key", answer.status_code, 403)
        return "refuses a request without the key or with a wrong one"

    def smoke_test(self) -> str:
        """`make smoke` passes, and checks every part."""
        status, said = output_of(sys.executable, "-m", "tests.cloud", "--stack", STACK, "--strict")
        print(said, flush=True)
        if status:
            raise BrokenError(f"exit status {status}")
        return "passed"

    def diff(self) -> str:
        """`fanout diff` reads SAM's change sets: MessageOrder replaces two queues, and TickMinutes none."""
        for changed, before, lost in (
            ("MessageOrder=key", "none", ["ChangesDeadLetterQueue", "ChangesQueue"]),
            ("TickMinutes=5", "15", []),
        ):
            status, said = self._sam_deploy(changed, "--no-execute-changeset")
            if status:
                raise BrokenError(f"sam deploy failed:\n{said[-6000:]}")
            found, (name, _, after) = read(Deployment.find(Where(STACK)), None), changed.partition("=")
            self._equal(f"parameters of {changed}", dict(found.parameters), {name: (before, after)})
            self._equal(f"lost by {changed}", [one.resource for one in found.changes if one.effect], lost)
        return "MessageOrder=key would replace two queues, TickMinutes=5 nothing that has data"

    def update(self) -> str:
        """A parameter reaches the schedule and the functions, and data stays."""
        self._deploy("TickMinutes=5")
        self._stack = Deployment.find(Where(STACK))
        states = self._configuration()
        self._equal("schedule", states["schedule"]["ScheduleExpression"], "rate(5 minutes)")
        self._equal("TICK_MINUTES", self._stack.environment("DispatchFunctionName")["TICK_MINUTES"], "5")
        self._equal("providers", self._providers(), [KEPT])
        self._former = states
        return "TickMinutes reached schedule and dispatcher; the providers are the same"

    def failing_update(self) -> str:
        """An update that the custom resource refuses changes nothing."""
        status, _ = self._sam_deploy("TickMinutes=10", "Job=no_such_script")
        if not status:
            raise BrokenError("SAM reports success")
        (stack,) = self._stack.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        self._equal("status of the stack", stack["StackStatus"], "UPDATE_ROLLBACK_COMPLETE")
        if not any("there is no glue/no_such_script.py" in reason for reason in self._reasons()):
            raise BrokenError(f"the reason is missing in the stack's events: {self._reasons()}")
        self._equal("configuration after the rollback", self._configuration(), self._former)
        self._equal("providers", self._providers(), [KEPT])
        return "Job=no_such_script was refused and rolled back; the configuration is that before the update"

    def delete(self) -> str:
        """Everything is deleted but what holds data."""
        resources, stack = self._resources(), self._stack
        (named,) = stack.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        self._run("delete", "--stack-name", STACK, "--no-prompts", "--region", str(os.environ["AWS_REGION"]))
        events = stack.client("cloudformation").get_paginator("describe_stack_events")
        found = [event for page in events.paginate(StackName=named["StackId"]) for event in page["StackEvents"]]
        last = {event["LogicalResourceId"]: event["ResourceStatus"] for event in reversed(found)}
        self._equal("status of the stack", last.pop(STACK), "DELETE_COMPLETE")
        retained = {name for name, one in written()["Resources"].items() if "Retain" in one.get("DeletionPolicy", "")}
        retained &= resources.keys()
        skipped = {name for name, status in last.items() if status == "DELETE_SKIPPED"}
        skipped = {
            name for name in skipped if not name.startswith("LibraryFunctionVersion")
        }  # by SAM; its function goes
        self._equal("retained", skipped, retained)
        self._equal("functions", stack.client("lambda").list_functions()["Functions"], [])
        table = resources["Providers"]["PhysicalResourceId"]
        item = stack.client("dynamodb").get_item(TableName=table, Key={"provider": {"S": KEPT}})
        self._equal("retained provider", item.get("Item", {}).get("provider"), {"S": KEPT})
        return f"retained, with data: {', '.join(sorted(retained))}"

    def _deploy(self, *parameters: str) -> None:
        status, said = self._sam_deploy(*parameters)
        if status:
            raise BrokenError(f"sam deploy failed:\n{said[-6000:]}")

    def _sam_deploy(self, *parameters: str) -> tuple[int, str]:
        settings: list[str | Path] = ["--template-file", self._packaged, "--config-file", ROOT / "samconfig.toml"]
        if parameters:  # they replace those of samconfig.toml
            settings += ["--parameter-overrides", "Env=dev", "ScheduleState=ENABLED", *parameters]
        return output_of(self._sam, "deploy", *settings)

    def _run(self, *arguments: str) -> None:
        status, said = output_of(self._sam, *arguments)
        if status:
            raise BrokenError(f"sam {arguments[0]} failed:\n{said[-6000:]}")

    def _providers(self) -> list[str]:
        """Return the providers; on a busy machine, a function's first answer takes longer than one request waits."""

        def answer() -> list[list[str]]:
            with suppress(ConfigApiUnavailableError):
                return [list(self._stack.config_api.entries())]
            return []

        return eventually(answer, "the config API's answer")[0]

    def _resources(self) -> dict[str, dict[str, Any]]:
        """Logical id -> resource of the stack."""
        pages = self._stack.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
        return {one["LogicalResourceId"]: one for page in pages for one in page["StackResourceSummaries"]}

    def _configuration(self) -> dict[str, Any]:
        """Return the ids of all resources, and the settings of those that an update changes."""
        clients, resources = self._stack.client, self._resources()
        functions = {
            name: clients("lambda").get_function_configuration(FunctionName=one["PhysicalResourceId"])
            for name, one in resources.items()
            if one["ResourceType"] == "AWS::Lambda::Function"
        }
        machine, bucket = self._stack.output("StateMachineArn"), self._stack.data_bucket
        return {
            "resources": {name: one["PhysicalResourceId"] for name, one in resources.items()},
            "functions": {
                name: [one[key] for key in ("Handler", "Timeout", "MemorySize", "CodeSha256", "Environment")]
                for name, one in functions.items()
            },
            "schedule": picked(
                clients("scheduler").get_schedule(Name=self._stack.output("ScheduleName")),
                "ScheduleExpression",
                "State",
            ),
            "machine": clients("stepfunctions").describe_state_machine(stateMachineArn=machine)["definition"],
            "job": picked(
                clients("glue").get_job(JobName=self._stack.output("GlueJobName"))["Job"], "Command", "DefaultArguments"
            ),
            "events": [
                picked(one, "QueueArn", "Events", "Filter")  # not the id, which each update makes
                for one in clients("s3").get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
            ],
        }

    def _reasons(self) -> list[str]:
        events = self._stack.client("cloudformation").describe_stack_events(StackName=STACK)["StackEvents"]
        return [event["ResourceStatusReason"] for event in events if event.get("ResourceStatusReason")]

    @staticmethod
    def _equal(what: str, found: object, wanted: object) -> None:
        if found != wanted:
            raise BrokenError(f"{what}: {difference(found, wanted)}")


def output_of(*command: str | Path) -> tuple[int, str]:
    """Run a command to its end; return its status and what it printed."""
    done = run(command, cwd=ROOT, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def picked(found: dict[str, Any], *names: str) -> dict[str, Any]:
    """Some of the fields of an answer."""
    return {name: found.get(name) for name in names}


def difference(found: object, wanted: object) -> str:
    """Describe where two values differ, for values that are too long to be read."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        names = [name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)]
        return "; ".join(f"{name}: {difference(found.get(name), wanted.get(name))}" for name in sorted(map(str, names)))
    return f"{found!r} instead of {wanted!r}"


def main(
    sam: Annotated[Path, typer.Option(help="The SAM CLI.")],
    python: Annotated[Path, typer.Option(help="The Python in which MiniStack is installed.")],
) -> None:
    """Run the steps until one fails; exit with 1 then."""
    here = (f"{sys.version_info.major}.{sys.version_info.minor}", platform.machine())
    if here != (PYTHON_VERSION, "x86_64"):
        print(f"Not judged: the packages need Python {PYTHON_VERSION} on x86_64, this is Python {here[0]} on {here[1]}")
        return
    with tempfile.TemporaryDirectory() as name, ministack(python.absolute(), Path(name)) as environment:
        for variable in os.environ.keys() - environment.keys():
            del os.environ[variable]
        os.environ.update(environment)
        judge = Judge(sam.absolute(), Path(name))
        for part, step in judge.steps().items():
            print(f"{part} …", flush=True)
            try:
                print(f"{part}: ok, {step()}", flush=True)
            except (BrokenError, *EXPECTED) as error:
                log = (Path(name) / LOG).read_text(errors="replace")
                print(f"{part}: FAILED, {error}\n\nThe end of MiniStack's log:\n{log[-6000:]}", flush=True)
                sys.exit(1)
    print(NOT_JUDGED, end="")


if __name__ == "__main__":
    typer.run(main)
