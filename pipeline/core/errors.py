"""Every error that a user may meet, each with the exit code it ends the program with.

PipelineError
├── ConfigError              the config, an override or the call is wrong     2
├── DataError                the images or labels are wrong                   2
├── MissingArtifactError     a stage lacks an artifact that another makes     2
├── StageError               a stage failed                                   1
│   ├── DivergedError            a training went wrong                       1
│   ├── DamagedArtifactError     an artifact does not match its manifest     1
│   │   └── ReplacedArtifactError    another run put another in its place    1
│   └── ExportError              a converter or runtime refused a format     1
│       └── AbsentRuntimeError   a runtime is not on this machine            1
└── GateError                a format failed verification                     3
"""

from pathlib import Path


class PipelineError(Exception):
    """Root of the tree. A message says where, what was found, and what to do, on one line.

    There may be several messages, each of something that is wrong.
    """

    exit_code = 1

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class ConfigError(PipelineError):
    exit_code = 2


class DataError(PipelineError):
    exit_code = 2


class MissingArtifactError(PipelineError):
    exit_code = 2


class StageError(PipelineError):
    exit_code = 1


class DivergedError(StageError):
    """Its message ends where advice may begin.

    Attributes:
        kept: the model from before, where one was saved.
    """

    def __init__(self, message: str, kept: Path | None = None) -> None:
        super().__init__(message)
        self.kept = kept


class DamagedArtifactError(StageError):
    pass


class ReplacedArtifactError(DamagedArtifactError):
    pass


class ExportError(StageError):
    pass


class AbsentRuntimeError(ExportError):
    pass


class GateError(PipelineError):
    exit_code = 3
