"""The keys of `train` that name a trained model to begin from, and say what of it may move."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pipeline.config.base import CLASSES, OutsidePath, Section, trained_file
from pipeline.config.train.model_file import ModelFile

EVERYWHERE = ("none", "all_but_head")


def _frozen_layers(value: Any) -> str | tuple[str, ...]:
    if isinstance(value, str) and value in EVERYWHERE:
        return value
    is_list = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
    if not is_list or not value:
        raise ValueError(
            f"{value!r} should be none, all_but_head, or a list of layers such as [conv1, conv2]"
        )
    return tuple(value)


Frozen = Annotated[str | tuple[str, ...], BeforeValidator(_frozen_layers)]
Factor = Annotated[float, Field(gt=0, le=100)]


class FineTuning(Section):
    """What of a trained model is kept, and how fast the rest may move.

    Attributes:
        freeze: layers whose weights stay as they are, to the last bit; the head is the last layer
            that has weights.
        unfreeze_every_epochs: after each so many epochs, the last layer that is still frozen
            begins to train too.
        rate_factors: by layer, what the learning rate is multiplied by.
        freeze_batch_norm: batch norm computes with the statistics and weights that it came with,
            in all layers. Otherwise its statistics follow the new images, in frozen layers too.
        head: `new` begins from random weights, `kept` goes on with those it came with, `auto` is
            `new` where the classes are others, and refused where a `.keras` file does not tell
            them. `nearest_mean` trains nothing: each class gets the
            mean of its images' features, and the nearest mean answers.
    """

    freeze: Frozen = "none"
    unfreeze_every_epochs: Annotated[int, Field(ge=1)] | None = None
    rate_factors: Mapping[str, Factor] = Field(default_factory=dict)
    freeze_batch_norm: bool = True
    head: Literal["auto", "new", "kept", "nearest_mean"] = "auto"

    @property
    def trains_nothing(self) -> bool:
        return self.head == "nearest_mean"

    @model_validator(mode="after")
    def _settings_go_together(self) -> "FineTuning":
        if self.unfreeze_every_epochs and self.freeze == "none":
            raise ValueError("unfreeze_every_epochs has nothing to unfreeze; set freeze too")
        if self.trains_nothing and (
            self.freeze not in EVERYWHERE
            or self.unfreeze_every_epochs
            or self.rate_factors
            or not self.freeze_batch_norm
        ):
            raise ValueError(
                "head: nearest_mean trains nothing; leave out freeze (or say all_but_head), "
                "unfreeze_every_epochs, rate_factors and freeze_batch_norm"
            )
        return self


class BegunFrom(ModelFile):
    """Which trained model training begins from, if from any.

    Attributes:
        initial_weights: a train artifact's folder or key, or a `.keras` file; its weights go over
            by the names and shapes of layers.
    """

    initial_weights: OutsidePath | None = None
    fine_tuning: FineTuning = FineTuning()

    @model_validator(mode="after")
    def _begins_from_something(self) -> "BegunFrom":
        if self.initial_weights is None and self.fine_tuning != FineTuning():
            raise ValueError(
                "fine_tuning needs initial_weights: the folder or key of a train artifact, or a "
                ".keras file"
            )
        return self

    def outside_files(self) -> dict[str, Path | None]:
        """Those of the model that is taken as it is, and of the one that training begins from.

        The classes of an artifact are among them: they decide what `head: auto` does.
        """
        files, begun_from = super().outside_files(), self.initial_weights
        if begun_from is None:
            return files
        files["initial_weights"] = trained_file(begun_from)
        if begun_from.suffix != ".keras":
            classes = begun_from / CLASSES
            files["initial_classes"] = classes if classes.exists() else None
        return files
