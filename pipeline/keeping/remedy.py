"""repair_call(): the command that mends an artifacts folder."""

import shlex
from pathlib import Path

from pipeline.plugins import ROOT


def repair_call(artifacts: Path) -> str:
    """As a user types it; names the folder unless it is the one that is taken anyway."""
    place = "" if artifacts == ROOT / "artifacts" else f" --artifacts {shlex.quote(str(artifacts))}"
    return f"python run_pipeline.py check --repair{place}"
