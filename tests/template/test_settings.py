"""A template parameter is declared once: the code that reads it repeats neither help text nor default."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest
from pydantic.fields import FieldInfo

from fanout import settings
from fanout_job.settings import Settings as JobSettings
from laptop_cloud.stack.intrinsics import resolve
from laptop_cloud.stack.template import Template
from tests.template.reading import template_with, written
from tools.iam import Names

STREAM = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-11-22T00:00:00.000"
READERS: dict[str, type[settings.Settings]] = {
    "DispatchFunction": settings.DispatchSettings,
    "ClaimFunction": settings.ClaimSettings,
    "UpdateStatusFunction": settings.RunSettings,
    "ObjectEventsFunction": settings.ObjectEventsSettings,
    "ProducerFunction": settings.ProducerSettings,
    "ConfigApiFunction": settings.ProvidersSettings,
}
JOB = "LambdaRunFunction"
OF_LIBRARIES = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL", "POWERTOOLS_METRICS_DISABLED"}
JOB_FIELDS = {field.name: field for field in dataclasses.fields(JobSettings)}
FIELDS = {(reader.__name__, name): field for reader in READERS.values() for name, field in reader.model_fields.items()}


@pytest.fixture(scope="module")
def everything() -> Template:
    """The template with every function."""
    return template_with(SourceStreamArn=STREAM, ProviderAttribute="tenant")


def environments(template: Template) -> dict[str, dict[str, str]]:
    """Function -> its environment."""
    found = {}
    for name, resource in template.resources.items():
        if resource.type == "AWS::Lambda::Function":
            properties = resolve(resource.properties, Names(template, None))
            found[name] = {key: str(value) for key, value in properties["Environment"]["Variables"].items()}
    return found


def parameter_of(field: str) -> dict[str, Any] | None:
    """The template's parameter of a setting's name, if there is one."""
    found: dict[str, Any] | None = written()["Parameters"].get("".join(word.title() for word in field.split("_")))
    return found


def choices(field: FieldInfo) -> set[str]:
    """The values of a Literal."""
    return {str(choice) for choice in get_args(field.annotation)}


def test_the_template_sets_every_variable_that_a_function_reads(everything: Template) -> None:
    found = environments(everything)

    for function, reader in READERS.items():
        assert {name.upper() for name in reader.model_fields} <= found[function].keys(), function
        reader.from_environment(found[function])
    assert {name.upper() for name in JobSettings.names()} - {name.upper() for name in JobSettings.PER_RUN} <= (
        found[JOB].keys() | {"JOB_NAME", "MAX_MESSAGE_BYTES"}
    )


def test_every_variable_is_read_by_a_function(everything: Template) -> None:
    read = {name.upper() for _, name in FIELDS} | {name.upper() for name in JOB_FIELDS} | OF_LIBRARIES
    found = environments(everything)

    assert {name for function in (*READERS, JOB) for name in found[function]} - read == set()


def test_defaults_and_choices_of_the_functions_equal_the_templates() -> None:
    for (reader, name), field in FIELDS.items():
        parameter = parameter_of(name)
        if parameter is None:
            continue
        assert field.description is None, f"{reader}.{name}: the help text is in template.yaml"
        if not field.is_required() and parameter["Default"] != "auto":
            assert str(field.default) == str(parameter["Default"]), f"{reader}.{name}"
        allowed = {str(value) for value in parameter.get("AllowedValues", [])} - {"auto"}
        assert not choices(field) or choices(field) == allowed, f"{reader}.{name}"


@pytest.mark.parametrize("bound", ["Default", "MinValue", "MaxValue"])
def test_the_functions_accept_every_value_that_the_template_allows(everything: Template, bound: str) -> None:
    found = environments(everything)

    for function, reader in READERS.items():
        values = {name: (parameter_of(name) or {}).get(bound) for name in reader.model_fields}
        given = {name.upper(): str(value) for name, value in values.items() if value not in (None, "", "auto")}
        reader.from_environment(found[function] | given)


def test_defaults_and_choices_of_the_job_equal_the_templates() -> None:
    for name, field in JOB_FIELDS.items():
        parameter = parameter_of(name)
        if parameter is not None and field.default is not dataclasses.MISSING:
            assert str(field.default) == str(parameter["Default"]), name
    for name, values in JobSettings.CHOICES.items():
        assert set(values) == set((parameter_of(name) or {})["AllowedValues"]), name
