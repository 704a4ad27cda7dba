"""Which systems and Pythons the pins of requirements.txt install on, without installing anything.

    .venv/bin/python -m pip install uv
    .venv/bin/python benchmarks/systems.py

uv resolves the pins, and all that they need in turn, as each system would, from the metadata of
wheels alone; promise, which is pure Python and has no wheel, is the one that may be built. Prints
a table: `installs`, without which pins, or the reason why not. Some minutes the first time.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.core.plugins import ROOT
from pipeline.doctor.packages import normal

PYTHONS = ("3.11", "3.12", "3.13")
# Each with uv's name for it, and the oldest release that it stands for.
SYSTEMS = {
    "Linux x86-64": ("x86_64-manylinux_2_28", "glibc 2.28"),
    "Linux aarch64": ("aarch64-manylinux_2_28", "glibc 2.28"),
    "macOS arm64": ("aarch64-apple-darwin", "macOS 14"),
    "Windows x86-64": ("x86_64-pc-windows-msvc", "Windows 10"),
}
OLDEST_MACOS = "14.0"
NO_WHEEL = "promise"
PINS = ROOT / "requirements.txt"
PIN = re.compile(r"^([\w.-]+)==", re.MULTILINE)


def resolve(platform: str, python: str) -> str:
    """What a table says of a system: that the pins install there, or why not."""
    with tempfile.TemporaryDirectory() as folder:
        resolved = Path(folder) / "resolved.txt"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header"),
                *("--python-platform", platform, "--python-version", python),
                *(
                    "--only-binary",
                    ":all:",
                    "--no-binary",
                    NO_WHEEL,
                    "-o",
                    str(resolved),
                    str(PINS),
                ),
            ],
            capture_output=True,
            text=True,
            env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS},
        )
        if done.returncode:
            if "No solution" not in done.stderr:
                sys.exit(done.stderr)
            return reason(done.stderr)
        there = {normal(name) for name in PIN.findall(resolved.read_text(encoding="utf-8"))}
    wanted = PIN.findall(PINS.read_text(encoding="utf-8"))
    lacking = [name for name in wanted if normal(name) not in there]
    return f"installs, without {', '.join(lacking)}" if lacking else "installs"


def reason(said: str) -> str:
    """The first sentence of uv on why there is no solution, on one line."""
    sentence = " ".join(said.split()).partition("Because ")[2] or said
    return "no: " + re.split(r" and you require|, we can conclude", sentence)[0].strip()


def main() -> None:
    print(f"| system, from | {' | '.join(f'Python {python}' for python in PYTHONS)} |")
    print(f"|---|{'---|' * len(PYTHONS)}")
    for name, (platform, oldest) in SYSTEMS.items():
        cells = [resolve(platform, python) for python in PYTHONS]
        print(f"| {name}, {oldest} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
