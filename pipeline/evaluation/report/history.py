"""Reads how training went, epoch by epoch, from history.csv."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import DataError


@dataclass(frozen=True)
class Kept:
    """The epoch whose weights were kept, and the value by which it was the best."""

    epoch: int
    monitor: str

    @property
    def why(self) -> str:
        """`lowest validation loss`."""
        lowest = "lowest" if self.monitor == "val_loss" else "highest"
        return f"{lowest} {self.monitor.replace('val_', 'validation ')}"


@dataclass(frozen=True)
class History:
    """Columns of history.csv; nan where a value is missing.

    Attributes:
        epochs: number of each epoch, in order.
        columns: values by name, each as long as `epochs`.
        kept: which epoch was kept, where that is known.
        members: how many networks the values are the mean of.
    """

    epochs: tuple[float, ...]
    columns: Mapping[str, tuple[float, ...]]
    kept: Kept | None = None
    members: int = 1

    def points(self, name: str) -> list[tuple[float, float]]:
        """(epoch, value) wherever the column has a finite value; empty without the column."""
        values = self.columns.get(name, ())
        return [(x, y) for x, y in zip(self.epochs, values, strict=False) if math.isfinite(y)]

    @property
    def seconds(self) -> float:
        return math.fsum(seconds for _, seconds in self.points("seconds"))


def read(path: Path, kept: Kept | None = None) -> History:
    """Reads the file; without the column `epoch`, epochs count from 1.

    Of several members, each epoch has the mean of those that came to it, and all their seconds.

    Raises:
        DataError: a value is no number, or the file cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = rows[0].keys() if rows else ()
        columns = {name: tuple(_number(row[name]) for row in rows) for name in names}
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: no readable training history ({error}); make it again with --force train"
        ) from error
    members = len(set(columns.get("member", (1,))))
    if "member" in columns:
        columns = _over_members(columns)
    epochs = columns.pop("epoch", tuple(map(float, range(1, len(rows) + 1))))
    return History(epochs, columns, kept, members)


def _over_members(columns: Mapping[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
    of_rows = columns["epoch"]
    epochs = sorted(set(of_rows))

    def together(name: str, epoch: float) -> float:
        values = [v for v, of in zip(columns[name], of_rows, strict=True) if of == epoch]
        found = [value for value in values if math.isfinite(value)]
        if not found:
            return math.nan
        return math.fsum(found) / (1 if name == "seconds" else len(found))

    names = [name for name in columns if name != "member"]
    return {name: tuple(together(name, epoch) for epoch in epochs) for name in names}


def _number(text: str | None) -> float:
    return float(text) if text else math.nan
