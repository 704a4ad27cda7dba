"""SavedModel, laid out for TensorFlow Serving."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.formats.facts import Facts
from export.formats.format import ExportRequest, Format, Predictor
from export.formats.tensors import Interface
from export.keras_files.saved_model_writer import SIGNATURE, load_float32, write_saved_model
from pipeline.config.schema import Gate

if TYPE_CHECKING:
    import numpy as np

FORMATS = (Format("saved_model", "saved_model", Gate(tie_margin=1e-4), targets=("server",)),)
LIBRARIES = ("tensorflow", "keras")
VERSION = "1"
# The folder that SavedModel leaves to its users; TensorFlow and TF Serving copy it as it is.
CONTRACT = f"{VERSION}/assets.extra/contract.json"
BATCH = 500


def write(request: ExportRequest) -> None:
    request.path.mkdir(parents=True, exist_ok=True)
    materials = request.materials
    model = load_float32(materials.model, is_trusted=materials.is_trusted)
    write_saved_model(model, request.path / VERSION, None)
    contract = request.path / CONTRACT
    contract.parent.mkdir()
    contract.write_text(request.materials.contract, "utf-8")


def read_contract(path: Path) -> str:
    return (path / CONTRACT).read_text("utf-8")


def facts(format_name: str, path: Path) -> Facts:
    from export.saved_model import facts as saved_model_facts

    return saved_model_facts.read(path / VERSION)


def reach(format_name: str, path: Path) -> Iterator[str]:
    from export.saved_model import external_access

    return external_access.reach(path / VERSION)


def runs_from(path: Path) -> None:
    """A SavedModel does not say."""


def inspect(format_name: str, path: Path) -> Interface:
    return facts(format_name, path).interface


def load(format_name: str, path: Path, threads: int) -> Predictor:
    """Loads it as a process of its own would: the threads hold for all of TensorFlow."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return SavedModelPredictor(tf.saved_model.load(path / VERSION))


class SavedModelPredictor:
    """A SavedModel under its serving signature; see `export.formats.format.Predictor`."""

    def __init__(self, model: Any) -> None:
        import tensorflow as tf

        self.runtime = f"TensorFlow {tf.__version__}"
        self._model = model
        self._call = model.signatures[SIGNATURE]

    def run(self, images: "np.ndarray") -> "np.ndarray":
        import numpy as np

        starts = range(0, len(images), BATCH)
        return np.concatenate([self._run(images[start : start + BATCH]) for start in starts])

    def _run(self, images: "np.ndarray") -> "np.ndarray":
        return self._call(image=self.prepare_one(images))["probabilities"].numpy()

    def prepare_one(self, image: "np.ndarray") -> Any:
        import tensorflow as tf

        return tf.constant(image)

    def run_prepared(self, prepared: Any) -> None:
        self._call(image=prepared)["probabilities"].numpy()
