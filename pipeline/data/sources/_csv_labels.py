"""Where the class of a table's row stands: in one column, or in a column for each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

from pydantic import model_validator

from pipeline.core.errors import DataError
from pipeline.data.sources._csv_rows import (
    Column,
    Table,
    TableOptions,
    excerpt,
    holds_values,
    refuse_ragged,
)

MARKS = {"1": True, "0": False, "1.0": True, "0.0": False, "True": True, "False": False}
MOST_SHOWN = 3


class LabelOptions(TableOptions):
    """Where labels stand.

    Attributes:
        label_column: its name in the header; without `path_column` and `pixels_column`, all other
            columns are pixels, row by row, the channels of a pixel side by side.
        label_columns: one for each class instead, of which one is 1 and the others are 0.
    """

    label_column: Column = "label"
    label_columns: tuple[Column, ...] | None = None

    @model_validator(mode="after")
    def _label_columns_stand_alone(self) -> "LabelOptions":
        columns = self.label_columns
        if columns is None:
            return self
        if len(columns) < 2 or len(set(columns)) < len(columns):
            raise ValueError(f"label_columns: {list(columns)} should be two columns or more")
        if self.label_column != "label":
            raise ValueError("give data.label_column or data.label_columns, one of the two")
        return self


@dataclass(frozen=True)
class Labels:
    """The columns of labels, and the others.

    Attributes:
        path: the table.
        names: of all columns.
        at: where labels stand; several are one for each class.
    """

    path: object
    names: list[str]
    at: tuple[int, ...]

    @property
    def others(self) -> list[str]:
        """The names of the other columns."""
        return [name for index, name in enumerate(self.names) if index not in self.at]

    def take_label(self, where: str, row: list[str]) -> str:
        """Takes the label out of a row, which then holds the other columns alone."""
        label = self.take_label_if_any(where, row)
        if label is None:
            raise DataError(f"{where}: has no label. Write its class, or drop the row.")
        return label

    def take_label_if_any(self, where: str, row: list[str]) -> str | None:
        """The same, of a row that may have none."""
        refuse_ragged(where, row, self.names)
        texts = [row[index] for index in self.at]
        for index in sorted(self.at, reverse=True):
            del row[index]
        if not any(text.strip() for text in texts):
            return None
        return self._one(where, texts) if len(texts) > 1 else texts[0]

    def _one(self, where: str, texts: Sequence[str]) -> str:
        """The name of the column that is marked."""
        for text in texts:
            if text.strip() not in MARKS:
                raise DataError(
                    f"{where}: {excerpt(text)} in a column of data.label_columns, expected 0 or 1. "
                    "Correct the value."
                )
        marked = [index for index, text in enumerate(texts) if MARKS[text.strip()]]
        if len(marked) != 1:
            raise DataError(
                f"{where}: {len(marked)} of data.label_columns are 1, expected one, the image's "
                "class. Correct the row, or drop it."
            )
        return self.names[self.at[marked[0]]]


def label_names(options: LabelOptions) -> tuple[str, ...]:
    """The columns of labels; the first one of a table without a header, if none is named."""
    is_first = not options.header and options.label_column == "label"
    return options.label_columns or ("1" if is_first else options.label_column,)


def find_labels(table: Table, options: LabelOptions) -> Labels:
    """The columns of labels.

    Raises:
        DataError: there are none such.
    """
    asked = label_names(options)
    missing = next((name for name in asked if name not in table.names), None)
    if missing is not None:
        raise _no_label(table, missing, options)
    return Labels(table.path, table.names, tuple(table.names.index(name) for name in asked))


def _no_label(table: Table, missing: str, options: LabelOptions) -> DataError:
    begins = ", ".join(map(excerpt, table.names[:MOST_SHOWN]))
    found = f"{table.path}: line 1: no column {missing!r}; the header begins with {begins}."
    if options.label_columns:
        return DataError(f"{found} Correct data.label_columns.")
    if options.header and holds_values(table.names):
        return DataError(
            f"{found} Set data.header=false if that is no header; columns are then called 1, 2 and "
            "so on, and data.label_column is 1 unless said. Else set data.label_column."
        )
    if marked := _one_hot(table):
        setting = quote(f"data.label_columns=[{', '.join(marked)}]")
        return DataError(
            f"{found} One of several columns is 1 in each row: if these are the classes, set "
            f"{setting}. Else set data.label_column."
        )
    return DataError(
        f"{found} Set data.label_column, or add labels; for a test split from the training table, "
        "set data.test_fraction and no data.test_file."
    )


def _one_hot(table: Table) -> list[str]:
    """The columns of marks, if the first rows each have one that is set."""
    rows = [row for _, (_, row) in zip(range(100), table.rows, strict=False)]
    if not rows or any(len(row) != len(table.names) for row in rows):
        return []
    columns = list(zip(table.names, zip(*rows, strict=True), strict=True))
    marks = {name: [MARKS.get(text.strip()) for text in texts] for name, texts in columns}
    marked = {name: row for name, row in marks.items() if None not in row}
    if len(marked) < 2 or any(
        sum(map(bool, row)) != 1 for row in zip(*marked.values(), strict=True)
    ):
        return []
    return list(marked)
