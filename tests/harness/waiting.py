"""Waiting in tests: for a condition, and never by the clock. A limit is there only to end a hang."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

HANG_SECONDS = 600.0
"""The one time limit of the tests, there to end what would never end. However loaded a machine is, none comes near."""

POLL_SECONDS = 0.05

T = TypeVar("T")


def eventually(
    look: Callable[[], T], what: object = "the condition", seconds: float = HANG_SECONDS, every: float = POLL_SECONDS
) -> T:
    """Look again and again until what is seen is true; returns it.

    Parameters
    ----------
    look
        Returns something true once the condition holds.
    what
        Names the condition in the error; a callable is called for the name when the limit is reached.
    seconds
        Limit; shorter only in a test of something that is expected never to happen.
    every
        Pause between two looks, in seconds.

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
