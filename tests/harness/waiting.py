"""Waiting in tests: for a condition, never for a time. Limits only end a hang."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

HANG_SECONDS = 600.0
"""The only time limit of the tests, to end a hang. It is far longer than a test takes on a loaded machine."""

POLL_SECONDS = 0.05

T = TypeVar("T")


def eventually(
    look: Callable[[], T], what: object = "the condition", seconds: float = HANG_SECONDS, every: float = POLL_SECONDS
) -> T:
    """Call `look` repeatedly until it returns something true; return that.

    Parameters
    ----------
    look
        Returns something true once the condition holds.
    what
        Name of the condition for the error; a callable is called when the limit is reached.
    seconds
        Limit; shorter only in a test of a condition that should never hold.
    every
        Pause between two calls, in seconds.

    Raises
    ------
    TimeoutError
        The condition did not hold within the limit.
    """
    end = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > end:
            named = what() if callable(what) else what
            raise TimeoutError(f"waited {seconds:.0f} s in vain for {named}")
        time.sleep(every)
    return seen
