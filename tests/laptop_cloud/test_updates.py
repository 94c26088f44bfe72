"""An update of a stack changes the resources that differ, in order, or is rolled back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.errors import ResourceError
from laptop_cloud.up import Reloader
from tests.harness.waiting import eventually

from .conftest import FIXTURES


class Deployed:
    """A cloud of a copy of the custom resources' template, whose files can be changed."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(FIXTURES / "custom_resources", folder / "project")
        self._template = folder / "project" / "template.yaml"
        self._code = folder / "project" / "functions" / "maker.py"
        self.cloud = LaptopCloud(self._template, workdir=folder / "work").start()

    def change(self, old: str, new: str) -> None:
        text = self._template.read_text()
        assert text.count(old) == 1
        self._template.write_text(text.replace(old, new))

    def change_code(self, old: str = "made-by-hand", new: str = "made-anew") -> None:
        unfinished = self._code.with_name(".unfinished")
        unfinished.write_text(self._code.read_text().replace(old, new))
        unfinished.replace(self._code)

    def event(self) -> dict[str, object]:
        """Return the last event of the function of Thing."""
        return dict(json.loads(self.cloud.outputs["ThingEvent"]))


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Deployed]:
    project = Deployed(tmp_path)
    yield project
    project.cloud.stop()


def test_the_update_of_a_changed_property_has_the_physical_id_and_the_old_properties(deployed: Deployed) -> None:
    deployed.change("      Count: 3\n", "      Count: 4\n")
    deployed.cloud.update()
    event = deployed.event()
    assert (event["RequestType"], event["PhysicalResourceId"]) == ("Update", "made-by-hand")
    assert {**event["OldResourceProperties"], "Count": "4"} == event["ResourceProperties"]  # type: ignore[dict-item]


def test_changed_code_is_published_as_a_new_version_under_the_same_alias(deployed: Deployed) -> None:
    functions, name = deployed.cloud.client("lambda"), deployed.cloud.physical_id("Maker")
    first = deployed.cloud.outputs["Version"]
    deployed.change_code()
    deployed.cloud.update()
    assert deployed.cloud.outputs["Version"] == first.removesuffix(":1") + ":2"
    assert functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"] == "2"
    old, new = (functions.get_function(FunctionName=name, Qualifier=number)["Configuration"] for number in "12")
    assert old["CodeSha256"] != new["CodeSha256"]


def test_changed_code_is_deployed_once_and_a_change_that_is_refused_too(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    first, printed = deployed.cloud.outputs["Version"], list[str]()
    reloader = Reloader(deployed.cloud, pause=0.01)
    reloader.start()

    def says(text: str) -> bool:
        printed.append(capsys.readouterr().out)
        return text in "".join(printed)

    deployed.change_code()
    eventually(lambda: says("changed and deployed for the next run: maker.py\n"), "the deployment")
    assert deployed.cloud.outputs["Version"] == first.removesuffix(":1") + ":2"

    deployed.change('Undelivered: {Type: "AWS::SQS::Queue"}', 'Undelivered: {Type: "AWS::No::Such"}')
    deployed.change_code("made-anew", "made-again")
    eventually(lambda: says("changed, but not deployed: maker.py: Undelivered: "), "the refusal")
    reloader.stop()
    assert "".join(printed).count("changed") == 2


def test_a_failed_update_is_rolled_back_by_further_updates(deployed: Deployed) -> None:
    deployed.change("      Count: 3\n", "      Count: 4\n")
    deployed.change(
        "Properties: {ServiceToken: !Ref Maker.Alias,", "Properties: {ServiceToken: !Ref Maker.Alias, How: fail,"
    )
    with pytest.raises(ResourceError, match=r"ByAlias .*the bucket is not empty.*rolled back"):
        deployed.cloud.update()
    deployed.change("      Count: 4\n", "      Count: 3\n")
    deployed.change("Maker.Alias, How: fail,", "Maker.Alias,")
    deployed.cloud.update()  # changes nothing, and only reads the outputs again
    event = deployed.event()
    assert event["RequestType"] == "Update"
    assert event["ResourceProperties"]["Count"] == "3"  # type: ignore[index]
    assert event["OldResourceProperties"]["Count"] == "4"  # type: ignore[index]


def test_the_update_of_a_type_that_cannot_be_updated_is_rejected(deployed: Deployed) -> None:
    deployed.change(
        'Undelivered: {Type: "AWS::SQS::Queue"}', "Undelivered: {Type: AWS::SQS::Queue, Properties: {DelaySeconds: 1}}"
    )
    with pytest.raises(ResourceError, match="Undelivered: the laptop cloud cannot update an existing AWS::SQS::Queue"):
        deployed.cloud.update()
