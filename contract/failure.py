"""The failure of a run: one object from the job and the functions to the ledger, the API and the operator's screen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from contract.document import About

MAX_CHARACTERS = 1_000
"""Limit for a message, and for a failure in one line: an error of Lambda may contain a whole log."""

SEE_THE_RUN = "Look at the run with `fanout trace RUN`."

NEXT_ON_GLUE = "Nothing to do: the provider's next run uses Glue. If runs in Lambda fail again, lower LambdaMaxBytes."
"""Advice for a Lambda run that ran out of time or memory (`fanout.schedule.choose_engine`)."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One error. Nothing in it shows a row's content."""

    type: Annotated[str, About("name of the error's class, or AWS's code of the error")]
    message: Annotated[str, About("what is wrong, without object and line")]
    cause: Annotated[
        str,
        About(
            "the message without the details of one object, row or run: failures of the same type and cause have the "
            "same remedy"
        ),
    ] = ""
    advice: Annotated[str, About("what the operator can do")] = SEE_THE_RUN
    object: Annotated[str | None, About("s3 URI of the object concerned")] = None
    line: Annotated[int | None, About("line or row of the object, counted from 1")] = None
    unit: Annotated[Literal["line", "row"], About("what `line` counts: lines, or rows that may have several")] = "line"
    transient: Annotated[bool, About("whether a later run may succeed without any change")] = False

    @property
    def place(self) -> str:
        """Object and line, if they are known."""
        return ", ".join(filter(None, (self.object, f"{self.unit} {self.line}" if self.line else None)))

    @property
    def text(self) -> str:
        """The message with its place."""
        return f"{self.place}: {self.message}" if self.place else self.message

    @property
    def kind(self) -> str:
        """Type and cause: the same for all failures with the same remedy."""
        return f"{self.type}: {self.cause or self.message}"

    def in_one_line(self, count: int = 1) -> str:
        """The failure as text, for people and for the config API; `count` is the number of failures of the run.

        No code parses this text.
        """
        others = f" (and {count - 1:,} more)" if count > 1 else ""
        line = " ".join(f"{self.type}: {self.text}".split())
        return line[: MAX_CHARACTERS - len(others)] + others

    def bounded(self) -> Failure:
        """The same failure with message and cause cut to `MAX_CHARACTERS`."""
        return replace(self, message=self.message[:MAX_CHARACTERS], cause=self.cause[:MAX_CHARACTERS])


class ExplainedError(Exception):
    """An error that says whether a retry can help, and what to do.

    Parameters
    ----------
    message
        What is wrong. Defaults to the class's docstring.
    cause
        The message without the details of one object, row or run. Defaults to the message.
    uri, line
        The object concerned, and the line or row in it.
    """

    transient: ClassVar[bool] = False
    """Whether the same call, or the next run, may succeed although nothing was changed."""
    advice: str = SEE_THE_RUN
    """Action for the operator."""
    unit: Literal["line", "row"] = "line"

    def __init__(
        self, message: str | None = None, *, cause: str | None = None, uri: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))
        self.cause, self.uri, self.line = cause, uri, line

    def __str__(self) -> str:
        return self.as_failure().text

    def as_failure(self) -> Failure:
        """Convert the error to a `Failure`."""
        message = str(self.args[0])
        return Failure(
            type=type(self).__name__,
            message=message,
            cause=self.cause or message,
            advice=self.advice,
            object=self.uri,
            line=self.line,
            unit=self.unit,
            transient=self.transient,
        )
