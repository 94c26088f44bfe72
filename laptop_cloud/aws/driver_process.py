"""A warm Spark driver: a process with one JVM that runs one Glue job script after another.

One JSON request a line on stdin: {"argv": [script, ...], "modules": [zip or folder, ...],
"environment": {name: value}, "log": path}. One JSON answer
a line on the file descriptor that stdout was at the start: {"ready": true} once, then {"error": null | "Type: message"}
for each run. Each run gets a Spark session of its own (temporary views, configuration), and imports from its own
`modules` only, as if the JVM were new. The process ends, even in the middle of a run, when stdin is closed: whoever
started it is gone.
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
    # A script's spark.stop() must not take the JVM down.
    SparkContext.stop = SparkSession.stop = _keep_running  # type: ignore[method-assign]
    _answer(answers, {"ready": True})
    while True:
        _answer(answers, {"error": _run(base, requests.get())})


def arrow_without_pandas() -> None:
    """Let `DataFrame.mapInArrow` run where pandas is not installed: it asks for pandas and does not use it.

    pandas and numpy are a sixth of what `make run` would install. A script that uses pandas fails by its own import.
    """
    if importlib.util.find_spec("pandas") is None:
        functions.require_minimum_pandas_version = lambda: None  # type: ignore[attr-defined]


def _read(requests: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    os._exit(0)  # the JVM follows: it watches its own stdin, a pipe to this process


def _answer(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _keep_running(self: Any) -> None:
    return None


def _run(base: SparkSession, request: dict[str, Any]) -> str | None:
    """Run one script; None when it succeeded, else what Glue would show as the run's ErrorMessage."""
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
    # Whatever the script raises is the outcome of its run, and must not end the driver.
    except BaseException as failure:  # noqa: BLE001 - said above
        traceback.print_exc()
        error = f"{type(failure).__name__}: {failure}"
    session.catalog.clearCache()
    sys.stdout.flush()
    sys.stderr.flush()
    return error


@contextmanager
def _working_in(environment: dict[str, str], modules: list[str], context: SparkContext) -> Iterator[None]:
    """Set variables and put zips first on the path, here and in the Python workers, until the block is left.

    Spark keeps its Python workers for the next task, with all that they have imported, but never lends one to tasks
    that ask for another environment: another PYTHONPATH gets workers that know nothing of the earlier modules.
    """
    before, variables, others = list(sys.path), dict(os.environ), dict(context.environment)
    sys.path[:0] = modules
    os.environ.update(environment)
    boto3.DEFAULT_SESSION = None  # it would remember the credentials of an earlier run
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
        for name in [name for name, module in sys.modules.items() if _lies_in(module, modules)]:
            del sys.modules[name]
        for path in [path for path in sys.path_importer_cache if _below(path, modules)]:
            del sys.path_importer_cache[path]
        importlib.invalidate_caches()


def _lies_in(module: Any, folders: list[str]) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    return any(_below(str(place), folders) for place in places if place)


def _below(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for folder in folders)


def _log_to(path: str) -> None:
    log = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _make_current(session: SparkSession) -> None:
    """Let getOrCreate() in the script find this session, in Python and in the JVM."""
    SparkSession._instantiatedSession = session
    jvm: Any = session._jvm
    sessions = jvm.SparkSession
    sessions.setActiveSession(session._jsparkSession)
    sessions.setDefaultSession(session._jsparkSession)


if __name__ == "__main__":
    main()
