"""A function's package has the folders that a build would put into it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from laptop_cloud.stack.package import Package

TEMPLATE = {"Resources": {"F": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "functions/"}}}}


def names(root: Path) -> list[str]:
    package = Package(root)
    location = package.packaged(TEMPLATE)["Resources"]["F"]["Properties"]["CodeUri"]
    content = package.content(location)
    assert content is not None
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_folders_that_the_project_names_are_in_the_package_and_change_its_address(tmp_path: Path) -> None:
    for name in ("functions/work.py", "shared/__init__.py", "shared/__pycache__/x.pyc", "other/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert names(tmp_path) == ["work.py"]
    before = Package(tmp_path).packaged(TEMPLATE)

    (tmp_path / "pyproject.toml").write_text('[tool.laptop-cloud]\nshared = ["shared"]\n')
    assert names(tmp_path) == ["work.py", "shared/__init__.py"]
    with_shared = Package(tmp_path).packaged(TEMPLATE)
    (tmp_path / "shared" / "__init__.py").write_text("VALUE = 1\n")

    assert len({str(one) for one in (before, with_shared, Package(tmp_path).packaged(TEMPLATE))}) == 3
