"""Where the lines, dots and ticks of the report's charts lie, in SVG units."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.ticker import LogLocator, MaxNLocator

from pipeline.evaluation.calibration import Bin
from pipeline.evaluation.report.history import History

WIDTH, HEIGHT = 400, 240
LEFT, RIGHT, TOP, BOTTOM = 48, 8, 8, 38
SQUARE_HEIGHT = WIDTH - LEFT - RIGHT + TOP + BOTTOM

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """Maps values to places between `start` and `end`, which may run backwards."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.is_log:
            low, high, at = math.log10(low), math.log10(high), math.log10(value)
        return round(self.start + (self.end - self.start) * (at - low) / (high - low), 2)


@dataclass(frozen=True)
class Tick:
    place: float
    value: float


@dataclass(frozen=True)
class Line:
    """One curve: its name and places, and the place and value at the epoch that was kept.

    Where that is not known, `mark` and `value` are of the last point.
    """

    name: str
    points: tuple[Point, ...]
    mark: Point
    value: float

    @property
    def path(self) -> str:
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


@dataclass(frozen=True)
class Curves:
    """The curves of one quantity over the epochs; `kept` is the place of the one that was kept."""

    title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    kept: float | None


@dataclass(frozen=True)
class Dot:
    """A bin of the reliability diagram: its place and the ends of its interval."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """Accuracy against probability, one dot a bin."""

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    dots: tuple[Dot, ...]


def learning_curves(history: History, title: str, column: str) -> Curves | None:
    """Training and validation curves of a column; None where it has neither.

    Values that are all above 0 and span more than a factor of ten get a logarithmic axis.
    """
    series = {
        name: points
        for name, points in (
            ("training", history.points(column)),
            ("validation", history.points(f"val_{column}")),
        )
        if points
    }
    if not series:
        return None
    epochs, values = zip(*(point for points in series.values() for point in points), strict=True)
    x, x_ticks = _epoch_axis(epochs)
    y, y_ticks = _value_axis(values)
    kept = history.kept.epoch if history.kept else None
    lines = tuple(_line(name, points, x, y, kept) for name, points in series.items())
    return Curves(title, x_ticks, y_ticks, lines, None if kept is None else x.place(kept))


def _line(name: str, points: Sequence[Point], x: Axis, y: Axis, kept: int | None) -> Line:
    epoch, value = next((point for point in points if point[0] == kept), points[-1])
    places = tuple((x.place(at), y.place(v)) for at, v in points)
    return Line(name, places, (x.place(epoch), y.place(value)), value)


def reliability_diagram(bins: Sequence[Bin]) -> Reliability:
    x = Axis(0, 1, LEFT, WIDTH - RIGHT)
    y = Axis(0, 1, SQUARE_HEIGHT - BOTTOM, TOP)
    dots = (
        Dot(x.place(b.confidence), *map(y.place, (b.accuracy, b.interval.low, b.interval.high)))
        for b in bins
    )
    fifths = [i / 5 for i in range(6)]
    return Reliability(_ticks(x, fifths), _ticks(y, fifths), tuple(dots))


def _epoch_axis(epochs: Sequence[float]) -> tuple[Axis, tuple[Tick, ...]]:
    low, high = min(epochs), max(epochs)
    if low == high:
        low, high = low - 1, high + 1
    axis = Axis(low, high, LEFT, WIDTH - RIGHT)
    whole = MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10]).tick_values(low, high)
    return axis, _ticks(axis, (t for t in whole if min(epochs) <= t <= max(epochs)))


def _value_axis(values: Sequence[float]) -> tuple[Axis, tuple[Tick, ...]]:
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.01, high + 0.01
    is_log = low > 0 and high / low > 10
    if is_log:
        steps = (1.0, 2.0, 5.0) if high / low < 100 else (1.0, 3.0)
        ticks = LogLocator(subs=steps, numticks=20).tick_values(low, high)
    else:
        ticks = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    below = max((t for t in ticks if t <= low), default=low)
    above = min((t for t in ticks if t >= high), default=high)
    axis = Axis(below, above, HEIGHT - BOTTOM, TOP, is_log)
    return axis, _ticks(axis, (t for t in ticks if below <= t <= above))


def _ticks(axis: Axis, values: Iterable[float]) -> tuple[Tick, ...]:
    return tuple(Tick(axis.place(float(v)), float(v)) for v in values)
