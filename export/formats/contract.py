"""`contract.json`: what a user of any format must feed it and will get, for programs to read.

Every format carries the same text inside it; its exporter's `read_contract` gives it back.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import TypeAdapter

from export.formats.format import formats
from export.formats.tensors import LEFT_OUT_IF_NONE, Interface, TensorType
from pipeline.core.errors import DataError
from pipeline.data.dataset_json import Preparation

if TYPE_CHECKING:
    from pipeline.data.images.ink import Layout

FILE_NAME = "contract.json"
LABELS_FILE_NAME = "labels.txt"

Background = Literal["dark", "light", "mixed"]
Fit = Literal["pad", "stretch", "letterbox", "crop"]
Alpha = Literal["contrast", "refuse", "white", "black"]


@dataclass(frozen=True)
class Resize:
    """How `predict` and the examples bring a picture to the model's size.

    Attributes:
        method: how pixels between pixels are found.
        antialias: whether shrinking averages over all pixels.
        fit: as the training images were brought to their size. `stretch` ignores the proportions;
            `letterbox` keeps them and leaves the rest black; `crop` keeps them and cuts off both
            ends. `pad`, where they had their size already, keeps the proportions and fills the
            rest with the picture's own border.
    """

    method: Literal["bilinear"] = "bilinear"
    antialias: bool = True
    fit: Fit = "pad"


@dataclass(frozen=True)
class ImageInput:
    """The input of every format.

    Attributes:
        shape: height, width, channels of one image.
        value_range: lowest and highest pixel; no other scaling is to be done.
        layout: order of the dimensions, the batch first, of formats that name no other.
        colour: `grey` or `rgb`; MediaPipe takes `rgb` alone, as `export.rgb_input` makes it.
        background: what surrounds the subject in the training images.
        resize: how a picture of another size is brought to this one.
        alpha: what lies behind transparent parts: white, black, or whichever of them the drawing
            stands out from; `refuse` where no training image had any.
        trained_colour: that of the training images, where the files take another.
        preparation: how ink lies in the training images, so that a picture of ink is brought to
            that (docs/preparation.md); not there where they are something else.
    """

    shape: tuple[int, int, int]
    colour: Literal["grey", "rgb"]
    background: Background
    name: str = "image"
    value_range: tuple[int, int] = (0, 255)
    layout: str = "NHWC"
    resize: Resize = Resize()
    alpha: Alpha = "contrast"
    trained_colour: Annotated[Literal["grey"] | None, LEFT_OUT_IF_NONE] = None
    preparation: Annotated[Preparation | None, LEFT_OUT_IF_NONE] = None

    @property
    def as_trained(self) -> "ImageInput":
        """The same of images as the training images were."""
        if self.trained_colour is None:
            return self
        shape = (*self.shape[:2], 1)
        return replace(self, shape=shape, colour=self.trained_colour, trained_colour=None)

    @property
    def ink_layout(self) -> "Layout | None":
        """How ink lies in the training images, as `ink.prepare` takes it."""
        from pipeline.data.images.ink import Layout

        if self.preparation is None:
            return None
        height, width, _ = self.shape
        known = self.preparation
        is_light = self.background == "dark"
        return Layout(height, width, known.box, known.centre, known.middle, is_light)


@dataclass(frozen=True)
class ProbabilitiesOutput:
    """The output of every format: one probability a label, in this order, with a sum of 1.

    Attributes:
        labels: class names.
        labels_sha256: of `labels.txt`, which holds the same, one a line.
    """

    labels: tuple[str, ...]
    labels_sha256: str
    name: str = "probabilities"


@dataclass(frozen=True)
class FormatContract:
    """What is particular to a format.

    Attributes:
        file: its file or folder, beside the contract.
        batch: number of images that it takes at once; `N` is any.
        input: how pixels are stored.
        output: how probabilities are stored.
        runs_from: the first release of a runtime that runs it, such as `TFLite 2.4.0`; none where
            the file does not say. It is known once the file is written, so the contract that a
            file carries says it of no format.
    """

    file: str
    batch: int | str
    input: TensorType
    output: TensorType
    runs_from: Annotated[str | None, LEFT_OUT_IF_NONE] = None


@dataclass(frozen=True)
class Contract:
    """The whole contract.

    Attributes:
        input: what all formats take.
        output: what all formats give.
        formats: those that were asked for, by name.
        model_key: key of the train artifact.
        data_key: key of the ingest artifact.
        versions: of the libraries that were there, by name; none of one that was not.
        schema: of this description; what reads it refuses another. That of 2 says less.
    """

    input: ImageInput
    output: ProbabilitiesOutput
    formats: Mapping[str, FormatContract]
    model_key: str
    data_key: str
    versions: Mapping[str, str | None]
    schema: Literal[2, 3] = 3


_CONTRACT = TypeAdapter(Contract)


def image_input(
    shape: tuple[int, int, int],
    background: Background,
    fit: Fit | None = None,
    alpha: Alpha | None = None,
    preparation: Preparation | None = None,
) -> ImageInput:
    """The input for training images that were files, brought to size by `fit`, or were not."""
    resize = Resize(fit=fit or "pad")
    colour: Literal["grey", "rgb"] = "rgb" if shape[2] == 3 else "grey"
    return ImageInput(
        shape,
        colour,
        background,
        resize=resize,
        alpha=alpha or "contrast",
        preparation=preparation,
    )


def output(labels: Sequence[str]) -> ProbabilitiesOutput:
    return ProbabilitiesOutput(
        tuple(labels), hashlib.sha256(labels_text(labels).encode()).hexdigest()
    )


def labels_text(labels: Sequence[str]) -> str:
    return "".join(f"{label}\n" for label in labels)


def of_format(name: str, interface: Interface) -> FormatContract:
    return FormatContract(
        file=formats()[name].path,
        batch=interface.input.shape[0],
        input=interface.input.type,
        output=interface.output.type,
    )


def running_from(contract: Contract, releases: Mapping[str, str | None]) -> Contract:
    """The contract with what is known of some formats once they are written, by name."""
    known = {
        name: replace(contract.formats[name], runs_from=release)
        for name, release in releases.items()
    }
    return replace(contract, formats={**contract.formats, **known})


def as_carried(contract: Contract) -> Contract:
    """The contract as the files themselves carry it."""
    return running_from(contract, dict.fromkeys(contract.formats))


def to_json(contract: Contract) -> str:
    return _CONTRACT.dump_json(contract).decode()


def from_json(text: str) -> Contract:
    """Reads a contract.

    Raises:
        pydantic.ValidationError: the text is none.
    """
    return _CONTRACT.validate_json(text)


def write(contract: Contract, folder: Path) -> None:
    """Writes `contract.json` and `labels.txt`."""
    (folder / FILE_NAME).write_bytes(_CONTRACT.dump_json(contract, indent=2) + b"\n")
    (folder / LABELS_FILE_NAME).write_text(labels_text(contract.output.labels), "utf-8")


def read(folder: Path) -> Contract:
    """Reads `contract.json`.

    Raises:
        FileNotFoundError: the folder has none.
        DataError: the file is no contract, or that of another version of this program.
    """
    path = folder / FILE_NAME
    try:
        return from_json(path.read_text("utf-8"))
    except ValueError as error:  # ValidationError is one, and so is what is no UTF-8
        raise DataError(
            f"{path}: is no contract as this version of the program writes it. "
            "Export once more with it: run --force export."
        ) from error
