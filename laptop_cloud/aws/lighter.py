"""What makes boto3 and moto start faster, without another result. To be called before moto is imported.

Measured together: bringing up a laptop cloud takes about half of the CPU seconds.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any, NoReturn


@cache
def apply() -> None:
    """Apply everything below; a second call does nothing."""
    share_botocore_loader()
    leave_batch_for_later()
    refuse_openapi_documents()


def share_botocore_loader() -> None:
    """Let all sessions of this process share what botocore has read of its service models.

    Each session would read and parse them again: 20 to 200 ms for each service.
    """
    import botocore.session

    botocore.session.create_loader = cache(botocore.session.create_loader)


def leave_batch_for_later() -> None:
    """Let `moto.batch` be imported without its models until somebody asks for them.

    moto's Step Functions interpreter needs one enumeration of AWS Batch, whose models import all of EC2: two seconds.
    """
    moto = PathFinder.find_spec("moto")
    assert moto is not None
    spec = PathFinder.find_spec("moto.batch", list(moto.submodule_search_locations or []))
    assert spec is not None
    module = module_from_spec(spec)
    module.__getattr__ = _of_batch  # type: ignore[method-assign]
    sys.modules.setdefault("moto.batch", module)


def _of_batch(name: str) -> Any:
    """`moto.batch.batch_backends`, which is all that moto's own module has."""
    if name != "batch_backends":
        raise AttributeError(name)
    models: ModuleType = __import__("moto.batch.models", fromlist=["batch_backends"])
    return models.batch_backends


def refuse_openapi_documents() -> None:
    """Answer for the package `openapi_spec_validator`, which takes a second to import.

    moto uses it in ImportRestApi and PutRestApi, which the laptop cloud does not need.
    """
    name = "openapi_spec_validator"
    modules = {part: ModuleType(part) for part in (name, f"{name}.validation", f"{name}.validation.exceptions")}
    modules[name].validate = _refuse  # type: ignore[attr-defined]
    modules[f"{name}.validation.exceptions"].OpenAPIValidationError = ValueError  # type: ignore[attr-defined]
    for part, module in modules.items():
        sys.modules.setdefault(part, module)


def _refuse(document: Any) -> NoReturn:
    raise NotImplementedError("The laptop cloud makes REST APIs from the template only, not by ImportRestApi.")
