"""New processes for Python programs, without the start of an interpreter and the imports that they share.

A separate process imports the modules once, and forks for each program. A fork has its own environment, arguments,
standard streams and exit status, as a newly started program has.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tests.harness.children import Child

ROOT = Path(__file__).parents[2]


class Forks:
    """Runs programs in forks of one process.

    Parameters
    ----------
    modules
        Modules that the process imports before it forks; they must not read the environment during import.
    cwd
        Folder in which the programs run; it comes first on their path.
    """

    def __init__(self, modules: Sequence[str], cwd: Path) -> None:
        command = [sys.executable, "-P", "-m", "tests.harness.forks", str(cwd), *modules]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._server = Child(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Forks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.kill()
        self._server.wait()

    def run(
        self, code: str, argv: Sequence[str] = (), env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end.

        Parameters
        ----------
        code
            Its source.
        argv
            Its arguments, without its name.
        env
            Its complete environment; defaults to this process's.
        stdin
            Its standard input.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        wanted = {"code": code, "argv": [*argv], "env": dict(os.environ if env is None else env), "stdin": stdin}
        self._server.stdin.write(json.dumps(wanted) + "\n")
        self._server.stdin.flush()
        done = json.loads(self._server.stdout.readline())
        return subprocess.CompletedProcess([*argv], done["status"], done["stdout"], done["stderr"])


def serve(folder: str, modules: Sequence[str]) -> None:
    """Import the modules, then run a program for each line."""
    os.chdir(folder)
    sys.path.insert(0, folder)
    for name in modules:
        importlib.import_module(name)
    for line in sys.stdin:
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
            wanted = json.loads(line)
            given.write(wanted["stdin"].encode())
            given.seek(0)
            pid = os.fork()
            if pid == 0:
                _become(wanted, given, said, errors)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            seen = {"status": status, "stdout": _text(said), "stderr": _text(errors)}
        print(json.dumps(seen), flush=True)


def _become(wanted: Mapping[str, Any], *streams: IO[bytes]) -> None:
    """Turn this process into the program, and exit with its status."""
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor, for the rest of the process
    os.environ.clear()
    os.environ.update(wanted["env"])
    sys.argv = ["-c", *wanted["argv"]]
    status = 0
    try:
        exec(wanted["code"], {"__name__": "__main__"})  # noqa: S102 - a program of the tests
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    # Any error of the program ends it.
    except BaseException:  # noqa: BLE001 - see above
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
