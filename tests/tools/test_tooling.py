"""The Makefile, the lock files and the settings are consistent."""

from __future__ import annotations

import ast
import hashlib
import io
import re
import shutil
import subprocess
import tokenize
import tomllib

import pytest

from tests.template.reading import ROOT
from tools.package import GLIBC_MINOR, PYTHON_VERSION

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
DEPLOYED = [ROOT / "functions" / "requirements.txt", ROOT / "glue" / "requirements.txt"]
LOCKS = [*sorted((ROOT / "requirements").glob("*.txt")), *DEPLOYED]
APACHE_2_0 = "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4"
"""SHA-256 of the license's text at https://choosealicense.com/licenses/apache-2.0/."""
NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}
PROMISED = set("help setup run up test lint build validate deploy invoke bench clean".split())  # noqa: SIM905


def phony_targets() -> set[str]:
    return set(" ".join(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)).split())


def pins(path: str) -> dict[str, str]:
    text = (ROOT / path).read_text(encoding="utf-8")
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [shutil.which("make") or "make", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_no_python_file_has_more_than_400_lines() -> None:
    folders = ("cli", "contract", "demo", "functions", "glue", "laptop_cloud", "tests", "tools")
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
    }

    assert len(lengths) > 400
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def lines_of_code(text: str) -> int:
    """Return the number of lines without blank lines, comments and docstrings."""
    docs = {
        number
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for number in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    code = {
        number
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in NO_CODE
        for number in range(token.start[0], token.end[0] + 1)
    }
    return len(code - docs)


def test_lines_of_code_are_those_that_do_something() -> None:
    assert (
        lines_of_code('"""A module."""\n\nX = """\na"""  # why\n\n# so\ndef f():\n    """Doc."""\n    return 1\n') == 4
    )


def test_the_product_has_at_most_22_000_lines_of_code() -> None:
    folders = ("cli", "contract", "demo", "functions", "glue", "laptop_cloud", "tools")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]

    assert len(files) > 150
    assert sum(lines_of_code(path.read_text(encoding="utf-8")) for path in files) <= 22_000


def test_help_lists_every_target() -> None:
    listed = re.findall(r"^\s+(?:\x1b\[1m)?([a-z-]+)", make("help").stdout, re.MULTILINE)

    assert phony_targets() >= PROMISED
    assert sorted(listed) == sorted(phony_targets())


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda p: p.name)
def test_every_make_command_in_the_docs_exists(page: object) -> None:
    text = page.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    named = set(re.findall(r"(?:^|[`$] ?|&& )make ([a-z][a-z-]+)", text, re.MULTILINE))

    assert named <= phony_targets()


def test_without_a_python_make_says_what_to_install(tmp_path: object) -> None:
    answer = make("VENV=" + str(tmp_path) + "/venv", "PYTHON=", "run")

    assert answer.returncode != 0
    assert "Python 3.11 to 3.14 is needed" in answer.stderr


def test_a_python_that_does_not_work_is_named(tmp_path: object) -> None:
    answer = make("VENV=" + str(tmp_path) + "/venv", "PYTHON=/bin/false", "run")

    assert answer.returncode != 0
    assert "/bin/false could not set up" in answer.stderr


def test_invoke_without_a_function_shows_an_example() -> None:
    answer = make("--assume-old=.venv/.run", "--assume-old=.venv/.dev", "--assume-old=.venv-sam/.installed", "invoke")

    assert answer.returncode != 0
    assert "Specify the function and the event: make invoke FUNCTION=" in answer.stderr


@pytest.mark.parametrize("lock", LOCKS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_locks_pin_with_hashes_and_have_no_index_address(lock: object) -> None:
    text = lock.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    wanted = re.findall(r"^[a-z].*$", text, re.MULTILINE)

    assert wanted
    assert all(re.match(r"^[a-z0-9._-]+(\[[^]]*\])?==\S+ .*\\$", line) for line in wanted)
    assert len(re.findall(r"== *[^\\]+\\\n +--hash=sha256:", text)) == len(wanted)
    assert not re.search(r"https?:|file:|--index-url|--extra-index-url|--find-links|--trusted-host", text)


@pytest.mark.parametrize("name", ["functions/requirements.txt", "glue/requirements.txt"])
def test_deployed_packages_have_the_tested_versions(name: str) -> None:
    deployed, tested = pins(name), pins("requirements/dev.txt")

    assert deployed
    assert deployed == {package: tested[package] for package in deployed}


def test_deployed_packages_are_locked_for_their_runtime() -> None:
    runtime = f"--python-version {PYTHON_VERSION} --python-platform x86_64-manylinux_2_{GLIBC_MINOR}"

    assert MAKEFILE.count(runtime) == 1
    for name in ("functions", "glue"):
        wanted = re.findall(r"^[a-zA-Z].*$", (ROOT / name / "requirements.in").read_text("utf-8"), re.MULTILINE)
        assert {word.lower() for word in wanted} <= set(pins(f"{name}/requirements.txt"))


def test_samconfig_has_the_three_environments() -> None:
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))

    for name, env in {"default": "dev", "dev": "dev", "prod": "prod"}.items():
        assert settings[name]["global"]["parameters"]["stack_name"] == f"glue-fanout-{env}"
        deploy = settings[name]["deploy"]["parameters"]
        assert f"Env={env}" in deploy["parameter_overrides"]
        assert deploy["fail_on_empty_changeset"] is False
        assert deploy["confirm_changeset"] is (env == "prod")
        assert settings[name]["validate"]["parameters"]["lint"] is True
        # SAM's own cache does not track the folders that are built into a package besides its CodeUri.
        assert settings[name]["build"]["parameters"]["cached"] is False


def test_the_license_is_the_complete_apache_license() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0
