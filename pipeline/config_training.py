"""The `train` section of the config."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config_base import Fraction, Undeciding
from pipeline.config_distillation import Distillation
from pipeline.config_ensemble import Members
from pipeline.config_fine_tuning import BegunFrom
from pipeline.config_pruning import Pruning
from pipeline.config_quantization import QuantizationAware

Strategy = Literal["auto", "none", "mirrored", "multi_worker"]


class TrainSection(BegunFrom, Members):
    """How to train; or, with a `model_file`, which trained model to take as it is.

    Attributes:
        memory_limit_mib: training and validation images that take more are read from their
            shards again in each epoch, and shuffled only as far as a buffer reaches.
        deterministic: the same bits each time on the same device with as many threads, also after
            a kill. Precision and XLA are then not chosen by timing.
        checkpoint_every_steps: how many steps a kill may cost at most; an epoch where None.
        strategy: `mirrored` trains on all GPUs of the machine, `multi_worker` on all machines of
            `TF_CONFIG`; `auto` as one of them where there are more than one. They share out each
            batch of `batch_size` images, and take the steps that one device would.
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
    ema_momentum: Annotated[float, Field(gt=0, lt=1)] | None = None
    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    early_stopping_patience: Annotated[int, Field(ge=1)] | None = None
    class_weights: Literal["none", "balanced"] = "none"
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    jit_compile: Literal["auto", True, False] = "auto"
    memory_limit_mib: Annotated[int, Field(ge=0)] = 512
    deterministic: bool = False
    checkpoint_every_steps: Annotated[int, Field(ge=1), Undeciding()] | None = None
    distillation: Distillation | None = None
    strategy: Annotated[Strategy, Undeciding()] = "auto"
    quantization_aware: QuantizationAware = QuantizationAware()
    pruning: Pruning | None = None

    @model_validator(mode="after")
    def _nesterov_needs_sgd(self) -> "TrainSection":
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise ValueError("nesterov needs optimizer: sgd with a momentum above 0")
        return self

    @model_validator(mode="after")
    def _teacher_needs_training(self) -> "TrainSection":
        if self.distillation and self.model_file:
            raise ValueError(
                "model_file is taken as it is and learns from no teacher; leave out one of "
                "model_file and distillation"
            )
        return self

    @model_validator(mode="after")
    def _members_are_trained(self) -> "TrainSection":
        if self.members > 1 and self.model_file:
            raise ValueError("model_file is taken as it is; leave out one of it and members")
        if self.members > 1 and self.fine_tuning.trains_nothing:
            raise ValueError(
                "fine_tuning.head: nearest_mean trains nothing, so all members would be the same; "
                "leave out one of it and members"
            )
        return self

    @model_validator(mode="after")
    def _means_are_not_taught(self) -> "TrainSection":
        if self.distillation and self.fine_tuning.trains_nothing:
            raise ValueError(
                "fine_tuning.head: nearest_mean trains nothing and learns from no teacher; leave "
                "out one of it and distillation"
            )
        return self

    @model_validator(mode="after")
    def _there_is_time_to_prune(self) -> "TrainSection":
        if self.pruning and (self.model_file or self.fine_tuning.trains_nothing):
            raise ValueError(
                "pruning needs a training; leave out one of it and model_file or head: nearest_mean"
            )
        if self.pruning and self.epochs < 2:
            raise ValueError(
                "pruning needs an epoch and one more after it; set epochs to 2 or more"
            )
        return self

    @model_validator(mode="after")
    def _eight_bits_can_be_imitated(self) -> "TrainSection":
        if not self.quantization_aware.enabled:
            return self
        if self.model_file:
            raise ValueError("quantization_aware trains, and model_file does not; leave out one")
        if self.members > 1:
            raise ValueError(
                "quantization_aware learns the ranges of one network; set members to 1, or leave "
                "it out"
            )
        if self.fine_tuning.trains_nothing:
            raise ValueError(
                "fine_tuning.head: nearest_mean trains nothing, in 8 bits neither; leave out one "
                "of it and quantization_aware"
            )
        if self.precision.startswith("mixed"):
            raise ValueError(
                f"quantization_aware needs float32 to imitate 8 bits, not {self.precision}; "
                "set precision: float32, or leave it out"
            )
        if self.epochs < 2:
            raise ValueError(
                "quantization_aware needs an epoch in float32 and one in 8 bits; set epochs to 2 "
                "or more"
            )
        return self

    @model_validator(mode="after")
    def _eight_bits_train_all_layers(self) -> "TrainSection":
        begun = self.initial_weights and self.quantization_aware.enabled
        if begun and not self.fine_tuning.trains_everything:
            raise ValueError(
                "quantization_aware trains all layers alike; set fine_tuning.freeze_batch_norm: "
                "false, and leave out freeze and rate_factors"
            )
        return self

    def outside_files(self) -> dict[str, Path]:
        """Those of the model, and the teacher's."""
        teacher = {"teacher": self.distillation.teacher_file} if self.distillation else {}
        return {**super().outside_files(), **teacher}

    @property
    def alone(self) -> str | None:
        """The setting that only one device can train with, or None."""
        if self.jit_compile is True:
            return "jit_compile: true"
        if self.initial_weights is not None:
            return "initial_weights"
        if self.quantization_aware.enabled:
            return "quantization_aware"
        if self.members > 1:
            return "members"
        if self.pruning:
            return "pruning"
        return "distillation" if self.distillation else None

    @model_validator(mode="after")
    def _one_device_suffices(self) -> "TrainSection":
        if self.alone and self.strategy in ("mirrored", "multi_worker"):
            raise ValueError(
                f"{self.alone} needs one device; leave it out, or set strategy: none "
                f"in place of {self.strategy}"
            )
        return self
