"""The replacement has the signatures, and reads arguments, of the official package AWSGlueDataplanePython of Glue 6.0.

Both packages are called `awsglue`, so each is inspected in its own process. The official one installs only on Glue's
Python, 3.13. The behavior of its `Job` and `GlueContext` is in Glue's jars, which are not published.
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

STAND_IN = Path(__file__).parents[3] / "laptop_cloud/aws/glue_packages"
OFFICIAL = next(
    (Path(str(found.locate_file(""))) for found in importlib.metadata.distributions(name="AWSGlueDataplanePython")),
    Path("missing"),
)
pytestmark = pytest.mark.skipif(
    sys.version_info[:2] != (3, 13), reason="AWSGlueDataplanePython 6.0.0 installs on Python 3.13 only"
)
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
import argparse, json, sys
from awsglue.utils import GlueArgumentError, getResolvedOptions
answers = []
for argv, declared, options in json.loads(sys.argv[1]):
    try:
        answers.append(getResolvedOptions(["script.py", *argv], declared, **options))
    except (GlueArgumentError, RuntimeError, argparse.ArgumentError) as error:
        answers.append(type(error).__name__)
print(json.dumps(answers))
"""

PAUSED = ["--job-bookmark-option", "job-bookmark-pause"]
ENABLED = ["--job-bookmark-option", "job-bookmark-enable"]
FROM, TO = ["--job-bookmark-from", "jr_1"], ["--job-bookmark-to", "jr_2"]
WITH_ABBREVIATIONS = {"allow_abbrev": True}
ARGUMENTS: list[tuple[list[str], list[str], dict[str, bool]]] = [
    ([], [], {}),
    (["--JOB_NAME", "etl", "--provider", "a", *ENABLED], ["JOB_NAME", "provider"], {}),
    (["--JOB_NAME=etl", "--provider=a", "--unknown", "1", "--JOB_RUN_ID", "jr_1"], ["JOB_NAME", "provider"], {}),
    (["--JOB_NAME", "etl", "--encryption-type", "sse-s3", "--JOB_ID", "j"], ["JOB_NAME"], {}),
    (["--encryption-type", "sse-kms"], [], {}),
    (["--change-log-dir", "s3://b"], ["change-log-dir"], {}),
    (["--provider", "a", "--provider", "b"], ["provider"], {}),
    (["--provider"], ["provider"], {}),
    (["--provider", "--JOB_NAME", "etl"], ["provider"], {}),
    ([], ["provider"], {}),
    # Abbreviations, and a declared name that is a prefix of one of Glue's own.
    (["--prov", "a"], ["provider"], {}),
    (["--prov", "a"], ["provider"], WITH_ABBREVIATIONS),
    (["--job", "change_log", *ENABLED], ["job"], {}),
    (["--job", "change_log", *ENABLED], ["provider"], WITH_ABBREVIATIONS),
    (["--job-bookmark", "job-bookmark-enable"], [], {}),
    # Bookmarks.
    (["--job-bookmark-option", "on"], [], {}),
    (PAUSED, [], {}),
    ([*PAUSED, *FROM], [], {}),
    ([*PAUSED, *TO], [], {}),
    ([*PAUSED, *FROM, *TO], [], {}),
    ([*ENABLED, *FROM], [], {}),
    ([*ENABLED, *FROM, *TO], [], {}),
    ([*FROM, *TO], [], {}),
    *((["--continuation-option", f"continuation-{way}"], [], {}) for way in ("enabled", "readonly", "ignore", "no")),
    ([*ENABLED, "--continuation-option", "continuation-ignore"], [], {}),
    # Glue's own names, declared.
    (["--TempDir", "s3://t/"], ["TempDir"], {}),
    (["--RedshiftTempDir", "s3://t/"], [], {}),
    ([], ["TempDir", "RedshiftTempDir"], {}),
    *(([f"--{name}", "x"], [name], {}) for name in ("job-bookmark-option", "job-bookmark-from", "continuation-option")),
    *(([f"--{name}", "x"], [name], {}) for name in ("JOB_ID", "JOB_RUN_ID", "encryption-type", "enable-data-lineage")),
    (["--provider", "a"], ["provider", "provider"], {}),
]


def in_package(folder: Path, code: str, *arguments: str) -> Any:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_public_function_of_the_replacement_has_the_official_signature() -> None:
    ours = in_package(STAND_IN, LOOK, str(STAND_IN))
    official = in_package(OFFICIAL, LOOK, str(OFFICIAL))

    assert "job.Job.commit" in ours
    assert len(ours) >= 10
    assert {name: official.get(name) for name in ours} == ours


def test_arguments_are_resolved_like_the_official_package_does() -> None:
    """Each argument gives the same text or the same kind of error. No difference is known."""
    asked = json.dumps(ARGUMENTS)
    ours, official = in_package(STAND_IN, ASK, asked), in_package(OFFICIAL, ASK, asked)

    assert len(ours) == len(ARGUMENTS)
    assert [(case, o) for case, o, theirs in zip(ARGUMENTS, ours, official, strict=True) if o != theirs] == []
    assert {answer for answer in ours if isinstance(answer, str)} == {
        "GlueArgumentError",
        "RuntimeError",
        "ArgumentError",
    }
