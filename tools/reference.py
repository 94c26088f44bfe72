"""`make docs` writes docs/reference/, docs/openapi.json and the generated sections of other pages; a test compares."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
GENERATED = "<!-- Made by `make docs` from the code. Change the code, not this page. -->"


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def pages() -> dict[Path, str]:
    """Every generated file and what it must hold."""
    from tools import bill, decisions, guarantees, openapi

    made: dict[str, Callable[[], Iterable[str]]] = {
        "cli.md": command_line,
        "parameters.md": parameters,
        "api.md": config_api,
        "messages.md": messages,
    }
    found = {
        ROOT / "docs/reference" / name: f"{GENERATED}\n\n" + "\n".join(page()) + "\n" for name, page in made.items()
    }
    sections = {"cost.md": bill.page, "decisions.md": decisions.page, "guarantees.md": guarantees.page}
    for name, renew in sections.items():
        found[ROOT / "docs" / name] = renew((ROOT / "docs" / name).read_text(encoding="utf-8"))
    return {**found, ROOT / "docs/openapi.json": openapi.text()}


# ---- the command line


def command_line() -> Iterator[str]:
    """The commands of `fanout`, with their options, exit statuses and permissions."""
    import typer.main

    from cli.errors import Exit
    from cli.main import app

    root: Any = typer.main.get_command(app)
    yield "# fanout, the command line\n"
    yield f"{root.help}\n"
    yield "`make setup` installs it as `.venv/bin/fanout`. All commands have these options:\n"
    yield from _options(root.commands["status"].shared)
    yield "\n## Exit statuses\n"
    meanings = {
        Exit.OK: "Success.",
        Exit.UNHEALTHY: "The command worked, but something needs attention: a failed run or check, a late provider.",
        Exit.USAGE: "The command line is invalid or names something that does not exist, or a confirmation is missing.",
        Exit.NO_ACCESS: "AWS, the laptop cloud or the config API cannot be reached, or denies access.",
        Exit.INTERRUPTED: "Interrupted with Ctrl-C. A run in progress continues.",
    }
    yield from _table(("status", "meaning"), [(str(status.value), meanings[status]) for status in Exit])
    commands = list(_commands(root, "fanout"))
    for path, command in commands:
        yield f"\n## {path}\n"
        yield f"{command.help}\n"
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        words = " ".join(_argument(p) for p in arguments)
        yield f"```\n{path} {words} [OPTIONS]\n```\n".replace("  ", " ")
        yield from _options(p for p in command.params if p not in command.shared)
    yield "\n## Permissions of an operator\n"
    yield "Every command needs cloudformation:DescribeStacks, and with a KMS key of the stack also kms:Decrypt.\n"
    needs = [(path, command.epilog.removeprefix("IAM actions: ")) for path, command in commands if command.epilog]
    yield from _table(("command", "IAM actions"), needs)


def _commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def _options(parameters: Iterable[Any]) -> Iterator[str]:
    rows = []
    for parameter in parameters:
        is_option = parameter.param_type_name == "option"
        name = ", ".join(parameter.opts) if is_option else _argument(parameter)
        default = parameter.default if parameter.default not in (None, False, ()) else ""
        if parameter.help or is_option:
            rows.append((f"`{name}`", parameter.help or "", f"`{default}`" if default != "" else ""))
    if rows:
        yield from _table(("option", "meaning", "default"), rows)


# ---- the template's parameters


def parameters() -> Iterator[str]:
    """The template's parameters, in their groups."""
    from samtranslator.yaml_helper import yaml_parse

    template = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    known = dict(template["Parameters"])
    yield "# Parameters of the template\n"
    yield "Set them with `sam deploy --parameter-overrides NAME=VALUE`, or in `samconfig.toml`.\n"
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    for group in groups:
        yield f"\n## {group['Label']['default']}\n"
        rows = [_parameter(name, known.pop(name)) for name in group["Parameters"]]
        yield from _table(("parameter", "default", "allowed", "meaning"), rows)
    if known:
        yield "\n## Others\n"
        yield from _table(("parameter", "default", "allowed", "meaning"), [_parameter(*item) for item in known.items()])
    yield "\n## Outputs\n"
    yield from _table(("output", "meaning"), [(f"`{n}`", o["Description"]) for n, o in template["Outputs"].items()])


def _parameter(name: str, given: dict[str, Any]) -> tuple[str, str, str, str]:
    allowed = ""
    if "AllowedValues" in given:
        allowed = ", ".join(f"`{value}`" for value in given["AllowedValues"])
    elif "MinValue" in given or "MaxValue" in given:
        allowed = f"{given.get('MinValue', '')} to {given.get('MaxValue', '')}"
    elif "AllowedPattern" in given:
        allowed = f"`{given['AllowedPattern']}`"
    default = given.get("Default")
    return f"`{name}`", f"`{default}`" if default not in (None, "") else "", allowed, given.get("Description", "")


