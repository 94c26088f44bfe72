"""Package the template into a bucket on this machine and look at what arrived there.

`sam package` uploads the Glue script, the state machine's definition and one archive per function, and
writes a template that points to them. A path that it does not know about would stay a path of this machine in
that template, and the deployed stack would not run. So this starts a local S3 (moto), packages into
it, and compares what the packaged template points to with the files of this repository, byte for byte.

    python -m tools.check_package --sam .venv-sam/bin/sam
"""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import boto3
import typer
from samtranslator.yaml_helper import yaml_parse

from laptop_cloud.stack.package import shared_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "packages"
MOST_UNPACKED_BYTES = 250 * 2**20
"""Limit of a function with its layers. Source: "Lambda quotas", AWS Lambda Developer Guide."""
REGION = "us-east-1"


class PackageError(Exception):
    """The package in the bucket differs from this repository."""


def package(sam: Path, template: Path, endpoint: str) -> dict[str, Any]:
    """Run `sam package` against the S3 at `endpoint`; returns the packaged template.

    Raises
    ------
    PackageError
        `sam package` failed; the message has its output.
    """
    with tempfile.TemporaryDirectory() as folder:
        packaged = Path(folder, "packaged.yaml")
        command = [str(sam), "package", "--template-file", str(template), "--s3-bucket", BUCKET,
                   "--region", REGION, "--output-template-file", str(packaged)]  # fmt: skip
        run = subprocess.run(command, env=_environment(endpoint), capture_output=True, text=True, check=False)
        if run.returncode:
            raise PackageError(f"sam package failed:\n{run.stdout}{run.stderr}")
        document: dict[str, Any] = yaml_parse(packaged.read_text(encoding="utf-8"))
        return document


def _environment(endpoint: str) -> dict[str, str]:
    """The environment without the caller's AWS settings, so that all calls go to `endpoint`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "package",
        "AWS_SECRET_ACCESS_KEY": "package",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }


def script_locations(document: dict[str, Any]) -> dict[str, str]:
    """Return the script location of each Glue job whose script is a file in the template, not a published one."""
    return {
        logical_id: resource["Properties"]["Command"]["ScriptLocation"]
        for logical_id, resource in document["Resources"].items()
        if resource["Type"] == "AWS::Glue::Job" and isinstance(resource["Properties"]["Command"]["ScriptLocation"], str)
    }


def _uploaded(s3: Any, location: Any, logical_id: str) -> bytes:
    """Bytes at `s3://bucket/key` or {"Bucket", "Key"}."""
    if isinstance(location, dict):
        bucket, key = location["Bucket"], location["Key"]
    elif str(location).startswith("s3://"):
        bucket, _, key = str(location).removeprefix("s3://").partition("/")
    else:
        raise PackageError(f"{logical_id} still points to {location}: sam package did not upload it")
    if bucket != BUCKET:
        raise PackageError(f"{logical_id} points to the bucket {bucket}, and not to the one packaged into")
    body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def handler_of(properties: dict[str, Any], source: dict[str, Any]) -> str:
    """The handler of a function, with the defaults of its parameters."""
    handler = properties["Handler"]
    if isinstance(handler, str):
        return handler
    defaults = {name: str(rules.get("Default", "")) for name, rules in source["Parameters"].items()}
    return re.sub(r"\$\{(\w+)\}", lambda match: defaults[match[1]], handler["Fn::Sub"])


def _is_whole(archive: zipfile.ZipFile, root: Path, folder: str) -> bool:
    """Whether an archive has every module of a folder that belongs in all packages."""
    modules = {path.relative_to(root).as_posix(): path.read_bytes() for path in (root / folder).rglob("*.py")}
    found = {name for name in archive.namelist() if name.startswith(f"{folder}/") and name.endswith(".py")}
    return found == modules.keys() and all(archive.read(name) == modules[name] for name in found)


def _expect(same: bool, logical_id: str, what: str) -> str:
    if not same:
        raise PackageError(f"{logical_id}: {what} in the bucket differs from the repository's")
    return f"{logical_id}: {what}"


def check(s3: Any, packaged: dict[str, Any], source: dict[str, Any], root: Path) -> Iterator[str]:
    """Compare each uploaded file with the one that the template names; yields a line for each that agrees.

    Raises
    ------
    PackageError
        A file was not uploaded, or differs.
    """
    scripts = script_locations(source)
    for logical_id, location in script_locations(packaged).items():
        script = root / scripts[logical_id]
        yield _expect(_uploaded(s3, location, logical_id) == script.read_bytes(), logical_id, scripts[logical_id])
    common = source.get("Globals", {}).get("Function", {})
    for logical_id, resource in packaged["Resources"].items():
        own = source["Resources"][logical_id].get("Properties", {})
        if resource["Type"] == "AWS::Serverless::StateMachine":
            body = _uploaded(s3, resource["Properties"]["DefinitionUri"], logical_id)
            yield _expect(body == (root / own["DefinitionUri"]).read_bytes(), logical_id, own["DefinitionUri"])
        elif resource["Type"] == "AWS::Serverless::Function":
            settings = common | own
            module = handler_of(settings, source).rpartition(".")[0] + ".py"
            archive = zipfile.ZipFile(io.BytesIO(_uploaded(s3, resource["Properties"]["CodeUri"], logical_id)))
            there = module in archive.namelist()
            same = there and archive.read(module) == (root / settings["CodeUri"] / module).read_bytes()
            same = same and all(_is_whole(archive, root, name) for name in shared_folders(root))
            size = sum(entry.file_size for entry in archive.infolist())
            if size > MOST_UNPACKED_BYTES:
                raise PackageError(f"{logical_id} has {size:,} bytes unpacked; Lambda accepts {MOST_UNPACKED_BYTES:,}")
            files = len(archive.namelist())
            yield _expect(same, logical_id, f"{module} among {files} files, {size / 2**20:.1f} MB unpacked")


def main(
    sam: Annotated[Path, typer.Option(help="The SAM CLI.")],
    template: Path = Path("template.yaml"),
    built: Path = Path(".aws-sam/build/template.yaml"),
) -> None:
    """Package, compare, print; the exit status is 1 if a file is missing or differs."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # one line a request otherwise
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        s3 = boto3.client("s3", endpoint_url=endpoint, region_name=REGION,
                          aws_access_key_id="package", aws_secret_access_key="package")  # noqa: S106  # fmt: skip
        s3.create_bucket(Bucket=BUCKET)
        source = yaml_parse(template.read_text(encoding="utf-8"))
        packaged = package(sam, built, endpoint)
        for line in check(s3, packaged, source, template.resolve().parent):
            print(line)
    except PackageError as error:
        sys.exit(str(error))
    finally:
        server.stop()


if __name__ == "__main__":
    typer.run(main)
