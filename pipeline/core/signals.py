"""Ctrl-C and SIGTERM end a run, also where Python drops the exception that they raise."""

import _thread
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType
from typing import Any

AGAIN_SECONDS = 2.0
ONCE_MORE_SECONDS = 1.0
ASKING = (signal.SIGINT, signal.SIGTERM)
GOES_ON = "the same command goes on from what is finished"
CLEAR_LINE, SHOW_CURSOR = "\r\x1b[K", "\x1b[?25h"


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
    instead. That the run is stopping is said at once. A second signal changes nothing, also after
    the block, for the process is on its way to its end; but a Ctrl-C some time after the first
    ends it there and then, as a kill does.
    """
    asked: list[Interrupted] = []
    endings: list[Callable[[], object]] = []
    herald = _Herald()

    def interrupt(number: int, frame: FrameType | None) -> None:
        asked.append(Interrupted(number))
        herald.tell()
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
            herald.end()


class _Herald:
    """Says that the run is stopping, from a thread that hears of signals by a socket.

    Python runs its own handlers only when a native call has returned, many seconds later.
    """

    def __init__(self) -> None:
        # A copy, for `quiet_libraries` sends the other elsewhere; none where there is no stderr.
        self._stderr = _copy(2)
        self._words = ["stopping …\n"]
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        self._before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def tell(self) -> None:
        """Writes it, but once only, whichever thread is the first."""
        with suppress(IndexError):
            self._write(self._words.pop())

    def end(self) -> None:
        signal.set_wakeup_fd(self._before)
        self._writing.close()
        self._thread.join()
        self._reading.close()
        if self._stderr is not None:
            os.close(self._stderr)

    def _listen(self) -> None:
        first = None
        while numbers := self._reading.recv(64):
            for number in set(numbers).intersection(ASKING):
                if first is None:
                    first = monotonic()
                    self.tell()
                elif _is_of_user(number) and monotonic() - first > ONCE_MORE_SECONDS:
                    if os.isatty(1):
                        os.write(1, SHOW_CURSOR.encode())  # which a bar had hidden
                    self._write(f"error  ended at once; {GOES_ON}\n")
                    os._exit(128 + number)

    def _write(self, text: str) -> None:
        if self._stderr is not None:
            shown = CLEAR_LINE + text if os.isatty(self._stderr) else text
            with suppress(OSError):
                os.write(self._stderr, shown.encode())


def _is_of_user(number: int) -> bool:
    """Whether it is a Ctrl-C; on Windows `_repeat` sends the same."""
    return number == signal.SIGINT and hasattr(signal, "setitimer")


def _copy(descriptor: int) -> int | None:
    try:
        return os.dup(descriptor)
    except OSError:
        return None


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
