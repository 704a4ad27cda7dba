"""What the sources of picture files share: their options, and a mapping that stays small."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.schema import DataSection
from pipeline.data.images.decoding import Alpha, ColorMode, Decoding, Fit

Side = Annotated[int, Field(ge=1, le=4096)]


class PictureOptions(DataSection):
    """How picture files become pixels.

    Attributes:
        color_mode: the channels that a model sees.
        image_size: height and width; None where all files have one size already.
        fit: how a picture of another shape comes to that size. `stretch` ignores its proportions,
            `letterbox` keeps them and leaves the rest black, `crop` cuts off both ends.
        alpha: what lies behind transparent parts; `refuse` leaves such files out.
    """

    color_mode: ColorMode = "rgb"
    image_size: tuple[Side, Side] | None = None
    fit: Fit = "stretch"
    alpha: Alpha = "refuse"

    @model_validator(mode="after")
    def _fit_has_a_size(self) -> "PictureOptions":
        if self.image_size is None and self.fit != "stretch":
            raise ValueError(
                f"data.fit={self.fit} needs a size, such as data.image_size='[64, 64]'"
            )
        return self

    @model_validator(mode="after")
    def _pictures_have_one_range(self) -> "PictureOptions":
        if self.reads_pictures() and self.pixel_range not in (None, (0, 255)):
            raise ValueError(
                f"pixel_range: the pixels of picture files are 0..255, not {list(self.pixel_range)}"
                ", and whoever asks the model feeds such files; save the pictures so"
            )
        return self

    def reads_pictures(self) -> bool:
        """Whether images are files."""
        return True

    def decoding(self) -> Decoding:
        return Decoding(self.color_mode, self.image_size, self.fit, self.alpha)


class PictureFiles(Mapping[str, Path | None]):
    """Many files by the names that count; a `Path`, which is large, is made when asked for.

    Of those that cannot be read, the name alone counts.
    """

    def __init__(self, paths: Mapping[str, str | None]) -> None:
        self._paths = paths

    def __getitem__(self, name: str) -> Path | None:
        path = self._paths[name]
        return None if path is None else Path(path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)
