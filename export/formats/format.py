"""What every exporter is made of, and the registry that finds exporters by file name."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from export.formats.tensors import FLOAT32, Interface, Tensor, TensorType, with_channels
from pipeline.config.schema import ExportSection, Gate, Section, VerifySection
from pipeline.core.errors import ExportError
from pipeline.core.plugins import exporters

if TYPE_CHECKING:
    import numpy as np

    from export.formats.inspection import Inspection


class FormatOptions(Section):
    """What can be chosen for a format, and how numbers come in and go out as a result."""

    @property
    def input_type(self) -> TensorType:
        """How it takes pixels 0..255."""
        return FLOAT32

    @property
    def output_type(self) -> TensorType:
        """How it gives probabilities 0..1."""
        return FLOAT32

    @property
    def probability_step(self) -> float | None:
        """By how much the last layer's probabilities rise at the least, however they come out."""
        return self.output_type.scale

    @property
    def images_at_once(self) -> int | str | None:
        """How many images it takes at once; none where its format says that for all."""
        return None

    def completed(self, section: ExportSection) -> "FormatOptions":
        """With what it takes from the options of other formats."""
        return self

    @property
    def asked_opset(self) -> int | None:
        """The version of ONNX's operators that was asked for; none in a format that has none."""
        return None


@dataclass(frozen=True)
class Holds:
    """What a file must hold to deserve its format's name; in the words of `formats.inspection`.

    Attributes:
        kernels: dtypes in which kernels may be stored.
        activations: dtypes in which operators with a kernel may compute.
        others: the same for all other operators; those of `activations` unless said.
        biases: dtypes in which biases may be stored; any if empty.
        kernel_elements: kernels with fewer numbers may be stored in any dtype.
        is_per_channel: whether each output channel of a kernel has a scale of its own; a dense
            layer's may share one in TFLite.
        converts_inside: whether numbers may change how they are stored between any two operators,
            and not at both ends alone.
        opsets: least and greatest version of ONNX's operators; none in a format that has none.
    """

    kernels: tuple[str, ...] = ("float32",)
    activations: tuple[str, ...] = ("float32",)
    others: tuple[str, ...] = ()
    biases: tuple[str, ...] = ()
    kernel_elements: int = 0
    is_per_channel: bool = False
    converts_inside: bool = False
    opsets: tuple[int, int] | None = None


@dataclass(frozen=True)
class Format:
    """One exported form.

    Attributes:
        name: as the config has it, such as `tflite_int8`.
        path: file or folder inside the export artifact.
        gate: what it must hold unless the config says otherwise.
        options: the model of `export.<name>`.
        child: name of the process that writes it; formats of one name share its start-up time.
        needs: names of formats that must be written before this one.
        batch: the number of images that it takes at once unless its options say so; `N` is any.
        tolerance: how far a probability may lie from the one this very file gave elsewhere.
        holds: what its file must hold.
        targets: where there is a runtime for it; see `export.formats.recommendation.TARGETS`.
    """

    name: str
    path: str
    gate: Gate
    options: type[FormatOptions] = FormatOptions
    child: str = "graph"
    needs: tuple[str, ...] = ()
    batch: int | str = "N"
    tolerance: float = 1e-5
    holds: Holds = Holds()
    targets: tuple[str, ...] = ()

    def interface(
        self, image_shape: tuple[int, ...], num_classes: int, options: FormatOptions | None = None
    ) -> Interface:
        """What a file of this format must take and give, by default with its default options."""
        chosen = options or self.options()
        batch, taken = chosen.images_at_once or self.batch, chosen.input_type
        return Interface(
            Tensor("image", (batch, *taken.arranged(image_shape)), taken),
            Tensor("probabilities", (batch, num_classes), chosen.output_type),
        )


@dataclass(frozen=True)
class Materials:
    """What every format of one export is made from.

    Attributes:
        model: the trained `model.keras`.
        calibration: `.npy` of uint8 (count, height, width, channels) training images.
        contract: the text of `contract.json`, which each file carries inside it.
        workspace: a folder for what is written on the way.
        percentile: how far into each tail of their numbers on the calibration images the ranges
            of quantised tensors reach, such as 99.99; none takes the least and the greatest.
        validation: `.npz` with `images` and `labels` that the model was not trained on; formats
            that can be written in several ways choose by them.
        is_trusted: whether a person has said that the model may run code.
    """

    model: Path
    calibration: Path
    contract: str
    workspace: Path
    percentile: float | None = None
    validation: Path | None = None
    is_trusted: bool = False


@dataclass(frozen=True)
class ExportRequest:
    """What an exporter needs to write one format.

    Attributes:
        format_name: the format to write.
        materials: what it is made from.
        folder: where the format goes, under its `path`.
        promised: what the file must take and give.
        options: the values of `export.<format_name>`, as plain data.
        needs: where the formats are that this one needs, by name.
        max_accuracy_drop_points: how far the format's accuracy may fall; none if it has no such
            bound.
    """

    format_name: str
    materials: Materials
    folder: Path
    promised: Interface
    options: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[str, Path] = field(default_factory=dict)
    max_accuracy_drop_points: float | None = None

    @property
    def path(self) -> Path:
        return self.folder / formats()[self.format_name].path


