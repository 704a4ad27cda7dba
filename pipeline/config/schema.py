"""Every section of the config as a strict, frozen model; every default lives here.

The options of a plug-in extend the section that names it: `data` takes the options of its
source, `model` those of its preset, `export.<format>` those of the format's exporter.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    model_validator,
)

from pipeline.config.augmentation import AugmentationSection as AugmentationSection
from pipeline.config.base import Address, CountOrAll, NotInKey
from pipeline.config.base import ClassNames as ClassNames
from pipeline.config.base import Fraction as Fraction
from pipeline.config.base import Location as Location
from pipeline.config.base import OutsidePath as OutsidePath
from pipeline.config.base import Section as Section
from pipeline.config.data_checks import ChecksSection
from pipeline.config.train import TrainSection as TrainSection


def _check_rising(ends: tuple[int | float, ...]) -> tuple[int | float, ...]:
    if len(ends) != 2 or ends[0] >= ends[1]:
        raise ValueError(f"expected [low, high], found {list(ends)}")
    return ends


class DataSection(Section):
    """Which images. The options of `source` stand beside these.

    Attributes:
        source: the kind of data, and so which options stand beside it.
        validation_fraction: share of the training images, class by class, that is held out where
            the source has no validation split of its own.
        train_limit: takes this many training images at most; validation is drawn from them.
        train_per_class: how many images of each class to take, for training and the validation
            split that is drawn from them; all of a class that has fewer.
        test_limit: takes this many test images at most.
        median_filter: side in pixels of the square whose median replaces each pixel of training
            and validation images; test images stay as they are, since no exported model filters.
        drop_duplicates: keeps one of equal training images with equal labels.
        pixel_range: what the source's pixels run from and to, which become 0 and 255; where None
            they are 0..255, and what is of another scale by all looks is refused. Files of
            pictures are 0..255 in themselves: for them, [0, 255] lets pass what looks otherwise.
        preparation: what is done to a person's picture before the model sees it: `ink` finds the
            strokes and lays them out as training images are, `none` scales the picture as it is,
            `auto` does the first where training images are ink on an even ground.
    """

    source: str
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 1 / 12
    train_limit: Annotated[int, Field(ge=1)] | None = None
    train_per_class: Annotated[int, Field(ge=2)] | None = None
    test_limit: Annotated[int, Field(ge=1)] | None = None
    median_filter: Annotated[int, Field(ge=3)] | None = None
    drop_duplicates: bool = False
    pixel_range: Annotated[tuple[float, float], AfterValidator(_check_rising)] | None = None
    preparation: Literal["auto", "ink", "none"] = "auto"
    checks: ChecksSection = ChecksSection()

    @model_validator(mode="after")
    def _training_has_one_limit(self) -> "DataSection":
        if self.train_limit is not None and self.train_per_class is not None:
            raise ValueError("train_limit and train_per_class both limit training; drop one")
        return self

    @model_validator(mode="after")
    def _median_filter_is_odd(self) -> "DataSection":
        if self.median_filter is not None and self.median_filter % 2 == 0:
            raise ValueError(f"median_filter must be odd, not {self.median_filter}")
        return self

    def outside_files(self) -> Mapping[str, Path | None]:
        """The files that the source reads: names and bytes, not places, are part of the key."""
        return {}


class ModelSection(Section):
    """Which network. The options of `preset` stand beside it.

    Attributes:
        preset: the network's name, and so which options stand beside it.
    """

    preset: str


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return value


def _plain(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | str) else _number(value)


Number = Annotated[int | float, PlainValidator(_number, json_schema_input_type=int | float)]
Plain = Annotated[
    bool | int | float | str,
    PlainValidator(_plain, json_schema_input_type=bool | int | float | str),
]


def _check_positive(ends: tuple[int | float, ...]) -> tuple[int | float, ...]:
    if ends[0] <= 0:
        raise ValueError(f"a range on a log scale begins above 0, not at {ends[0]}")
    return ends


Ends = Annotated[tuple[Number, ...], AfterValidator(_check_rising)]


class LogRange(Section):
    """Sampled evenly in the logarithm.

    Attributes:
        log: lowest and highest value, sampled evenly in the logarithm.
    """

    log: Annotated[Ends, AfterValidator(_check_positive)]


class LinearRange(Section):
    """Sampled evenly; whole numbers if both ends are.

    Attributes:
        linear: lowest and highest value, sampled evenly.
    """

    linear: Ends


class Choice(Section):
    """Some values.

    Attributes:
        choice: the values of which each trial takes one.
    """

    choice: tuple[Plain, ...]

    @model_validator(mode="after")
    def _choices_are_of_one_type(self) -> "Choice":
        types = {type(value).__name__ for value in self.choice}
        if len(types) != 1 and types != {"int", "float"}:
            found = " and ".join(sorted(types)) or "no choice"
            raise ValueError(f"expected choices of one type, found {found}")
        return self


DIMENSIONS = {"log": "LogRange", "linear": "LinearRange", "choice": "Choice"}


def _dimension(value: Any) -> str | None:
    """Which dimension it is, or is meant to be by its only key."""
    if isinstance(value, dict):
        return DIMENSIONS.get(*value) if len(value) == 1 else None
    return type(value).__name__


Dimension = Annotated[
    Annotated[LogRange, Tag("LogRange")]
    | Annotated[LinearRange, Tag("LinearRange")]
    | Annotated[Choice, Tag("Choice")],
    Discriminator(
        _dimension,
        custom_error_type="dimension",
        custom_error_message="should be {log: [low, high]}, {linear: [low, high]} "
        "or {choice: [one, another]}",
    ),
]


def candidates(dimension: Dimension) -> tuple[Any, ...]:
    """Every choice, or both ends of a range."""
    if isinstance(dimension, Choice):
        return dimension.choice
    return dimension.log if isinstance(dimension, LogRange) else dimension.linear


class TuneSection(Section):
    """A search over any keys of `model`, `train` and `augmentation`.

    Attributes:
        enabled: whether to search; without, the config's own values train.
        algorithm: how trials are chosen: `random` and `grid` without looking at earlier ones,
            `bayesian` near the good ones, `hyperband` many short trials and few long.
        space: what to try, by key: the ends of a range, or a choice.
        max_trials: how many trials there are at most, without `hyperband`.
        epochs: how long each trial trains; with `hyperband` the longest.
        data_fraction: share of the training images that trials see.
        objective: the figure of validation by which trials are ranked.
        hyperband_factor: of `hyperband`, one trial of so many goes on to the next round.
        workers: processes on each machine that takes part; each trains on its share of the cores.
        address: host:port where the search listens for workers on other machines.
    """

    enabled: bool = False
    algorithm: Literal["hyperband", "bayesian", "random", "grid"] = "random"
    space: Mapping[str, Dimension] = Field(default_factory=dict)
    max_trials: Annotated[int, Field(ge=1)] = 10
    epochs: Annotated[int, Field(ge=1)] = 1
    data_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    objective: Literal["val_accuracy", "val_loss"] = "val_accuracy"
    hyperband_factor: Annotated[int, Field(ge=2)] = 3
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    address: Annotated[Address, NotInKey()] | None = None

    @model_validator(mode="after")
    def _search_needs_a_space(self) -> "TuneSection":
        if self.enabled and not self.space:
            raise ValueError("tune.enabled needs at least one key in tune.space")
        return self


class EvaluateSection(Section):
    """How the model is measured.

    Attributes:
        batch_size: images that are answered at once; no result depends on it.
        worst_mistakes: how many wrong answers the report shows as pictures.
        calibration_bins: into how many ranges of confidence answers are sorted, to compare it with
            how often they are right.
        test_time_views: over how many views of each image answers are also averaged: the image,
            and others moved as in training. Told beside the figures of the plain image, which the
            exported files are held to; 1 for no average.
    """

    batch_size: Annotated[int, Field(ge=1)] = 500
    worst_mistakes: Annotated[int, Field(ge=0, le=200)] = 30
    calibration_bins: Annotated[int, Field(ge=2, le=100)] = 15
    test_time_views: Annotated[int, Field(ge=1, le=100)] = 1


class CalibrationSection(Section):
    """How int8 formats learn which numbers their tensors must be able to hold.

    Attributes:
        images: how many training images are shown.
        sampling: `stratified` keeps the classes' shares, `random` does not look at labels.
        method: `min_max` covers all numbers seen, `percentile` leaves out the outermost.
        percentile: of `method: percentile`, how much of each tail is covered.
    """

    images: Annotated[int, Field(ge=1)] = 500
    sampling: Literal["stratified", "random"] = "stratified"
    method: Literal["min_max", "percentile"] = "min_max"
    percentile: Annotated[float, Field(gt=50, lt=100)] = 99.99


class ExportSection(Section):
    """Which formats. The options of each format stand beside this under the format's name.

    Attributes:
        formats: the files to write, by the names of their formats.
        rgb_input: files of a grey model take three channels and make grey of them, for readers
            that know RGB alone, such as MediaPipe.
        timeout_seconds: what one conversion may take.
    """

    formats: tuple[str, ...]
    rgb_input: bool = False
    calibration: CalibrationSection = CalibrationSection()
    timeout_seconds: Annotated[float, Field(gt=0)] = 300.0

    @model_validator(mode="after")
    def _formats_stand_once(self) -> "ExportSection":
        if not self.formats:
            raise ValueError("formats is empty; name one or more")
        for name in self.formats:
            if self.formats.count(name) > 1:
                raise ValueError(f"formats names {name} more than once")
        return self


class Gate(Section):
    """What a format must hold on the test split to be called good.

    Attributes:
        tie_margin: where Keras' two highest probabilities lie within this of each other, the
            format may pick either; on every other image it must predict the same class. No
            probability may be further off than this.
        max_accuracy_drop_points: percentage points that the accuracy may fall below Keras'.
    """

    tie_margin: Annotated[float, Field(ge=0, lt=1)] | None = None
    max_accuracy_drop_points: Annotated[float, Field(ge=0, le=100)] | None = None

    @model_validator(mode="after")
    def _gate_checks_something(self) -> "Gate":
        if self.tie_margin is None and self.max_accuracy_drop_points is None:
            raise ValueError("a gate needs tie_margin, max_accuracy_drop_points or both")
        return self


class VerifySection(Section):
    """How formats are checked.

    Attributes:
        gates: replaces a format's own gate, by its name.
        threads: of the runtime that is timed.
        warmup_runs: answers that are not timed, before those that are.
        timed_runs: answers to one image whose median and 95th percentile are told.
        timeout_seconds: what each child process that looks into files, or asks one, may take.
        microcontroller_images: how many test images TensorFlow Lite Micro is asked about, which
            takes some milliseconds for each; `all`, or 0 not to ask it.
    """

    gates: Mapping[str, Gate] = Field(default_factory=dict)
    threads: Annotated[int, Field(ge=1)] = 1
    warmup_runs: Annotated[int, Field(ge=0)] = 20
    timed_runs: Annotated[int, Field(ge=1)] = 200
    microcontroller_images: CountOrAll = 1000
    timeout_seconds: Annotated[float, Field(gt=0)] = 300.0


class PipelineConfig(Section):
    """The whole config; `name` is the file's own name and decides nothing.

    Attributes:
        seed: begins all that is drawn at random: weights, order, augmentation, splits.
    """

    name: str
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: DataSection
    augmentation: AugmentationSection = AugmentationSection()
    model: ModelSection
    train: TrainSection = TrainSection()
    tune: TuneSection = TuneSection()
    evaluate: EvaluateSection = EvaluateSection()
    export: ExportSection
    verify: VerifySection = VerifySection()

    @model_validator(mode="after")
    def _grey_images_become_rgb(self) -> "PipelineConfig":
        if self.export.rgb_input and getattr(self.data, "color_mode", "grayscale") == "rgb":
            raise ValueError(
                "export.rgb_input is for grey images, and data.color_mode is rgb; change one"
            )
        return self
