"""The orchestrator: `python run_pipeline.py --help` shows what it can do."""

import gc
import os
import sys

INTERRUPTED = b"error  interrupted; the same command goes on from what is finished\n"

try:
    import signal
    from contextlib import suppress
    from pathlib import Path
    from shlex import quote
    from types import FrameType
    from typing import NoReturn
except KeyboardInterrupt:
    os.write(2, INTERRUPTED)
    os._exit(130)


def _end(number: int, frame: FrameType | None) -> None:
    """Ends a program that has only begun to import what it is made of."""
    os.write(2, INTERRUPTED)
    os._exit(128 + number)


if __name__ == "__main__":
    for _number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_number, _end)


def _refuse(message: str) -> NoReturn:
    print(f"error  {message}", file=sys.stderr)  # noqa: T201
    sys.exit(2)


if sys.version_info < (3, 11):  # noqa: UP036
    _refuse(f"this is Python {sys.version.split()[0]}; make .venv with python3.11 (README.md)")

sys.path.insert(0, str(Path(__file__).resolve().parent))

gc.disable()  # until the command is there: a fifth of the time that its imports take
try:
    from pipeline.cli.main import main
except ImportError as error:
    is_missing = isinstance(error, ModuleNotFoundError)
    wrong = "is not installed" if is_missing else f"is broken ({error})"
    how = "install" if is_missing else "install --force-reinstall"
    pins = str(Path(__file__).resolve().with_name("requirements.txt"))
    _refuse(
        f"{error.name} {wrong}; run it as .venv/bin/python run_pipeline.py, or mend this Python: "
        f"{quote(sys.executable)} -m pip {how} -r {quote(pins)}"
    )


def command() -> None:
    """Runs the command line, and ends the process."""
    try:
        main()
    except SystemExit as ended:
        # What ended early left its threads at work. Everything is closed and said by now, and the
        # destructors that come at the end of a process would free what those threads still use.
        if isinstance(ended.code, int) and ended.code:
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(ended.code)
        # All is done and said: what comes while Python takes itself apart changes nothing.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise


if __name__ == "__main__":
    command()
