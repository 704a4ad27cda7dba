"""Sources: one file each, which reads images and labels."""

from typing import Any, Protocol

from pipeline.config.schema import DataSection
from pipeline.data.images.types import SourceData


class Source(Protocol):
    """A module that reads data of one kind."""

    @property
    def Options(self) -> type[DataSection]:  # noqa: N802
        """The section `data` with this source's options; `source` takes its file's name alone."""

    def load(self, options: Any) -> SourceData:
        """Reads both splits.

        Raises:
            DataError: the data are wrong.
        """
