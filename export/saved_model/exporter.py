"""SavedModel, laid out for TensorFlow Serving."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from export.formats.format import ExportRequest, Format, Predictor
from pipeline.config.schema import Gate

if TYPE_CHECKING:
    from export.formats.inspection import Inspection

FORMATS = (Format("saved_model", "saved_model", Gate(tie_margin=1e-4), targets=("server",)),)
LIBRARIES = ("tensorflow", "keras")
VERSION = "1"
# The folder that SavedModel leaves to its users; TensorFlow and TF Serving copy it as it is.
CONTRACT = f"{VERSION}/assets.extra/contract.json"
BATCH = 500


def write(request: ExportRequest) -> None:
    from export.keras_files.saved_model_writer import load_float32, write_saved_model

    request.path.mkdir(parents=True, exist_ok=True)
    materials = request.materials
    model = load_float32(materials.model, is_trusted=materials.is_trusted)
    write_saved_model(model, request.path / VERSION, None)
    contract = request.path / CONTRACT
    contract.parent.mkdir()
    contract.write_text(request.materials.contract, "utf-8")


def read_contract(path: Path) -> str:
    return (path / CONTRACT).read_text("utf-8")


def inspect(path: Path) -> "Inspection":
    from export.saved_model import inspection

    return inspection.inspect(path / VERSION)


def external_access(path: Path) -> Iterator[str]:
    from export.saved_model import inspection

    return inspection.external_access(path / VERSION)


def load(path: Path, threads: int) -> Predictor:
    """Loads it as a process of its own would: the threads hold for all of TensorFlow."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return predictor(path)


def predictor(path: Path) -> Predictor:
    """The SavedModel under its serving signature, with as many threads as TensorFlow has."""
    import tensorflow as tf

    from export.keras_files.saved_model_writer import SIGNATURE

    model = tf.saved_model.load(path / VERSION)
    return Predictor(
        f"TensorFlow {tf.__version__}",
        # The model's own, as a signature does not keep its variables.
        lambda images: model.signatures[SIGNATURE](image=images)["probabilities"].numpy(),
        BATCH,
        tf.constant,
    )
