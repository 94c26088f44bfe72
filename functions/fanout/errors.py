"""Every error the handlers raise on purpose.

Each is *terminal* (repeating the call cannot help: an operator must change something) or *transient* (the state machine
repeats the call), and says what to do. The class name is the error name that Step Functions sees, so
`statemachine/change_log.asl.json` lists the transient ones by name; a test keeps the two in step.
"""

from __future__ import annotations

from contract.failure import ExplainedError

REPEATED = "Nothing to do: the call is repeated, and the next tick tries again. If it persists, look at AWS Health."


class FanoutError(ExplainedError):
    """Base of all errors of glue-fanout. The message names the object and says what to do."""


class TerminalError(FanoutError):
    """Repeating the call cannot help."""


class TransientError(FanoutError):
    """The same call may succeed in a moment."""

    transient = True
    advice = REPEATED


class SettingsError(TerminalError):
    """An environment variable of the function is missing or invalid."""

    advice = "Correct the variables in template.yaml and deploy again."


class InvalidRequestError(TerminalError):
    """The event of a handler is invalid."""

    advice = "Start runs with `fanout run` or `fanout replay`, or correct the caller."


class InvalidProviderError(TerminalError):
    """A provider's name is not allowed, or its entry in the config API is invalid."""

    advice = "Correct the provider's entry in the config API."


class UnlistedProviderError(TerminalError):
    """A provider has pending objects, but the config API does not list it."""

    advice = (
        "Add it with `fanout providers add`, or put its objects into the folder of a provider. If it should not run, "
        "use `fanout providers accept`."
    )


class LateDataError(TerminalError):
    """Objects arrived too late for any run."""

    advice = "Send them with `fanout replay PROVIDER --late`. If it repeats, raise LookbackMinutes."


class LeaseLostError(TerminalError):
    """Another run holds the lease, so this run was not committed."""

    advice = "Nothing to do: the run that holds the lease sends the same changes under the same ids."


class LedgerItemError(TerminalError):
    """A provider's item in the run ledger is invalid, or larger than DynamoDB allows."""

    advice = "Undo manual changes, or delete the item, after which the whole change log is processed again."


class ResultMissingError(TerminalError):
    """The job ended without a result that proves that every object of the manifest was sent."""

    advice = "Look at the job run's log with `fanout trace RUN`; the next run processes the same objects again."


class ManifestChangedError(TerminalError):
    """A manifest is not the one that the run's claim wrote."""

    advice = (
        "Find the writer with CloudTrail or the bucket's versions: only the claim function writes manifests. The next "
        "run plans the objects again."
    )


class ReplayTooLargeError(TerminalError):
    """A replay covers more objects or bytes than one run may take."""

    advice = "Replay in parts."


class ConfigApiAnswerError(TerminalError):
    """The answer of the config API is not the documented object of providers, or it refused a change.

    Attributes
    ----------
    status, answer
        HTTP status and the beginning of the body, when it refused.
    """

    advice = "Correct the config API, or ConfigApiUrl."

    def __init__(self, message: str, status: int | None = None, answer: str = "") -> None:
        super().__init__(message)
        self.status, self.answer = status, answer


class ConfigApiAccessError(TerminalError):
    """The config API refused the key."""

    advice = "Store the config API's key as the string of the secret in the output ConfigApiKeySecretArn."


class StartRefusedError(TerminalError):
    """Step Functions refused to start an execution for a reason that repeating cannot change."""

    advice = "Check the state machine, and the permissions of the dispatcher's role."


class ForeignObjectError(TerminalError):
    """An object has the name of one of the producer's objects, but is damaged or from another writer."""

    advice = "Find the writer and move the object away. The producer has written its records beside the object."


class UnreadableObjectError(TerminalError):
    """S3 refuses to return an object: it is archived, its KMS key cannot be used, or the role has no access."""

    advice = "Restore the object, or grant the role access to it and its key."


class ConfigApiUnavailableError(TransientError):
    """The config API did not answer in time, or answered 429 or 5xx, until the retries were used up."""


class LedgerUnavailableError(TransientError):
    """DynamoDB did not take a read or write of the run ledger."""


class LedgerConflictError(TransientError):
    """Another writer changed the provider's item between the read and the write."""


class StorageUnavailableError(TransientError):
    """S3 did not answer a list, get or put."""


class StartThrottledError(TransientError):
    """Step Functions is throttling StartExecution."""
