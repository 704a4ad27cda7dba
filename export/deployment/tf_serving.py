"""Writes what it takes to serve the SavedModel with TensorFlow Serving, with a real answer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export import runtimes
from export.formats.contract import Contract
from export.keras_files.saved_model_writer import SIGNATURE
from pipeline.core import child_process
from pipeline.core.errors import ExportError

if TYPE_CHECKING:
    import numpy as np

FORMAT = "saved_model"
ANSWER = "export.deployment.tf_serving:answer"
MODEL_NAME = "classifier"


def write(
    export_folder: Path,
    contract: Contract,
    image: "np.ndarray",
    folder: Path,
    timeout_seconds: float,
) -> None:
    """Fills the templates of `runtimes/serving/`, and asks the SavedModel about an image.

    It is uint8 (height, width, channels); the time is for loading the SavedModel and asking it.

    Raises:
        ExportError: the SavedModel did not answer.
    """
    request = {"signature_name": SIGNATURE, "instances": [image.tolist()]}
    path = export_folder / contract.formats[FORMAT].file
    argument = {"path": str(path.resolve()), "image": image.tolist()}
    outcome = child_process.call(ANSWER, argument, timeout_seconds=timeout_seconds)
    if outcome.failure or not outcome.values:
        why = outcome.failure or "it gave no answer"
        raise ExportError(f"{path.name}: asking it about an image failed: {why}")
    ((probabilities,),) = outcome.values
    response = {"predictions": [probabilities]}
    variables = {
        "contract": contract,
        "labels": contract.output.labels,
        "model_name": MODEL_NAME,
        "file": path.name,
        "shape": contract.input.shape,
        "top": contract.output.labels[probabilities.index(max(probabilities))],
    }
    runtimes.fill_runtime("serving", folder, variables)
    (folder / "request.json").write_text(json.dumps(request) + "\n", "utf-8")
    (folder / "response.json").write_text(json.dumps(response, indent=2) + "\n", "utf-8")


def answer(argument: dict[str, Any]) -> Iterator[list[list[float]]]:
    """The child's side: gives probabilities with as many digits as float32 has."""
    import numpy as np

    from export.formats.format import answers

    images = np.array([argument["image"]], np.uint8)
    probabilities = answers(FORMAT, Path(argument["path"]), images)
    yield [[float(str(value)) for value in row] for row in probabilities]
