"""STAGES: the whole pipeline on one screen.

ingest → tune → build → train → evaluate → export → verify
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path

from export.formats.format import exporter, with_needed
from pipeline.config.schema import Choice, PipelineConfig
from pipeline.core import plugins


def _source(config: PipelineConfig) -> tuple[str, ...]:
    return (f"{plugins.SOURCES}.{config.data.source}",)


def _preset(config: PipelineConfig) -> tuple[str, ...]:
    if config.train.model_file:
        return ()
    searched = config.tune.space.get("model.preset") if config.tune.enabled else None
    found = searched.choice if isinstance(searched, Choice) else ()
    names = {config.model.preset, *config.train.member_presets, *found}
    return tuple(f"{plugins.MODELS}.{name}" for name in sorted(names))


def _exporters(config: PipelineConfig) -> tuple[str, ...]:
    return tuple(sorted({exporter(n).__name__ for n in with_needed(config.export.formats)}))


def _nothing(config: PipelineConfig) -> tuple[str, ...]:
    return ()


def _images(config: PipelineConfig) -> Mapping[str, Path | None]:
    return config.data.outside_files()


def _model_file(config: PipelineConfig) -> Mapping[str, Path | None]:
    return config.train.outside_files()


@dataclass(frozen=True)
class Stage:
    """One step.

    Attributes:
        name: also the name of its module in `pipeline.workflow.stage`.
        inputs: the stages whose artifacts it reads.
        reads: the config sections, or keys in them, that it reads; `seed` counts for every stage.
        libraries: those whose version decides what it makes, besides those of its exporters.
        plug_ins: modules that its own code reaches by name and not by import.
        outside_files: files from outside of the project that it reads; their bytes count.
    """

    name: str
    inputs: tuple[str, ...]
    reads: tuple[str, ...]
    libraries: tuple[str, ...]
    plug_ins: Callable[[PipelineConfig], tuple[str, ...]] = _nothing
    outside_files: Callable[[PipelineConfig], Mapping[str, Path | None]] | None = None

    def libraries_for(self, config: PipelineConfig) -> tuple[str, ...]:
        """With those of the exporters that this config uses."""
        modules = map(import_module, self.plug_ins(config))
        own = (getattr(module, "LIBRARIES", ()) for module in modules)
        return tuple(dict.fromkeys(chain(self.libraries, *own)))


PIXELS = ("numpy", "pillow", "scipy")
KERAS = ("tensorflow", "keras")
MEMBERS = ("train.members", "train.member_presets")
TRAINING = ("model", "train", "augmentation")

STAGES = (
    Stage("ingest", (), ("data", "augmentation"), PIXELS, _source, _images),
    Stage(
        "tune",
        ("ingest",),
        ("tune", *TRAINING),
        (*KERAS, "keras-tuner"),
        _preset,
        _model_file,
    ),
    Stage("build", ("ingest", "tune"), ("model", *MEMBERS), KERAS, _preset),
    Stage("train", ("ingest", "tune", "build"), TRAINING, KERAS, _preset, _model_file),
    Stage("evaluate", ("ingest", "train"), ("evaluate", "name"), KERAS),
    Stage("export", ("ingest", "train"), ("export", "verify.gates"), KERAS, _exporters),
    Stage("verify", ("ingest", "evaluate", "export"), ("export", "verify", "name"), (), _exporters),
)

NAMES = tuple(stage.name for stage in STAGES)


def stages_of(config: PipelineConfig) -> tuple[Stage, ...]:
    """The stages that this config has: `tune` if it searches, neither it nor `build` for a file."""
    skipped = {"tune", "build"} if config.train.model_file else set()
    if not config.tune.enabled:
        skipped.add("tune")
    return tuple(stage for stage in STAGES if stage.name not in skipped)
