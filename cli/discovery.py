"""Finding providers by their folders in the change log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fanout.errors import InvalidProviderError
from fanout.manifests import split_uri
from fanout.providers import check_name

MARK = "provider="


@dataclass(frozen=True)
class Discovered:
    """What the change log holds beside what the config API knows.

    Attributes
    ----------
    missing
        Providers with a folder that are not registered.
    registered
        How many are.
    refused
        Folders whose name the allow-list does not admit.
    """

    missing: tuple[str, ...]
    registered: int
    refused: tuple[str, ...]


def discover(s3: Any, change_log_dir: str, known: Iterable[str]) -> Discovered:
    """List the `provider=` folders; one request for each 1,000 of them, however many objects they hold."""
    bucket, prefix = split_uri(change_log_dir.rstrip("/") + "/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + MARK, Delimiter="/")
    found = [f["Prefix"].removeprefix(prefix + MARK)[:-1] for page in pages for f in page.get("CommonPrefixes", ())]
    registered = set(known)
    good = [name for name in found if _admitted(name)]
    return Discovered(
        missing=tuple(name for name in good if name not in registered),
        registered=sum(name in registered for name in good),
        refused=tuple(name for name in found if not _admitted(name)),
    )


def _admitted(name: str) -> bool:
    try:
        check_name(name)
    except InvalidProviderError:
        return False
    return True
