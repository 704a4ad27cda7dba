"""Ctrl-C and SIGTERM end a run, also where Python drops the exception that they raise."""

import _thread
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

AGAIN_SECONDS = 2.0
ASKING = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The user, or the system, asked the run to end.

    Attributes:
        exit_code: 128 and the signal's number, as shells have it.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises Interrupted in the block on SIGINT or SIGTERM, again and again until it lands.

    An exception that a signal raises within a destructor or a weak reference's callback is
    printed and dropped by Python, and TensorFlow runs many of those; Pydantic raises its own
    instead. A second signal changes nothing, also after the block: the process is on its way to
    its end.
    """
    asked: list[Interrupted] = []
    endings: list[Callable[[], object]] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        asked.append(Interrupted(number))
        for each in ASKING:
            signal.signal(each, _pass_over)  # with SIG_IGN Python warns of one that came together
        endings.append(_repeat(again))
        raise asked[0]

    def again(number: int, frame: FrameType | None) -> None:
        raise asked[0]

    before = {number: signal.signal(number, interrupt) for number in ASKING}
    hook, sys.unraisablehook = sys.unraisablehook, _without_interrupted
    try:
        yield
    except Exception as error:
        if asked:
            raise asked[0] from error
        raise
    finally:
        for end in endings:
            end()
        sys.unraisablehook = hook
        if not asked:
            for number, handler in before.items():
                signal.signal(number, handler)


def _repeat(handler: Callable[[int, FrameType | None], None]) -> Callable[[], object]:
    """Has the main thread call a handler again and again; gives what ends that."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS, AGAIN_SECONDS)
        return lambda: signal.setitimer(signal.ITIMER_REAL, 0)
    # Windows has no alarm: a thread does as if Ctrl-C came again, which ends what waits there.
    signal.signal(signal.SIGINT, handler)
    is_over = threading.Event()

    def ring() -> None:
        while not is_over.wait(AGAIN_SECONDS):
            _thread.interrupt_main(signal.SIGINT)

    def end() -> None:
        is_over.set()
        signal.signal(signal.SIGINT, _pass_over)

    threading.Thread(target=ring, daemon=True).start()
    return end


def _pass_over(number: int, frame: FrameType | None) -> None:
    pass


def _without_interrupted(unraisable: Any) -> None:
    if not isinstance(unraisable.exc_value, Interrupted):
        sys.__unraisablehook__(unraisable)