# ---- the config API


def config_api() -> Iterator[str]:
    """The built-in config API."""
    from tools import openapi

    document = openapi.document()
    yield "# The config API\n"
    yield f"{document['info']['description']}\n"
    yield "The whole description is [openapi.json](../openapi.json) (OpenAPI 3.1). Your own config API needs only what"
    yield "[bring your own config API](../how-to/own-config-api.md) says.\n"
    yield "Every request carries the header `x-api-key`. Errors are problem details (RFC 9457): `type`, `title`,"
    yield "`status`, `detail`. Answers have an `ETag`; `If-Match` and `If-None-Match` guard changes and save reading.\n"
    for address, item in document["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            yield f"\n## {method.upper()} {address}\n"
            yield f"{operation['description']}\n"
            rows = [(status, answer["description"]) for status, answer in operation["responses"].items()]
            yield from _table(("status", "meaning"), rows)
    yield "\n## An entry\n"
    entry = document["components"]["schemas"]["Entry"]
    yield f"{entry['description']}\n"
    fields = [
        (f"`{name}`", _type(field), "yes" if name in entry["required"] else "", field["description"])
        for name, field in entry["properties"].items()
    ]
    yield from _table(("field", "type", "required", "meaning"), fields)


def _type(field: dict[str, Any]) -> str:
    def name(way: dict[str, Any]) -> str:
        return " | ".join(f"`{value}`" for value in way["enum"]) if "enum" in way else way.get("format") or way["type"]

    return " | ".join(name(way) for way in field.get("anyOf", [field]))


# ---- messages


def messages() -> Iterator[str]:
    """What is sent, made by the job itself from sample records."""
    from change_log import transform
    from fanout_job.changes import parse_change
    from fanout_job.messages import MessageMaker
    from fanout_job.settings import Settings

    settings = Settings(
        provider="acme",
        run_id="acme-20261122T073000Z",
        manifest="none",
        run_dir="s3://data/runs/",
        queue_url="https://sqs.us-east-1.amazonaws.com/123456789012/glue-fanout-dev-changes",
        env="dev",
        data_bucket="data",
    )
    samples = {
        "A row that was changed": ("MODIFY", {"NewImage": {"id": {"S": "a"}, "price": {"N": "12.5"}}}, 2**20),
        "A row that was removed": ("REMOVE", {}, 2**20),
        "A message over the queue's limit": ("INSERT", {"NewImage": {"text": {"S": "x" * 1000}}}, 600),
    }
    yield "# Messages\n"
    yield "One message for each changed row: a CloudEvent 1.0 in JSON, in the message's body. Delivery is at least"
    yield "once; a message sent again has the same `id`. `data` is what `transform` returns ([etl](../etl.md)).\n"
    yield "With `MessageOrder=key` the group id is a hash of `subject`, so that the changes of one key stay in order.\n"
    rows = [
        ("`specversion`", "`1.0`"),
        ("`id`", "the stream record's event id, else object and line; `-0`, `-1` … when `transform` returns several"),
        ("`source`", "`/glue-fanout/{Env}/{Job}/{provider}`"),
        ("`type`", "`dynamodb.insert`, `dynamodb.modify` or `dynamodb.remove`"),
        ("`time`", "when the row changed, RFC 3339"),
        ("`subject`", "the row's keys as compact JSON"),
        ("`provider`", "the provider"),
        ("`sequence`", "the stream's sequence number, when there is one"),
        (
            "`data`",
            "what `transform` returned; by default `keys`, and `new` and `old` as the stream's view type allows",
        ),
        ("`dataref`", "instead of `data` when the message would be too large: the S3 object that holds it"),
    ]
    yield from _table(("attribute", "content"), rows)
    for title, (event, images, limit) in samples.items():
        maker = MessageMaker(settings, transform, limit, _KeepsNothing())
        change = parse_change(json.dumps(_record(event, images)), "object-1")
        (draft,) = maker.drafts(change, 0, 1)
        body = json.loads(maker.message(draft).body)
        yield f"\n## {title}\n"
        yield f"```json\n{json.dumps(body, indent=2)}\n```"
    yield "\nReading what `dataref` names needs `s3:GetObject` below `claim-check/` in the stack's bucket."


class _KeepsNothing:
    """Takes claim checks; the page shows only where they would lie."""

    def put_object(self, **given: Any) -> None:
        """See boto3."""


def _record(event: str, images: dict[str, Any]) -> dict[str, Any]:
    return {
        "eventID": "c4ca4238a0b923820dcc509a6f75849b",
        "eventName": event,
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1795332600,
            "Keys": {"id": {"S": "a"}},
            "SequenceNumber": "4421584500000000017450439091",
            "StreamViewType": "NEW_IMAGE",
            **images,
        },
    }


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


if __name__ == "__main__":
    main()
