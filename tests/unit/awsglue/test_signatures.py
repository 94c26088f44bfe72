"""The stand-in's classes and functions are called as those of the official package, AWSGlueDataplanePython.

Both packages are called `awsglue`, so each is looked at in a process of its own.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STAND_IN = Path(__file__).parents[3] / "local/aws/glue_packages"
OFFICIAL = Path(str(importlib.metadata.distribution("AWSGlueDataplanePython").locate_file("")))
LOOK = """
import collections.abc, importlib, inspect, json, sys

def parameters(thing):
    found = []
    for p in inspect.signature(thing).parameters.values():
        default = p.default
        if isinstance(default, collections.abc.Mapping):
            default = dict(default)
        found.append([p.name, str(p.kind), "required" if default is p.empty else repr(default)])
    return found

found = {}
for name in ("context", "dynamicframe", "job", "utils"):
    module = importlib.import_module("awsglue." + name)
    assert sys.argv[1] in module.__file__, module.__file__
    for label, thing in vars(module).items():
        if getattr(thing, "__module__", None) != module.__name__ or label.startswith("_"):
            continue
        if inspect.isfunction(thing):
            found[f"{name}.{label}"] = parameters(thing)
        elif inspect.isclass(thing) and not issubclass(thing, Exception):
            for method, body in vars(thing).items():
                body = getattr(body, "__func__", body)
                if inspect.isfunction(body) and (method == "__init__" or not method.startswith("_")):
                    found[f"{name}.{label}.{method}"] = parameters(body)
print(json.dumps(found))
"""
ASK = """
import json, sys
from awsglue.utils import getResolvedOptions
print(json.dumps(getResolvedOptions(json.loads(sys.argv[1]), json.loads(sys.argv[2]))))
"""


def in_package(folder: Path, code: str, *arguments: str) -> Any:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_public_function_of_the_stand_in_has_the_official_signature() -> None:
    ours = in_package(STAND_IN, LOOK, str(STAND_IN))
    official = in_package(OFFICIAL, LOOK, str(OFFICIAL))

    assert "job.Job.commit" in ours
    assert len(ours) >= 10
    assert {name: official.get(name) for name in ours} == ours


@pytest.mark.parametrize(
    "argv",
    [
        ["s.py", "--JOB_NAME", "etl", "--provider", "a", "--job-bookmark-option", "job-bookmark-enable"],
        ["s.py", "--JOB_NAME=etl", "--provider=a", "--unknown", "1", "--TempDir", "s3://t/", "--JOB_RUN_ID", "jr_1"],
        ["s.py", "--JOB_NAME", "etl", "--provider", "a", "--encryption-type", "sse-s3", "--JOB_ID", "j"],
    ],
)
def test_arguments_are_resolved_as_by_the_official_package(argv: list[str]) -> None:
    asked = json.dumps(argv), json.dumps(["JOB_NAME", "provider"])

    assert in_package(STAND_IN, ASK, *asked) == in_package(OFFICIAL, ASK, *asked)
