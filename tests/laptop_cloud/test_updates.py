"""A stack of the laptop cloud is deployed again: what changed is changed, in order, or nothing is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.errors import ResourceError

from .conftest import FIXTURES


class Deployed:
    """A cloud of the custom resources' template, and its files to change."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(FIXTURES / "custom_resources", folder / "project")
        self._template = folder / "project" / "template.yaml"
        self._code = folder / "project" / "functions" / "maker.py"
        self.cloud = LaptopCloud(self._template, workdir=folder / "work").start()

    def change(self, old: str, new: str) -> None:
        text = self._template.read_text()
        assert text.count(old) == 1
        self._template.write_text(text.replace(old, new))

    def change_code(self) -> None:
        self._code.write_text(self._code.read_text().replace("made-by-hand", "made-anew"))

    def event(self) -> dict[str, object]:
        """What the function of Thing was last asked."""
        return dict(json.loads(self.cloud.outputs["ThingEvent"]))


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Deployed]:
    project = Deployed(tmp_path)
    yield project
    project.cloud.stop()


def test_a_changed_property_is_an_update_that_names_the_resource_and_what_it_was(deployed: Deployed) -> None:
    deployed.change("      Count: 3\n", "      Count: 4\n")
    deployed.cloud.update()
    event = deployed.event()
    assert (event["RequestType"], event["PhysicalResourceId"]) == ("Update", "made-by-hand")
    assert {**event["OldResourceProperties"], "Count": "4"} == event["ResourceProperties"]  # type: ignore[dict-item]


def test_changed_code_is_a_new_version_that_the_alias_names_and_the_old_one_stays(deployed: Deployed) -> None:
    functions, name = deployed.cloud.client("lambda"), deployed.cloud.physical_id("Maker")
    first = deployed.cloud.outputs["Version"]
    deployed.change_code()
    deployed.cloud.update()
    assert deployed.cloud.outputs["Version"] == first.removesuffix(":1") + ":2"
    assert functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"] == "2"
    old, new = (functions.get_function(FunctionName=name, Qualifier=number)["Configuration"] for number in "12")
    assert old["CodeSha256"] != new["CodeSha256"]


def test_what_changed_before_the_failure_is_changed_back_by_an_update_of_its_own(deployed: Deployed) -> None:
    deployed.change("      Count: 3\n", "      Count: 4\n")
    deployed.change(
        "Properties: {ServiceToken: !Ref Maker.Alias,", "Properties: {ServiceToken: !Ref Maker.Alias, How: fail,"
    )
    with pytest.raises(ResourceError, match=r"ByAlias .*the bucket is not empty.*rolled back"):
        deployed.cloud.update()
    deployed.change("      Count: 4\n", "      Count: 3\n")
    deployed.change("Maker.Alias, How: fail,", "Maker.Alias,")
    deployed.cloud.update()  # which finds all as it was, and only reads the outputs again
    event = deployed.event()
    assert event["RequestType"] == "Update"
    assert event["ResourceProperties"]["Count"] == "3"  # type: ignore[index]
    assert event["OldResourceProperties"]["Count"] == "4"  # type: ignore[index]


def test_a_type_that_cannot_be_changed_here_is_refused_by_name(deployed: Deployed) -> None:
    deployed.change(
        'Undelivered: {Type: "AWS::SQS::Queue"}', "Undelivered: {Type: AWS::SQS::Queue, Properties: {DelaySeconds: 1}}"
    )
    with pytest.raises(ResourceError, match="Undelivered: the laptop cloud cannot change an AWS::SQS::Queue"):
        deployed.cloud.update()
