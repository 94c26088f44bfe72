"""The manifest: which objects a run is to process. Written once by the claim, read by the job, never changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from contract import document
from contract.document import About, Stored

VERSION: Literal[1] = 1

NO_MANIFEST = "none"
"""Replaces a manifest's URI if Glue's own bookmark decides which objects are new."""

BookmarkMode = Literal["manifest", "glue"]
"""How new objects are found: by the claim, which writes a manifest, or by Glue's own job bookmark."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of the change log, as listed by S3."""

    key: str
    size: Annotated[int, About("bytes, as stored")]
    etag: Annotated[str, About("without quotes")]
    last_modified: datetime

    @property
    def identity(self) -> tuple[str, str]:
        """Key and ETag, which identify an object."""
        return self.key, self.etag


@dataclass(frozen=True, slots=True)
class PlannedObject:
    """One object of a manifest, as the job reads it."""

    bucket: str
    key: str
    size: int
    etag: str
    index: int
    """Position in the manifest; orders objects that are otherwise equal."""

    @property
    def uri(self) -> str:
        """The URI of the object, as in failures and logs."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Replay:
    """A range of LastModified, both ends included, to send again."""

    start: Annotated[datetime, About("oldest LastModified", name="from")]
    end: Annotated[datetime, About("newest LastModified", name="to")]

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise ValueError("`from` before `to`")

    @classmethod
    def read(cls, value: Any) -> Replay:
        """Read a range from parsed JSON, ``{"from", "to"}``.

        Raises
        ------
        ContractError
        """
        return document.read(cls, value)


@dataclass(frozen=True, kw_only=True)
class Manifest(Stored):
    """The objects of one run."""

    version: Annotated[Literal[1], About("version of this format", required=True)] = VERSION
    provider: str
    run_id: str
    generation: Annotated[int, About("generation of the bookmark from which the run was planned")]
    created_at: datetime
    bucket: Annotated[str, About("bucket of all objects")]
    objects: Annotated[tuple[StoredObject, ...], About("oldest first")]
    backlog: Annotated[int, About("new objects left for the next run")] = 0
    ignored: Annotated[int, About("objects in the lookback window that are not data")] = 0
    pending_count: Annotated[int, About("the provider's pending count, read before the listing")] = 0
    replay: Annotated[Replay | None, About("the range, if the run is a replay")] = None
    carried: Annotated[
        tuple[StoredObject, ...] | None,
        About("objects of all earlier manifests in the lookback window, once those are too many to list"),
    ] = None

    @property
    def bytes(self) -> int:
        """Stored bytes of all objects."""
        return sum(o.size for o in self.objects)

    @property
    def known(self) -> tuple[StoredObject, ...]:
        """The objects that are not sent again once this run is committed. If a key is repeated, the last one counts."""
        return (*(self.carried or ()), *self.objects)

    def planned(self) -> list[PlannedObject]:
        """The objects, each with its bucket and position."""
        return [PlannedObject(self.bucket, o.key, o.size, o.etag, place) for place, o in enumerate(self.objects)]
