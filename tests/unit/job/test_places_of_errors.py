"""An error names the line of the user's code, and a library's line only beside it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import pytest

from fanout_job.errors import place_of, unexpected

Code = Callable[..., Any]
USERS = ("/jobs/mine.py", "mine")
LIBRARY = ("/x/site-packages/lib.py", "lib")


def code(text: str, file: str = USERS[0], name: str = USERS[1], **names: Any) -> Code:
    """Return the function f of a module that is in no package."""
    module = {"__name__": name, **names}
    exec(compile(text, file, "exec"), module)  # noqa: S102
    made: Code = module["f"]
    return made


def raised(call: Code) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call()
    return caught.value


FAILING = "def f():\n    1 / 0"
CALLING = "def f():\n\n    return g()"


def test_an_error_of_the_users_code_names_its_last_line_only() -> None:
    inner = code(FAILING, "/jobs/inner.py")
    library = code(CALLING, *LIBRARY, g=inner)
    assert place_of(raised(inner)) == "inner.py:2"
    assert place_of(raised(code(CALLING, g=library))) == "inner.py:2"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        LIBRARY,
        ("/x/dist-packages/lib.py", "lib"),
        ("<string>", "lib"),
        ("/usr/lib/lib.py", "string"),
    ],
)
def test_an_error_of_a_library_names_its_line_and_the_users(file: str, name: str) -> None:
    library = code(FAILING, file, name)
    shown = file.rpartition("/")[2]
    assert place_of(raised(code(CALLING, g=library))) == f"{shown}:2, from mine.py:3"


def test_an_error_of_a_package_names_its_line_and_the_users() -> None:
    library = code(FAILING, "/x/lib.py", "lib", __package__="lib")
    assert place_of(raised(code(CALLING, g=library))) == "lib.py:2, from mine.py:3"


def test_an_error_of_a_result_names_the_function_that_returned_it() -> None:
    users = code("\n\ndef f(): ...")
    wrapped = functools.wraps(users)(code(FAILING, *LIBRARY))
    error = raised(code(FAILING, *LIBRARY))
    assert [place_of(error, made) for made in (users, wrapped, len, None)] == [
        "mine.py:3",
        "mine.py:3",
        "lib.py:2",
        "lib.py:2",
    ]


def test_an_error_that_was_never_raised_has_an_unknown_place() -> None:
    assert place_of(ValueError()) == "an unknown place"


@pytest.mark.parametrize("library", ["/x/pyspark/worker.py", "/x/site-packages/lib.py", "/usr/lib/python3.11/json.py"])
def test_an_error_of_a_spark_worker_names_the_users_last_line(library: str) -> None:
    kind = type("PythonException", (Exception,), {"__module__": "pyspark.errors.exceptions"})
    lines = [f'File "{library}", line 1', 'File "/tmp/first.py", line 5', 'File "/tmp/mine.py", line 7']

    assert place_of(kind("\n".join([*lines, f'File "{library}", line 9']))) == "pyspark, from mine.py:7"
    assert place_of(kind(lines[0])) == "an unknown place"


def test_a_defect_is_logged_with_its_places_but_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "fanout_job"):
        made = unexpected(raised(code("def f():\n    raise ValueError('secret-canary')")))

    assert str(made) == "ValueError at mine.py:2"
    [record] = caplog.records
    assert record.getMessage().startswith("unexpected ValueError\n")
    assert 'File "/jobs/mine.py", line 2, in f' in record.getMessage()
    assert "secret-canary" not in record.getMessage()
