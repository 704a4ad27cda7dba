"""The keys of `train` that name a trained model to take as it is, instead of training one."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from pipeline.config.base import ClassNames, OutsidePath, Section
from pipeline.config.train import model_kinds
from pipeline.core.errors import ConfigError


def _check_is_keras(path: Path) -> Path:
    if path.suffix != ".keras":
        raise ValueError(model_kinds.explanation(path))
    return path


def _check_is_python(path: Path) -> Path:
    if path.suffix != ".py":
        raise ValueError(f"{path} is no .py file")
    return path


def range_of(text: str) -> tuple[float, float]:
    """The ends of a range as a person types it, `0..1`.

    Raises:
        ConfigError: it is no range.
    """
    low, _, high = text.partition("..")
    try:
        return float(low), float(high)
    except ValueError:
        raise ConfigError(f"{text!r} is no range; expected LOW..HIGH, such as 0..1") from None


class ModelFile(Section):
    """Which model, and what it takes and gives.

    Attributes:
        model_file: a `.keras` file.
        model_code: a `.py` file that defines classes of the model's own; it is run.
        trust_model_file: allows the file to run code: Lambda layers, and classes of its own.
        pixel_range: what the model takes for a pixel of 0 and for one of 255.
        gives: what the model gives; logits get a softmax.
        class_order: the names of the data's classes in the order of the model's outputs, where
            that is another than the data's.
    """

    model_file: Annotated[OutsidePath, AfterValidator(_check_is_keras)] | None = None
    model_code: Annotated[OutsidePath, AfterValidator(_check_is_python)] | None = None
    trust_model_file: bool = False
    pixel_range: tuple[float, float] = (0.0, 255.0)
    gives: Literal["probabilities", "logits"] = "probabilities"
    class_order: ClassNames | None = None

    @model_validator(mode="after")
    def _model_is_told_of(self) -> "ModelFile":
        if self.model_file is None and self.class_order:
            raise ValueError("class_order needs a model_file")
        if self.model_file is None and (self.trust_model_file or self.model_code):
            raise ValueError("trust_model_file and model_code need a model_file")
        if self.model_code and not self.trust_model_file:
            raise ValueError("model_code is run; if you trust it, set trust_model_file=true")
        if self.pixel_range[0] >= self.pixel_range[1]:
            raise ValueError(f"pixel_range is {list(self.pixel_range)}; expected [low, high]")
        return self

    def outside_files(self) -> dict[str, Path | None]:
        """The model file and its code, where there are any; their bytes become part of the key."""
        return {path.name: path for path in (self.model_file, self.model_code) if path}
