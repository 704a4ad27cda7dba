"""What `dataset.json` says of the images beside it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pipeline.core.text import first_of
from pipeline.data.images.decoding import Alpha, Fit

FILE_NAME = "dataset.json"
LONGEST_SHOWN = 40
MOST_SHOWN, FEW_SHOWN = 5, 3


@dataclass(frozen=True)
class Preparation:
    """How ink lies in the training images: what a person's picture is brought to.

    Attributes:
        box: pixels of a subject's longer side.
        centre: what of a subject lies at `middle`: its centre of mass, or that of its box.
        middle: twice the pixels from the top and from the left.
        kind: of what the images are.
    """

    box: int
    centre: Literal["mass", "box"]
    middle: tuple[int, int]
    kind: Literal["ink"] = "ink"


@dataclass(frozen=True)
class Description:
    """A data set as a model and a reader of the report need to know it.

    Attributes:
        image_shape: height, width and channels.
        classes: names, in label order.
        counts: images per class in label order, by split.
        pixel_mean: of the training images, 0..255, per channel.
        pixel_deviation: standard deviation of the same.
        origin: where the images came from, for a person.
        source_sha256: of the files that the source read, by option or place.
        cleaning: numbers of images changed, dropped or found wanting, by reason.
        fit: how picture files were brought to size, as in `Decoding`; None where there were none.
        alpha: what was laid behind their transparent parts.
        preparation: how ink lies in them; None where they are something else.
    """

    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    pixel_mean: tuple[float, ...]
    pixel_deviation: tuple[float, ...]
    origin: str
    source_sha256: Mapping[str, str]
    cleaning: Mapping[str, int]
    fit: Fit | None = None
    alpha: Alpha | None = None
    preparation: Preparation | None = None

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def size(self, split: str) -> int:
        """The number of images of a split."""
        return sum(self.counts[split])

    @property
    def classes_line(self) -> str:
        """`cat (14/1/5), dog (13/2/5)`: of each class the images by split; of many some classes."""
        most = FEW_SHOWN if self.num_classes > MOST_SHOWN else self.num_classes
        columns = (self.counts[split] for split in ("train", "validation", "test"))
        shown = [
            f"{readable_name(name)} ({'/'.join(f'{count:,}' for count in of_splits)})"
            for name, *of_splits in zip(self.classes, *columns, strict=True)
        ]
        return first_of(shown, most)


def readable_name(name: str) -> str:
    """A class's name, of which a long one is cut off."""
    return name if len(name) <= LONGEST_SHOWN else f"{name[: LONGEST_SHOWN - 1]}…"


def write(folder: Path, description: Description) -> None:
    text = json.dumps(asdict(description), indent=2, ensure_ascii=False)
    # A file's name may be no text; JSON has an escape for that too.
    (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def read(folder: Path) -> Description:
    fields = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    for name in ("image_shape", "classes", "pixel_mean", "pixel_deviation"):
        fields[name] = tuple(fields[name])
    fields["counts"] = {split: tuple(counts) for split, counts in fields["counts"].items()}
    if prepared := fields.get("preparation"):
        fields["preparation"] = Preparation(**{**prepared, "middle": tuple(prepared["middle"])})
    return Description(**fields)
