"""Building a Lambda package: its content, and the errors of a failed build.

The package index is a folder with one wheel, except in the tests that `make validate` runs.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from laptop_cloud.stack.package import shared_folders
from tests.template.reading import ROOT, written
from tools import package

UV = ROOT / ".uv" / "bin" / "uv"
BASICS = ("sh", "dirname", "env")
BASE_PYTHON = Path(getattr(sys, "_base_executable", sys.executable))
"""The Python from which the environment was created. It may have pip; the environment, which uv created, has none."""

pytestmark = pytest.mark.slow

Build = Callable[..., subprocess.CompletedProcess[str]]


def wheel(folder: Path) -> str:
    """Make a wheel with a module and a command; its SHA-256."""
    made = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("tiny/__init__.py", "VALUE = 1\n")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/entry_points.txt", "[console_scripts]\ntiny = tiny:main\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    return hashlib.sha256(made.read_bytes()).hexdigest()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one function, a shared folder, and a lock that names the wheel. Its path contains a space."""
    root = tmp_path / "a project"
    for name in ("package", "package.py", "find-python"):
        (root / "tools").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tools" / name, root / "tools" / name)
    for name in ("work.py", "part/__init__.py", "part/__pycache__/x.pyc", "Makefile", "requirements.in", ".hidden"):
        path = root / "functions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (root / "shared").mkdir()
    (root / "shared" / "__init__.py").write_text("")
    (root / "index").mkdir()
    write_lock(root, wheel(root / "index"))
    return root


def write_lock(root: Path, digest: str) -> None:
    (root / "functions" / "requirements.txt").write_text(f"tiny==1.0 \\\n    --hash=sha256:{digest}\n")


@pytest.fixture(params=["uv", "pip"])
def build(request: pytest.FixtureRequest, project: Path, tmp_path: Path) -> Build:
    """Build the project's package with one of the installers, without network access."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name in BASICS:
        (binaries / name).symlink_to(str(shutil.which(name)))
    if request.param == "uv":
        (binaries / "uv").symlink_to(UV)
    elif subprocess.run([BASE_PYTHON, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"{BASE_PYTHON} has no pip")
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "index", "UV_OFFLINE": "1", "UV_FIND_LINKS": "index"}
    environment = {"PATH": str(binaries), "HOME": str(tmp_path), "PYTHON": str(BASE_PYTHON), **offline}

    def run(*sources: str, lock: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        into = project / "built"
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir()
        command = [project / "tools" / "package", into, *(sources or ("functions",))]
        command += ["--lock", "functions/requirements.txt"] if lock else []
        return subprocess.run(
            command, env=environment | variables, capture_output=True, text=True, check=False, cwd=tmp_path
        )

    return run


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_package_has_its_sources_and_the_locked_packages_and_no_file_of_the_build_machine(
    project: Path, build: Build
) -> None:
    done = build("functions", "shared")

    assert done.returncode == 0, done.stderr
    built = files(project / "built")
    assert sorted(built) == [
        "part/__init__.py",
        "shared/__init__.py",
        *(f"tiny-1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "entry_points.txt")),
        "tiny/__init__.py",
        "work.py",
    ]
    assert built["tiny/__init__.py"] == b"VALUE = 1\n"


def test_without_a_lock_a_package_has_only_its_sources(project: Path, build: Build) -> None:
    assert build(lock=False).returncode == 0
    assert sorted(files(project / "built")) == ["part/__init__.py", "work.py"]


def test_a_package_with_another_hash_fails_the_build_and_is_named(project: Path, build: Build) -> None:
    write_lock(project, "0" * 64)

    done = build()

    assert done.returncode != 0
    assert "error: functions/requirements.txt could not be installed. A package is not the one that" in done.stderr
    assert "tiny==1.0" in done.stderr
    assert "make lock" in done.stderr


def test_a_requirement_without_a_hash_fails_the_build(project: Path, build: Build) -> None:
    (project / "functions" / "requirements.txt").write_text("tiny==1.0\n")

    done = build()

    assert done.returncode != 0
    assert "tiny" in done.stderr


def test_without_an_index_the_build_fails_and_names_the_index_it_needs(project: Path, build: Build) -> None:
    (project / "index" / "tiny-1.0-py3-none-any.whl").unlink()

    done = build()

    assert done.returncode != 0
    assert "functions/requirements.txt could not be installed. It needs PyPI, or the index that" in done.stderr


def test_a_lock_is_installed_once(project: Path, build: Build) -> None:
    assert build().returncode == 0
    shutil.rmtree(project / "index")

    again = build()

    assert again.returncode == 0, again.stderr
    assert (project / "built" / "tiny" / "__init__.py").read_text() == "VALUE = 1\n"


def test_a_changed_lock_is_installed_again(project: Path, build: Build) -> None:
    assert build().returncode == 0
    write_lock(project, "0" * 64)

    assert build().returncode != 0


def test_a_change_of_a_built_package_is_not_in_the_next_one(project: Path, build: Build) -> None:
    assert build().returncode == 0
    (project / "built" / "tiny" / "__init__.py").write_text("VALUE = 2\n")
    (project / "built" / "work.py").write_text("changed")

    assert build().returncode == 0
    assert (project / "built" / "tiny" / "__init__.py").read_text() == "VALUE = 1\n"
    assert (project / "functions" / "work.py").read_text() == "work.py"


def test_a_source_with_the_name_of_a_dependency_is_refused(project: Path, build: Build) -> None:
    (project / "functions" / "tiny").mkdir()

    done = build()

    assert done.returncode != 0
    assert "functions/tiny has the name of a package that" in done.stderr


def test_without_a_python_the_build_says_what_to_install(project: Path, build: Build) -> None:
    done = build(PYTHON="", PYENV_ROOT=str(project))

    assert done.returncode != 0
    assert "sam build needs Python 3.11 or newer and found none on PATH" in done.stderr


def test_without_an_installer_the_build_names_those_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(package, "ROOT", tmp_path)
    monkeypatch.setattr(package, "CACHE", tmp_path)
    monkeypatch.setattr(package.shutil, "which", lambda name: None)
    monkeypatch.setattr(package.importlib.util, "find_spec", lambda name: None)
    lock = tmp_path / "requirements.txt"
    lock.write_text("")

    with pytest.raises(package.PackageError, match="has no pip, and there is no uv. Install one of them"):
        package.build(tmp_path / "built", [tmp_path], lock)


def test_packages_are_built_for_the_runtime_of_the_template() -> None:
    common = written()["Globals"]["Function"]

    assert common["Runtime"] == f"python{package.PYTHON_VERSION}"
    assert common["Architectures"] == ["x86_64"]


def test_sam_builds_each_function_with_its_makefile() -> None:
    functions = {i: r for i, r in written()["Resources"].items() if r["Type"] == "AWS::Serverless::Function"}

    assert {i: r.get("Metadata") for i, r in functions.items()} == {i: {"BuildMethod": "makefile"} for i in functions}


def test_both_makefiles_build_what_the_laptop_cloud_puts_into_every_package() -> None:
    for name in ("functions", "glue"):
        recipes = re.findall(r"^\t@(.*)$", (ROOT / name / "Makefile").read_text(), re.MULTILINE)
        sources = [recipe.partition('"$(ARTIFACTS_DIR)" ')[2].partition(" --lock")[0].split() for recipe in recipes]

        assert sources == [[name, *shared_folders(ROOT)]] * len(recipes)
        assert recipes


HANDLERS = {
    "DispatchFunction": "dispatch",
    "ClaimFunction": "claim",
    "UpdateStatusFunction": "update_status",
    "ConfigApiFunction": "config_api",
    "ProducerFunction": "producer",
    "LambdaRunFunction": "change_log, standardize, fanout_job.spark, pyarrow.parquet",
    "LibraryFunction": "library, contract.manifest",
}
IMPORTED = """
import sys
import {modules}
for name in ("pydantic_core", "aiohttp", "orjson", "pyarrow", "yaml"):
    if name in sys.modules:
        print(name, sys.modules[name].__file__)
