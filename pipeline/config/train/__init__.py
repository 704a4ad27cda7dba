"""The `train` section of the config."""

from math import prod
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipeline.config.base import Fraction, NotInKey
from pipeline.config.suggestions import section_of
from pipeline.config.train.distillation import Distillation
from pipeline.config.train.exclusions import exclusions, needing_one_device, refuse_what_excludes
from pipeline.config.train.fine_tuning import BegunFrom
from pipeline.config.train.pruning import Pruning
from pipeline.config.train.quantization_aware import QuantizationAware
from pipeline.config.train.sharpness_aware import SharpnessAware
from pipeline.config.train.technique import TechniqueSection
from pipeline.core import plugins

MOST_MEMBERS = 100
Strategy = Literal["auto", "none", "mirrored", "multi_worker"]


def _check_preset(name: str) -> str:
    known = plugins.names(plugins.MODELS)
    if name not in known:
        raise ValueError(f"{name!r} is no preset. Available: {', '.join(known)}")
    return name


class TrainSection(BegunFrom):
    """How to train; or, with a `model_file`, which trained model to take as it is.

    Attributes:
        epochs: how many times all training images are seen.
        batch_size: images of one step.
        optimizer: the rule of a step.
        learning_rate: the highest that `schedule` comes to.
        momentum: of `sgd` alone, as `nesterov` is.
        nesterov: looks ahead along the momentum.
        weight_decay: share of each weight that a step takes away, times the learning rate.
        schedule: `constant`, or from there down to `final_fraction` of it in the end; `one_cycle`
            rises to it first, for `warmup_fraction` of all steps.
        warmup_fraction: of `one_cycle`, the share of all steps in which the rate rises.
        final_fraction: what share of the rate is left at the end.
        label_smoothing: share of each target that is spread over all classes.
        calibrate: divides the logits by one number, so that probabilities are as often right as
            they say, on validation images; not where `quantization_aware` learns the logits' range.
        ema_momentum: keeps a moving average of the weights, which is what is measured and
            published.
        monitor: the figure of validation whose best epoch is kept.
        early_stopping_patience: ends after this many epochs without a better one.
        class_weights: `balanced` lets each class count the same, however many images it has.
        precision: `auto` is mixed float16 on a GPU with tensor cores, mixed bfloat16 on a CPU that
            a probe finds faster so, else float32; exported files are made from float32.
        jit_compile: whether XLA compiles the training step; `auto` measures it once.
        memory_limit_mib: training and validation images that take more are read from their shards
            again in each epoch, and shuffled only as far as a buffer reaches.
        deterministic: the same bits each time on the same device with as many threads, also after
            a kill. Precision and XLA are then not chosen by timing.
        checkpoint_every_steps: how many steps a kill may cost at most; an epoch where None.
        distillation: learns from a trained model besides the labels.
        strategy: `mirrored` trains on all GPUs of the machine, `multi_worker` on all machines of
            `TF_CONFIG`; `auto` as one of them where there are more than one. They share out each
            batch of `batch_size` images, and take the steps that one device would.
        pruning: sets weights to 0 or takes filters away.
        sharpness_aware: looks for weights around which the loss is low too.
        members: the model gives the mean of this many networks' probabilities. The first has the
            config's seed, each other the next one.
        member_presets: members take these presets in turn, each with those options of `model`
            that it has; `model.preset` for all where it is empty.
    """

    epochs: Annotated[int, Field(ge=1)] = 10
    batch_size: Annotated[int, Field(ge=1)] = 128
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    momentum: Fraction = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    schedule: Literal["constant", "exponential", "cosine", "one_cycle"] = "constant"
    warmup_fraction: Fraction = 0.2
    final_fraction: Annotated[float, Field(gt=0, le=1)] = 1e-3
    label_smoothing: Fraction = 0.0
    calibrate: bool = True
    ema_momentum: Annotated[float, Field(gt=0, lt=1)] | None = None
    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    early_stopping_patience: Annotated[int, Field(ge=1)] | None = None
    class_weights: Literal["none", "balanced"] = "none"
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    jit_compile: Literal["auto", True, False] = "auto"
    memory_limit_mib: Annotated[int, Field(ge=0)] = 512
    deterministic: bool = False
    checkpoint_every_steps: Annotated[int, Field(ge=1), NotInKey()] | None = None
    distillation: Distillation | None = None
    strategy: Annotated[Strategy, NotInKey()] = "auto"
    quantization_aware: QuantizationAware = QuantizationAware()
    pruning: Pruning | None = None
    sharpness_aware: SharpnessAware | None = None
    members: Annotated[int, Field(ge=1, le=MOST_MEMBERS)] = 1
    member_presets: tuple[Annotated[str, AfterValidator(_check_preset)], ...] = ()

    @model_validator(mode="after")
    def _each_preset_has_a_member(self) -> "TrainSection":
        named = len(self.member_presets)
        if named and self.members < max(named, 2):
            raise ValueError(
                f"member_presets names {named}, and members is {self.members}; set members to "
                f"{max(named, 2)} or more"
            )
        return self

    @model_validator(mode="after")
    def _nesterov_needs_sgd(self) -> "TrainSection":
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise ValueError("nesterov needs optimizer: sgd with a momentum above 0")
        return self

    @model_validator(mode="after")
    def _settings_go_together(self) -> "TrainSection":
        refuse_what_excludes(self.in_use, EXCLUSIONS)
        return self

    @model_validator(mode="after")
    def _there_is_time_to_compress(self) -> "TrainSection":
        for name, technique in reversed(self.techniques.items()):
            if self.epochs < technique.least_epochs:
                raise ValueError(
                    f"{name} begins after the first epoch; set epochs to "
                    f"{technique.least_epochs} or more"
                )
        return self

    def outside_files(self) -> dict[str, Path | None]:
        """Those of the model, and of the techniques."""
        files = super().outside_files()
        for technique in self.techniques.values():
            files.update(technique.outside_files())
        return files

    @property
    def techniques(self) -> dict[str, TechniqueSection]:
        """The settings of the techniques in use, by their keys; fine-tuning has none of these."""
        found = {name: getattr(self, name) for name in TECHNIQUES}
        return {name: section for name, section in found.items() if section and section.is_on}

    @property
    def float32(self) -> str:
        """Why this precision is needed; empty where it is not."""
        return next((t.float32 for t in self.techniques.values() if t.float32), "")

    @property
    def loss_factor(self) -> float:
        """How many times the loss of the labels alone the whole loss of guessing may be."""
        return prod(technique.loss_factor for technique in self.techniques.values())

    @property
    def in_use(self) -> tuple[str, ...]:
        """The settings that may exclude others, of those that are set."""
        held = self.fine_tuning if self.initial_weights else None
        is_set = {
            "model_file": self.model_file,
            "initial_weights": self.initial_weights,
            "fine_tuning.head: nearest_mean": self.fine_tuning.trains_nothing,
            "fine_tuning.freeze": held and held.freeze != "none",
            "fine_tuning.freeze_batch_norm: true": held and held.freeze_batch_norm,
            "fine_tuning.rate_factors": held and held.rate_factors,
            "members": self.members > 1,
            "member_presets": self.member_presets,
            **dict.fromkeys(self.techniques, True),
            "jit_compile: true": self.jit_compile is True,
            f"precision: {self.precision}": True,
            f"strategy: {self.strategy}": True,
        }
        return tuple(name for name, value in is_set.items() if value)

    @property
    def needs_one_device(self) -> bool:
        return not set(needing_one_device(TECHNIQUES)).isdisjoint(self.in_use)


TECHNIQUES: dict[str, type[TechniqueSection]] = {
    name: section
    for name, field in TrainSection.model_fields.items()
    if isinstance(section := section_of(field.annotation), type)
    and issubclass(section, TechniqueSection)
}
"""The sections of `train` that declare a technique, by their keys."""

EXCLUSIONS = exclusions(TECHNIQUES)
