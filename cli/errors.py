"""Errors that the operator sees, and the exit statuses of `fanout`."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What `fanout` tells whoever called it."""

    OK = 0
    UNHEALTHY = 1
    """The command worked, and what it found or did is not well: a failed run, a late provider, a failed check."""
    USAGE = 2
    """The command line asks for something that is not there or not allowed."""
    NO_ACCESS = 3
    """AWS, the laptop cloud or the config API cannot be reached, or does not let the caller in."""
    INTERRUPTED = 130


class OperatorError(Exception):
    """The command cannot be done. The message says why and what to do."""

    status = Exit.UNHEALTHY


class UsageError(OperatorError):
    """The command line asks for something that is not there or not allowed."""

    status = Exit.USAGE


class AccessError(OperatorError):
    """Something cannot be reached, or does not let the caller in."""

    status = Exit.NO_ACCESS
