"""The quarantine: lines and objects that runs and the producer could not process, by folders and notes on S3."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from contract.document import ContractError, read
from contract.failure import Failure
from contract.result import MAX_FAILURES

from .commands.providers import folders
from .deployment import Deployment
from .output import counted

SHOWN = 5
"""The most providers that a sentence names."""


@dataclass(frozen=True)
class Quarantine:
    """Providers with something in the quarantine, until it is deleted or expires (KeepDays).

    Attributes
    ----------
    providers
        Providers whose runs copied bad lines, rows or objects (OnBadRecord=quarantine).
    foreign
        Providers in whose folders the producer found damaged or foreign objects.
    unassigned
        Whether the producer wrote records without a provider.
    """

    providers: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    unassigned: bool = False

    def sentences(self) -> Iterator[str]:
        """Describe the content of the quarantine, and where to look for it."""
        if self.providers:
            yield f"Quarantined: bad lines or objects of {_named(self.providers)}; `fanout runs PROVIDER` has the runs."
        if self.foreign:
            yield f"Foreign objects: damaged or foreign objects of {_named(self.foreign)}; see quarantine/foreign/."
        if self.unassigned:
            yield "Unassigned: records without a provider; see unassigned/."


def _named(providers: tuple[str, ...]) -> str:
    more = ", …" if len(providers) > SHOWN else ""
    return f"{counted(len(providers), 'provider')} ({', '.join(providers[:SHOWN])}{more})"


def look_into(stack: Deployment) -> Quarantine:
    """List the folders of the quarantine: three requests, and one more for each 1,000 providers."""
    s3, root = stack.client("s3"), f"s3://{stack.data_bucket}/quarantine"
    unassigned = s3.list_objects_v2(Bucket=stack.data_bucket, Prefix="unassigned/", MaxKeys=1)
    return Quarantine(tuple(folders(s3, root)), tuple(folders(s3, f"{root}/foreign")), bool(unassigned.get("KeyCount")))


def notes_of_run(stack: Deployment, provider: str, run_id: str) -> tuple[Failure, ...]:
    """The reasons of the first lines, rows and objects that a run copied to the quarantine."""
    prefix = f"s3://{stack.data_bucket}/quarantine/provider={provider}/{run_id}/"
    keys = (stored.key for stored in stack.objects.list(prefix) if stored.key.endswith(".note.json"))
    uris = [f"s3://{stack.data_bucket}/{key}" for key in islice(keys, MAX_FAILURES)]
    with ThreadPoolExecutor(MAX_FAILURES) as pool:
        return tuple(_failures(pool.map(stack.objects.read, uris)))


def _failures(notes: Iterable[bytes | None]) -> Iterator[Failure]:
    for note in notes:
        try:
            yield read(Failure, json.loads(note or b"{}")["failure"])
        except (ContractError, ValueError, LookupError, TypeError):
            continue  # not a note of a run
