"""Ctrl-C and SIGTERM end a run, also where Python drops the exception that they raise."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

AGAIN_SECONDS = 2.0


class Interrupted(BaseException):
    """The user, or the system, asked the run to end."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises Interrupted in the block on SIGINT or SIGTERM, again and again until it lands.

    An exception that a signal raises within a destructor or a weak reference's callback is
    printed and dropped by Python, and TensorFlow runs many of those.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    before = {number: signal.signal(number, _interrupt) for number in numbers}
    hook, sys.unraisablehook = sys.unraisablehook, _without_interrupted
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
    raise Interrupted


def _without_interrupted(unraisable: Any) -> None:
    if not isinstance(unraisable.exc_value, Interrupted):
        sys.__unraisablehook__(unraisable)
