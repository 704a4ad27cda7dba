"""How the report writes numbers: no more digits than they carry, units set apart."""

from collections.abc import Callable, Mapping
from datetime import datetime

from markupsafe import Markup, escape

THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"


def percent(share: float, decimals: int = 1) -> str:
    """`0.9953` as `99.53 %`; what is short of 100 % never reads as 100 %."""
    text = f"{100 * share:.{decimals}f}"
    if share < 1 and float(text) == 100:
        text = f">{THIN_SPACE}{100 - 10**-decimals:.{decimals}f}"
    return f"{text}{THIN_SPACE}%"


def tick_percent(share: float) -> str:
    """`97.5 %`, with as few decimals as it needs."""
    return f"{100 * share:g}{THIN_SPACE}%"


def figure(value: float) -> str:
    """Three significant digits: `0.0152`."""
    return f"{value:#.3g}"


def whole(value: int) -> str:
    """`10,000`."""
    return f"{value:,}"


def breakable(name: str) -> Markup:
    """A dotted name that may go on in a new line after each of its words."""
    text = str(escape(name))
    return Markup(text.replace(".", ".<wbr>").replace("_", "_<wbr>"))


def duration(seconds: float) -> str:
    """`48 s`, `3 min 20 s`, `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    shown = [f"{value} {unit}" for value, unit in parts if value]
    return " ".join(shown[:2]) or f"{seconds:.1f} s"


def moment(time: datetime) -> str:
    """`3 March 2026, 14:02 UTC`."""
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


FILTERS: Mapping[str, Callable[..., str]] = {
    "percent": percent,
    "figure": figure,
    "whole": whole,
    "duration": duration,
    "breakable": breakable,
    "moment": moment,
}
