"""What a model takes and what it gives: names, shapes, and how numbers are stored."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

if TYPE_CHECKING:
    import numpy as np


# Of what a contract says of few files alone: it stands inside each of them.
LEFT_OUT_IF_NONE = Field(exclude_if=lambda value: value is None)


@dataclass(frozen=True)
class TensorType:
    """How numbers are stored; quantised ones stand for `(stored - zero_point) * scale`.

    Attributes:
        dtype: of a number.
        scale: none where numbers stand for themselves.
        zero_point: the stored number that stands for 0.
        layout: the order of an image's dimensions, the batch first, where it is not that of all
            images here, which is NHWC.
    """

    dtype: str = "float32"
    scale: float | None = None
    zero_point: int | None = None
    layout: Annotated[Literal["NCHW"] | None, LEFT_OUT_IF_NONE] = None

    def encode(self, values: "np.ndarray") -> "np.ndarray":
        """Turns real numbers into what is stored; those out of its range become its ends."""
        import numpy as np

        if self.layout == "NCHW":
            values = np.ascontiguousarray(np.moveaxis(values, -1, 1))
        if self.scale is None:
            return values.astype(self.dtype)
        ends = np.iinfo(self.dtype)
        stored = np.rint(np.asarray(values, np.float32) / self.scale) + (self.zero_point or 0)
        return stored.clip(ends.min, ends.max).astype(self.dtype)

    def decode(self, stored: "np.ndarray") -> "np.ndarray":
        """Turns what is stored into real numbers, float32."""
        import numpy as np

        if self.scale is None:
            return stored.astype(np.float32)
        zero_point = np.float32(self.zero_point or 0)
        return (stored.astype(np.float32) - zero_point) * np.float32(self.scale)

    def arranged(self, image_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The sizes of an image (height, width, channels) as they are stored."""
        height, width, channels = image_shape
        return (channels, height, width) if self.layout == "NCHW" else image_shape


FLOAT32 = TensorType()


@dataclass(frozen=True)
class Tensor:
    """One end of a model; a dimension that may have any size is its name, `N`."""

    name: str
    shape: tuple[int | str, ...]
    type: TensorType = FLOAT32

    @property
    def channels(self) -> int:
        """Of the images that it holds."""
        return int(self.shape[1 if self.type.layout == "NCHW" else -1])


@dataclass(frozen=True)
class Interface:
    """What a model takes and what it gives."""

    input: Tensor
    output: Tensor


def with_channels(images: "np.ndarray", channels: int) -> "np.ndarray":
    """Grey images as three equal channels for a model that takes so many; others as they are.

    Args:
        images: uint8 (count, height, width, channels).
        channels: that the model takes.
    """
    return images.repeat(channels, axis=-1) if images.shape[-1] < channels else images


def contradiction(found: Interface, promised: Interface) -> str:
    """The first thing in which a file is not what its format promises; empty if there is none."""
    for end in ("input", "output"):
        ends = getattr(found, end), getattr(promised, end)
        for is_so, must_be in zip(*map(_properties, ends), strict=True):
            if is_so != must_be:
                return f"its {end} has {is_so}, expected {must_be}"
    return ""


def _properties(tensor: Tensor) -> list[str]:
    return [
        f"name {tensor.name}",
        f"shape {tensor.shape}",
        f"dtype {tensor.type.dtype}",
        f"scale {tensor.type.scale}",
        f"zero point {tensor.type.zero_point}",
        f"layout {tensor.type.layout or 'NHWC'}",
    ]
