"""Every error the handlers raise on purpose.

Each is *terminal* (repeating the call cannot help: somebody must change something) or *transient* (the
state machine repeats the call). The class name is the error name that Step Functions sees, so
`statemachine/change_log.asl.json` lists the transient ones by name; a test keeps the two in step.
"""

from __future__ import annotations


class FanoutError(Exception):
    """Something went wrong in glue-fanout. The message names the thing and says what to do."""


class TerminalError(FanoutError):
    """Repeating the call cannot help."""


class TransientError(FanoutError):
    """The same call may succeed in a moment."""


class SettingsError(TerminalError):
    """An environment variable of the function is missing or unusable."""


class InvalidRequestError(TerminalError):
    """The event a handler was given is not of its form."""


class InvalidProviderError(TerminalError):
    """A provider's name is outside the allow-list, or its entry in the config API is unusable."""


class LeaseLostError(TerminalError):
    """Another run holds the provider, so this run may not take effect."""


class LedgerItemError(TerminalError):
    """A provider's item in the run ledger is not of its form."""


class ResultMissingError(TerminalError):
    """The job ended without the result that proves every object of the manifest was sent."""


class ReplayTooLargeError(TerminalError):
    """A replay covers more objects or bytes than one run may take."""


class ConfigApiAnswerError(TerminalError):
    """The config API answered something that is not the documented object of providers, or refused a change.

    Attributes
    ----------
    status, answer
        HTTP status and the beginning of the body, when it refused.
    """

    def __init__(self, message: str, status: int | None = None, answer: str = "") -> None:
        super().__init__(message)
        self.status, self.answer = status, answer


class ConfigApiAccessError(TerminalError):
    """The config API refused the key."""


class StartRefusedError(TerminalError):
    """Step Functions refused to start an execution for a reason that repeating cannot mend."""


class ForeignObjectError(TransientError):
    """An object of the change log has a name that belongs to another; somebody must move it away."""


class ConfigApiUnavailableError(TransientError):
    """The config API did not answer in time, or answered 429 or 5xx, until the retries were used up."""


class LedgerUnavailableError(TransientError):
    """DynamoDB did not take a read or write of the run ledger."""


class LedgerConflictError(TransientError):
    """Somebody else changed the provider's item between our read and our write."""


class StorageUnavailableError(TransientError):
    """S3 did not answer a list, get or put."""


class StartThrottledError(TransientError):
    """Step Functions is throttling StartExecution."""