@dataclass(frozen=True)
class Predictor:
    """A format loaded in the runtime that its user will use.

    It takes and gives numbers as they are stored; see `export.formats.tensors.TensorType`.

    Attributes:
        runtime: name and version.
        answer: (count, classes) probabilities for what `prepare` gave: what latency is measured on.
        at_once: how many images the runtime is given in one call.
        prepare: turns pixels (count, h, w, c) into what `answer` takes.
    """

    runtime: str
    answer: "Callable[[Any], np.ndarray]"
    at_once: int
    prepare: "Callable[[np.ndarray], Any]" = lambda images: images

    def run(self, images: "np.ndarray") -> "np.ndarray":
        """Gives (count, classes) probabilities for (count, h, w, c) pixels."""
        import numpy as np

        parts = (images[i : i + self.at_once] for i in range(0, len(images), self.at_once))
        return np.concatenate([self.answer(self.prepare(part)) for part in parts])


class Exporter(Protocol):
    """A module that writes formats. Its libraries are imported when its functions are called."""

    __name__: str

    @property
    def FORMATS(self) -> tuple[Format, ...]:  # noqa: N802
        """What it writes."""

    @property
    def LIBRARIES(self) -> tuple[str, ...]:  # noqa: N802
        """Distributions whose versions decide what its files hold, or what they answer."""

    def write(self, request: ExportRequest) -> None:
        """Writes one format from the trained model, with the contract inside it.

        Raises:
            ExportError: it cannot be done, as it says in words.
        """

    def inspect(self, path: Path) -> "Inspection":
        """All that the file holds, read from its bytes."""

    def external_access(self, path: Path) -> Iterable[str]:
        """What it would make its runtime read, write or run; each ends a sentence on it."""

    def read_contract(self, path: Path) -> str:
        """The text of the contract that the file carries."""

    def load(self, path: Path, threads: int) -> Predictor:
        """Loads it in the runtime of its users."""


@cache
def formats() -> Mapping[str, Format]:
    """Every format of every exporter, by name."""
    return {f.name: f for module in exporters() for f in module.FORMATS}


def exporter(format_name: str) -> Exporter:
    """The module whose FORMATS holds this format.

    Raises:
        KeyError: no exporter has it.
    """
    for module in exporters():
        if any(f.name == format_name for f in module.FORMATS):
            return module
    raise KeyError(format_name)


def chosen_options(section: ExportSection, format_name: str) -> FormatOptions:
    """What the config says under `export.<format_name>`, or the format's defaults."""
    options: FormatOptions = getattr(section, format_name, formats()[format_name].options())
    return options.completed(section)


def chosen_gate(section: VerifySection, format_name: str) -> Gate:
    """What the config says under `verify.gates`, or the format's own gate."""
    return section.gates.get(format_name, formats()[format_name].gate)


def refuse_external_access(format_name: str, path: Path) -> None:
    """Looks into what is said to be a format before a runtime does.

    Raises:
        ExportError: it would make its runtime touch other files or run code, or is no such file.
    """
    for found in exporter(format_name).external_access(path):
        raise ExportError(
            f"{path}: does not run as {format_name} (it {found}); name a file that this program "
            "exported, and none of unknown origin"
        )


def answer_function(format_name: str, path: Path) -> Callable[["np.ndarray"], "np.ndarray"]:
    """Loads a format.

    Returns:
        A function from uint8 (count, height, width, channels) images to float32 (count, classes)
        probabilities; grey ones are taken where the file takes three channels, too.
    """
    refuse_external_access(format_name, path)
    module = exporter(format_name)
    ends = module.inspect(path).interface
    predictor = module.load(path, threads=1)

    def answer(images: "np.ndarray") -> "np.ndarray":
        taken = with_channels(images, ends.input.channels)
        return ends.output.type.decode(predictor.run(ends.input.type.encode(taken)))

    return answer


def answers(format_name: str, path: Path, images: "np.ndarray") -> "np.ndarray":
    """Loads a format and asks it once; takes and gives what its `answer_function` does."""
    return answer_function(format_name, path)(images)


def size_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def readable_size(size_bytes: int) -> str:
    """For a person: `45 kB` or `1.2 MB`, of 1,000 and 1,000,000 bytes."""
    kilobytes = round(size_bytes / 1000)
    if kilobytes >= 1000:
        return f"{size_bytes / 1e6:.1f} MB"
    return f"{kilobytes} kB" if kilobytes else f"{size_bytes} B"


def with_needed(names: Iterable[str]) -> tuple[str, ...]:
    """The formats, and those that they need, each after what it needs."""
    ordered: dict[str, None] = {}
    for name in names:
        ordered |= dict.fromkeys((*with_needed(formats()[name].needs), name))
    return tuple(ordered)
