"""Writes `docs/zoo.md`: `python -m tests.zoo.table`."""

from collections.abc import Iterable, Iterator

from pipeline.core.plugins import ROOT
from tests.zoo.bring import FORMATS
from tests.zoo.networks import APPLICATIONS, CONFIGS, NETWORKS, presets
from tests.zoo.outside import outside

PAGE = ROOT / "docs" / "zoo.md"
HEAD = """# What goes into which format

Each row was brought through `run_pipeline.py export --model`, a shipped config through `run`:
trained on 400 made-up pictures (of a network of `keras.applications` the last layer alone, behind
random weights and 96 pixels a side), written in all eight formats, taken apart, and asked about 100
test images.

✓ passes its audit and answers as Keras does: SavedModel and the files in float32 and float16 by
their own gates, the others, and float16 of `keras.applications`, within 10 points of accuracy. A
number is a reason, below, that lies outside of this project. `make zoo` tries it all again.
"""


def page() -> str:
    reasons: dict[str, int] = {}
    parts = [HEAD]
    for title, names in _sections().items():
        parts.append(f"## {title}\n\n" + "\n".join(_rows(names, reasons)) + "\n")
    if reasons:
        told = "\n".join(f"{number}. {why}" for why, number in reasons.items())
        parts.append(f"## Reasons\n\n{told}\n")
    return "\n".join(parts)


def _sections() -> dict[str, Iterable[str]]:
    small = [name for name in NETWORKS if name not in APPLICATIONS]
    return {
        "Shipped configs": CONFIGS,
        "keras.applications": APPLICATIONS,
        "Presets and their options": presets(),
        "Layers, activations and shapes of networks": small,
    }


def _rows(names: Iterable[str], reasons: dict[str, int]) -> Iterator[str]:
    """The rows of a table; new reasons get the next numbers."""
    yield "| | " + " | ".join(f"`{name}`" for name in FORMATS) + " |"
    yield "|---" * (len(FORMATS) + 1) + "|"
    for name in names:
        failed = outside(name)
        cells = (
            str(reasons.setdefault(failed[f], len(reasons) + 1)) if f in failed else "✓"
            for f in FORMATS
        )
        yield f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), "utf-8")
