"""STAGES: the whole pipeline on one screen.

ingest → tune → build → train → evaluate → export → verify
"""

from collections.abc import Callable
from dataclasses import dataclass

from export.formats import exporter, with_needed
from pipeline import plugins
from pipeline.config import Choice, PipelineConfig


def _source(config: PipelineConfig) -> tuple[str, ...]:
    return (f"{plugins.SOURCES}.{config.data.source}",)


def _preset(config: PipelineConfig) -> tuple[str, ...]:
    searched = config.tune.space.get("model.preset") if config.tune.enabled else None
    names = {config.model.preset, *(searched.choice if isinstance(searched, Choice) else ())}
    return tuple(f"{plugins.MODELS}.{name}" for name in sorted(names))


def _exporters(config: PipelineConfig) -> tuple[str, ...]:
    exporters = {exporter(name).__name__ for name in with_needed(config.export.formats)}
    return ("export.child", *sorted(exporters))


def _nothing(config: PipelineConfig) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Stage:
    """One step.

    Attributes:
        name: also the name of its module in `pipeline.stages`.
        inputs: the stages whose artifacts it reads.
        sections: the config sections that it reads; `seed` counts for every stage.
        plug_ins: modules that its own code reaches by name and not by import.
        makes: what it does, in a few words for a person.
    """

    name: str
    inputs: tuple[str, ...]
    sections: tuple[str, ...]
    makes: str
    plug_ins: Callable[[PipelineConfig], tuple[str, ...]] = _nothing


STAGES = (
    Stage("ingest", (), ("data", "augmentation"), "read and check images", _source),
    Stage(
        "tune",
        ("ingest",),
        ("tune", "model", "train", "augmentation"),
        "search for good settings",
        _preset,
    ),
    Stage("build", ("ingest", "tune"), ("model",), "build the network", _preset),
    Stage(
        "train",
        ("ingest", "tune", "build"),
        ("model", "train", "augmentation"),
        "train the network",
        _preset,
    ),
    Stage("evaluate", ("ingest", "train"), ("evaluate",), "measure it on the test split"),
    Stage("export", ("ingest", "train"), ("export",), "write every format", _exporters),
    Stage(
        "verify",
        ("ingest", "train", "evaluate", "export"),
        ("export", "verify"),
        "check every format",
        _exporters,
    ),
)

NAMES = tuple(stage.name for stage in STAGES)


def stages_of(config: PipelineConfig) -> tuple[Stage, ...]:
    """The stages that this config has: all of them, or all but `tune`."""
    return tuple(s for s in STAGES if s.name != "tune" or config.tune.enabled)
