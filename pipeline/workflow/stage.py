"""One file a stage, each with one `run(context) -> StageResult`; here is what it gets and gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config.schema import PipelineConfig
from pipeline.core.progress import Progress


@dataclass(frozen=True)
class StageContext:
    """What a stage works with.

    Attributes:
        config: the resolved config; for stages that read `tune`, with what it found.
        inputs: the folder of each input artifact, by stage name.
        output: an empty folder to fill; it is published when `run` returns.
        scratch: a folder that outlives a killed run of the same key.
        progress: where to show long work.
        identity: differs where the key or the content of an input does, since the same key can be
            made anew; what lies in `scratch` may be of another.
    """

    config: PipelineConfig
    inputs: Mapping[str, Path]
    output: Path
    scratch: Path
    progress: Progress
    identity: str = ""


@dataclass(frozen=True)
class StageResult:
    """What a stage has to say of its artifact.

    Attributes:
        summary: one line for a person: what was made.
        metrics: figures and choices for the manifest, by name.
        passed: whether a run that has this may end well.
        may_pass: whether the same stage is to try again next time, for what failed lay in time,
            memory or a disk.
    """

    summary: str
    metrics: Mapping[str, float | int | str] = field(default_factory=dict)
    passed: bool = True
    may_pass: bool = False
