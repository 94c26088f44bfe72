"""Bugs in the template and in the state machine's definition, addressed by path."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from tests.mutants.record import Known
from tests.mutants.trials import ROOT, Trial

TEMPLATE, MACHINE = "template.yaml", "statemachine/change_log.asl.json"
FIRST_DEPLOY, SECURITY = "tests/template/test_first_deploy.py", "tests/template/test_security.py"
READ_AS_TEXT = (
    "test_first_deploy.py::test_no_partition_and_no_domain_is_hard_coded",
    "test_security.py::test_every_check_that_is_skipped_says_why",
)
"""Tests of the template's text, which a mutated template does not preserve."""
GONE = object()


@dataclass(frozen=True)
class Bug:
    """One bug in a document.

    Attributes
    ----------
    name
        Description of the bug.
    path
        Keys, joined by dots.
    value
        The wrong value; `GONE` to remove the key.
    tests
        The file that must notice it.
    file
        The document.
    """

    name: str
    path: str
    value: Any
    tests: str = FIRST_DEPLOY
    file: str = TEMPLATE


BUGS = (
    Bug("a table with a fixed name", "Resources.RunLedger.Properties.TableName", "fixed"),
    Bug(
        "a policy that names two queues",
        "Resources.ChangesQueuePolicy.Properties.PolicyDocument.Statement.0.Resource",
        [{"Fn::GetAtt": ["ChangesQueue", "Arn"]}, {"Fn::GetAtt": ["UndeliveredQueue", "Arn"]}],
    ),
    Bug("Lambda's own log level", "Globals.Function.LoggingConfig.ApplicationLogLevel", GONE),
    Bug("no worker type", "Globals.Function.Environment.Variables.GLUE_WORKER_TYPE", GONE),
    Bug("runs wait in Glue", "Resources.ChangeLogJob.Properties.JobRunQueuingEnabled", True),
    Bug("512 MB to sort in", "Resources.LambdaRunFunction.Properties.EphemeralStorage.Fn::If.1.Size", 512),
    Bug("method metrics", "Resources.ConfigApi.Properties.MethodSettings.0.MetricsEnabled", True),
    Bug("a second stage", "Globals.Api", {"TracingEnabled": True}),
    Bug(
        "a tick before the key is in the plan",
        "Resources.DispatchFunction.Properties.Events.Tick.Properties.Description",
        "Looks for due providers",
    ),
    Bug(
        "the role may read all of the data bucket",
        "Resources.ChangeLogJobRole.Properties.Policies.0.PolicyDocument.Statement.0.Resource",
        {"Fn::Sub": "${DataBucket.Arn}/*"},
    ),
    Bug("an alarm at creation", "Resources.NoTickAlarm.Properties.TreatMissingData", "breaching"),
    Bug("claim checks expire before their messages", "Parameters.KeepDays.MinValue", 14),
    Bug(
        "access logs in an account without a role",
        "Conditions.ApiAccessLogs",
        {"Fn::Or": [{"Condition": "BuiltInConfigApi"}, {"Fn::Equals": [{"Ref": "ApiLogsRole"}, "create"]}]},
    ),
    Bug(
        "the dispatcher may do anything to the ledger",
        "Resources.DispatchFunction.Properties.Policies.2.Statement.2.Action",
        "dynamodb:*",
        SECURITY,
    ),
    Bug("the ledger is deleted with the stack", "Resources.RunLedger.DeletionPolicy", "Delete", SECURITY),
    Bug(
        "one partition",
        "States.Start change_log Glue Job.Resource",
        "arn:aws:states:::glue:startJobRun.sync",
        file=MACHINE,
    ),
)


def trials() -> Iterator[Trial]:
    """A trial of each bug."""
    for bug in BUGS:
        text, plain = edited(bug), json.dumps(document(bug.file))
        code = hashlib.sha256(f"{text}{(ROOT / bug.tests).read_text(encoding='utf-8')}".encode()).hexdigest()[:12]
        skipped = [f"--deselect=tests/template/{test}" for test in READ_AS_TEXT] if bug.file == TEMPLATE else []
        known = Known(bug.file, bug.path, bug.name, code)
        yield Trial(known, lambda p=plain: p, lambda t=text: t, (bug.tests, *skipped))


@cache
def _parsed(file: str) -> Any:
    text = (ROOT / file).read_text(encoding="utf-8")
    return yaml_parse(text) if file == TEMPLATE else json.loads(text)


def document(file: str) -> Any:
    """Return a copy of the template or the definition."""
    return copy.deepcopy(_parsed(file))


def edited(bug: Bug) -> str:
    """The document with the bug, as JSON, which is YAML as well.

    Raises
    ------
    KeyError, IndexError
        The document has no such path.
    """
    whole = document(bug.file)
    *way, last = bug.path.split(".")
    place = whole
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if bug.value is GONE:
        del place[last]
    elif isinstance(place, list):
        place[int(last)] = bug.value
    else:
        place[last] = bug.value
    return json.dumps(whole)