"""


def pythons() -> dict[str, Path]:
    """Version -> the interpreters of this machine that the project supports."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = {}
    for version in ("3.11", "3.12", "3.13", "3.14"):
        named = shutil.which(f"python{version}")
        for path in [*([Path(named)] if named else []), *versions.glob(f"{version}.*/bin/python")]:
            asked = [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"]
            answer = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
            if answer[:1] == [version]:
                found.setdefault(version, Path(answer[1]))
    return found


def sam_build(project: Path, python: Path, binaries: Path) -> dict[str, dict[str, bytes]]:
    """Build with the user's command; PATH has one Python, make, and the tools that make and shell scripts need."""
    binaries.mkdir()
    for name in (*BASICS, "make"):
        (binaries / name).symlink_to(str(shutil.which(name)))
    (binaries / "python3").symlink_to(python)
    for name in ("contract", "functions", "glue", "statemachine", "tools"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / name, project / name)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON", "VIRTUAL"))}
    mine = {"PATH": str(binaries), "AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"}
    state = {"__SAM_CLI_APP_DIR": str(ROOT / ".venv-sam" / "state")}
    sam = [ROOT / ".venv-sam" / "bin" / "sam", "build"]
    done = subprocess.run(sam, cwd=project, env=kept | mine | state, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: files(project / ".aws-sam" / "build" / name) for name in HANDLERS}


def imports(package_folder: Path, modules: str) -> None:
    """Import a package's modules; compiled modules must be loaded from the package."""
    environment = {"PYTHONPATH": str(package_folder)}
    command = [sys.executable, "-c", IMPORTED.format(modules=modules)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        module, _, path = line.partition(" ")
        assert Path(path).is_relative_to(package_folder), (module, path)


@pytest.mark.network
def test_sam_builds_the_same_packages_from_each_python_and_python_3_13_imports_them(tmp_path: Path) -> None:
    found = pythons()

    built = {v: sam_build(tmp_path / f"on {v}", path, tmp_path / f"bin-{v}") for v, path in found.items()}

    assert built
    version, first = next(iter(built.items()))
    for other, packages in built.items():
        for name, contents in packages.items():
            assert sorted(contents) == sorted(first[name]), (other, name)
            assert [path for path in contents if contents[path] != first[name][path]] == [], (other, name)
    if sys.version_info[:2] == (3, 13):
        for name, modules in HANDLERS.items():
            imports(tmp_path / f"on {version}" / ".aws-sam" / "build" / name, modules)
