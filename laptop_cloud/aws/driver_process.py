"""A warm Spark driver: a process with one JVM that runs one Glue job script after another.

Requests are JSON lines on stdin: {"argv": [script, ...], "modules": [zip or folder, ...], "environment": {name: value},
"log": path}. Responses are JSON lines on the original stdout: {"ready": true} once, then {"error": null |
"Type: message"} for each run. Each run gets its own Spark session (temporary views, configuration) and imports only
from its own `modules`, as in a new JVM. The process ends when stdin is closed, even during a run, because its parent
has ended then.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import queue
import runpy
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from pyspark import SparkContext
from pyspark.sql import SparkSession
from pyspark.sql.pandas import functions


def main() -> None:
    """Start Spark, then run scripts until stdin is closed."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    arrow_without_pandas()
    base = SparkSession.builder.getOrCreate()
    # A script's spark.stop() must not end the JVM.
    SparkContext.stop = SparkSession.stop = _keep_running  # type: ignore[method-assign]
    _answer(answers, {"ready": True})
    while True:
        _answer(answers, {"error": _run(base, requests.get())})


def arrow_without_pandas() -> None:
    """Let `DataFrame.mapInArrow` run without pandas, which it requires but does not use.

    pandas and numpy are large. A script that uses them without their being installed fails at its own import.
    """
    if importlib.util.find_spec("pandas") is None:
        functions.require_minimum_pandas_version = lambda: None  # type: ignore[attr-defined]


def _read(requests: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    os._exit(0)  # the JVM ends too: it watches its own stdin, a pipe from this process


def _answer(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _keep_running(self: Any) -> None:
    return None


def _run(base: SparkSession, request: dict[str, Any]) -> str | None:
    """Run one script; returns None if it succeeded, or the run's ErrorMessage."""
    _log_to(request["log"])
    session = base.newSession()
    _make_current(session)
    sys.argv = list(request["argv"])
    error = None
    try:
        with _working_in(request["environment"], request["modules"], base.sparkContext):
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as leaving:
        if leaving.code not in (None, 0):
            error = f"SystemExit: {leaving.code}"
    # Any exception of the script fails its run, and must not end the driver.
    except BaseException as failure:  # noqa: BLE001 - see above
        traceback.print_exc()
        error = f"{type(failure).__name__}: {failure}"
    session.catalog.clearCache()
    sys.stdout.flush()
    sys.stderr.flush()
    return error


@contextmanager
def _working_in(environment: dict[str, str], modules: list[str], context: SparkContext) -> Iterator[None]:
    """Set variables and put zips first on the path, in this process and in the Python workers, inside the block.

    Spark reuses a Python worker, with all its imported modules, only for tasks with the same environment. A run with
    another PYTHONPATH therefore gets workers that have not imported an earlier run's modules.
    """
    before, variables, others = list(sys.path), dict(os.environ), dict(context.environment)
    sys.path[:0] = modules
    os.environ.update(environment)
    boto3.DEFAULT_SESSION = None  # it has the credentials of the previous run
    context.environment.update(environment)
    if modules:
        context.environment["PYTHONPATH"] = os.pathsep.join(modules)
    try:
        yield
    finally:
        for now, then in ((os.environ, variables), (context.environment, others)):
            now.clear()
            now.update(then)
        sys.path[:] = before
        for name in [name for name, module in sys.modules.items() if _is_from(module, modules)]:
            del sys.modules[name]
        for path in [path for path in sys.path_importer_cache if _is_in(path, modules)]:
            del sys.path_importer_cache[path]
        importlib.invalidate_caches()


def _is_from(module: Any, folders: list[str]) -> bool:
    paths = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    return any(_is_in(str(path), folders) for path in paths if path)


def _is_in(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for folder in folders)


def _log_to(path: str) -> None:
    log = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _make_current(session: SparkSession) -> None:
    """Make getOrCreate() in the script return this session, in Python and in the JVM."""
    SparkSession._instantiatedSession = session
    jvm: Any = session._jvm
    sessions = jvm.SparkSession
    sessions.setActiveSession(session._jsparkSession)
    sessions.setDefaultSession(session._jsparkSession)


if __name__ == "__main__":
    main()
