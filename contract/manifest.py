"""The manifest: which objects a run is to process. Written once by the claim, read by the job, never changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from contract import document
from contract.document import About, Text

VERSION: Literal[1] = 1

NO_MANIFEST = "none"
"""Instead of a manifest's URI, where Glue's own bookmark decides what is new."""

BookmarkMode = Literal["manifest", "glue"]
"""Decides which objects are new: the claim, which writes them into a manifest, or Glue's own job bookmark."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of the change log as a listing shows it."""

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
    """Place in the manifest, which breaks ties of order."""

    @property
    def uri(self) -> str:
        """How failures and logs name the object."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Replay:
    """A range of LastModified, both ends included, that is to be sent again."""

    start: Annotated[datetime, About("oldest LastModified", name="from")]
    end: Annotated[datetime, About("newest LastModified", name="to")]

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise ValueError("`from` before `to`")

    @classmethod
    def read(cls, value: Any) -> Replay:
        """Make one of parsed JSON, ``{"from", "to"}``.

        Raises
        ------
        ContractError
        """
        return document.read(cls, value)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The objects of one run."""

    version: Annotated[Literal[1], About("of this format", required=True)] = VERSION
    provider: str
    run_id: str
    generation: Annotated[int, About("of the bookmark that the run was planned on")]
    created_at: datetime
    bucket: Annotated[str, About("of all objects")]
    objects: Annotated[tuple[StoredObject, ...], About("oldest first")]
    backlog: Annotated[int, About("new objects left for the next run")] = 0
    pending_count: Annotated[int, About("of the provider's pending objects, counted before the listing")] = 0
    replay: Annotated[Replay | None, About("set when the run sends a range again")] = None
    carried: Annotated[
        tuple[StoredObject, ...] | None,
        About("the window's objects of all earlier manifests, once those are too many to name"),
    ] = None

    @property
    def bytes(self) -> int:
        """Stored bytes of all objects."""
        return sum(o.size for o in self.objects)

    @property
    def known(self) -> tuple[StoredObject, ...]:
        """The objects that need not be sent again once this run is committed; of each key the last counts."""
        return (*(self.carried or ()), *self.objects)

    def planned(self) -> list[PlannedObject]:
        """The objects, each with its bucket and its place."""
        return [PlannedObject(self.bucket, o.key, o.size, o.etag, place) for place, o in enumerate(self.objects)]

    def to_json(self) -> Text:
        """Write it."""
        return document.to_json(self)

    @classmethod
    def from_json(cls, text: Text) -> Manifest:
        """Read it.

        Raises
        ------
        ContractError
        """
        return document.from_json(cls, text)
