"""Evenkeel from Python, as in a notebook: `load_config`, `run`, `predict`, `load_export`.

Installed, this package holds the program: `pipeline`, `export` and `configs` lie in its folder,
which goes onto the path of imports here, so that nobody else finds modules of such names.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE if (_HERE / "pipeline").is_dir() else _HERE.parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from pipeline.core.errors import PipelineError  # noqa: E402  (found once the path is set)

if TYPE_CHECKING:
    import numpy as np

    from pipeline.config.schema import PipelineConfig
    from pipeline.inference.pictures import Prediction
    from pipeline.workflow.runs import Run

__all__ = ["PipelineError", "load_config", "load_export", "predict", "run"]


def load_config(config: str | Path = "mnist", *overrides: str) -> "PipelineConfig":
    """Reads a config and checks it.

    Args:
        config: a file, or the name of one that comes along: `smoke`, `classic/two_conv`.
        overrides: as on the command line, such as `train.epochs=5`.

    Raises:
        ConfigError: something in it is wrong: where, what was found, what was expected.
    """
    from pipeline.config.loading import load_config as load

    return load(Path(config), overrides)


def run(
    config: str | Path = "mnist", *overrides: str, artifacts: str | Path = "artifacts"
) -> "Run":
    """Runs the stages for which something has changed; prints what they do and what came of it.

    Args:
        config: a file, or the name of one that comes along, as for `load_config`.
        overrides: as on the command line, such as `train.epochs=5`.
        artifacts: the folder that gets what stages make.

    Returns:
        The run as it is recorded: `path` is its folder, `artifact("evaluate")` that of a stage.

    Raises:
        ConfigError: something in the config is wrong.
        GateError: a format answers otherwise than the model. The run is recorded.
        PipelineError: a stage failed; what earlier ones made stays, and another call goes on.
    """
    import logging

    from pipeline.cli.run import run as carry_out
    from pipeline.store.store import ArtifactStore
    from pipeline.workflow.runs import find_run

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    carry_out(list(overrides), Path(config), Path(artifacts))
    return find_run(ArtifactStore(Path(artifacts)), None)


def predict(
    files: "Sequence[str | Path]",
    format_name: str | None = None,
    *,
    run: str | None = None,
    artifacts: str | Path = "artifacts",
) -> "list[Prediction]":
    """Classifies picture files with an exported file.

    Args:
        files: PNG, JPEG, BMP or WebP files, or folders of them.
        format_name: what answers; if none, `tflite_float32`, or else the most exact.
        run: a run, a part of its name, or its config's; the latest if none.
        artifacts: the folder that the run is in.

    Returns:
        For each picture its `label`, the `probability` of that, and the `top` three.

    Raises:
        ConfigError: there is no such run, or no such format in it.
        DamagedArtifactError: a file of the artifact is not as it was published.
        DataError: a file is no picture.
    """
    from pipeline.inference import pictures

    folder = _exported(run, artifacts)
    found = pictures.pictures_in([Path(file) for file in files])
    return list(pictures.predict(found, folder, format_name or pictures.usual_format(folder)))


def load_export(
    format_name: str, *, run: str | None = None, artifacts: str | Path = "artifacts"
) -> 'Callable[["np.ndarray"], "np.ndarray"]':
    """Loads an exported file in the runtime of its users.

    Args:
        format_name: such as `onnx`.
        run: a run, a part of its name, or its config's; the latest if none.
        artifacts: the folder that the run is in.

    Returns:
        A function from images, uint8 (count, height, width, channels), to probabilities, float32
        (count, classes).

    Raises:
        ConfigError: there is no such run, or no such format in it.
        DamagedArtifactError: a file is not as it was published.
    """
    from export.formats import contract
    from export.formats.format import answer_function
    from pipeline.inference.pictures import file_of

    folder = _exported(run, artifacts)
    return answer_function(format_name, file_of(contract.read(folder), format_name, folder))


def _exported(run: str | None, artifacts: str | Path) -> Path:
    from pipeline.store.store import ArtifactStore
    from pipeline.workflow.runs import find_run

    return find_run(ArtifactStore(Path(artifacts)), run, "export").intact_artifact("export")
