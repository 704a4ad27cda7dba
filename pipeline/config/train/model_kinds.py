"""What was brought as a model and is no `.keras` file of Keras 3, and a way that leads to one."""

from collections.abc import Callable
from pathlib import Path

SAVE = "save('model.keras')"
OLD = ("1.", "2.")


def explanation(path: Path) -> str:
    """Says what is there, by its name and its first bytes, and how to come to a `.keras` file."""
    for suffix, tell in _BY_SUFFIX.items():
        if path.name.lower().endswith(suffix):
            return tell(path)
    if (path / "saved_model.pb").is_file():
        return _saved_model(path)
    if (path / "checkpoint").is_file():
        return _checkpoint(path)
    if (path / "config.json").is_file() and (path / "model.weights.h5").is_file():
        return f"{path} is an unpacked .keras file; {_load(path)}"
    return _unknown(path)


def by_keras_2(path: Path, version: str) -> str:
    """Of a `.keras` file of which Keras 3 can read the weights, but not the layers."""
    return (
        f"{path}: was written by Keras {version}, as Keras 2 does, whose layers Keras 3 does not "
        f"read; {_rebuild(path)}"
    )


def hdf5(path: Path) -> str:
    """Of an HDF5 file, by what it says of itself."""
    import h5py  # type: ignore[import-untyped]

    try:
        with h5py.File(path, "r") as file:
            says = dict(file.attrs)
    except OSError as error:
        return f"{path} is no whole HDF5 file ({error}); copy it again"
    named = _as_keras_reads(path, is_old="model_config" in says or "layer_names" in says)
    rename = "" if named == path else f"rename it to {named.name}; "
    if "model_config" not in says:
        return f"{path} is an HDF5 file of weights without layers; {rename}{_rebuild(named)}"
    version = str(says.get("keras_version", "2."))
    if version.startswith(OLD):
        return f"{path} is an HDF5 file of Keras 2; {rename}{_rebuild(named)}"
    return f"{path} is an HDF5 file; {rename}{_load(named)}"


def _as_keras_reads(path: Path, *, is_old: bool) -> Path:
    """The name by whose ending Keras 3 knows which of two layouts an HDF5 file has."""
    stem, new = path.stem.removesuffix(".weights"), path.name.endswith(".weights.h5")
    if is_old:
        is_right = path.suffix == ".h5" and not new
        return path if is_right else path.with_name(f"{stem}.h5")
    return path if new else path.with_name(f"{stem}.weights.h5")


def _rebuild(weights: object) -> str:
    return (
        f"make the same model by its code in Keras 3, model.load_weights('{weights}'), model.{SAVE}"
    )


def _load(path: Path) -> str:
    return f"in Python, keras.models.load_model('{path}', compile=False).{SAVE}"


def _unknown(path: Path) -> str:
    return f"{path} is no .keras file; where the model was made, save it with model.{SAVE}"


def _hdf5(path: Path) -> str:
    return hdf5(path) if path.is_file() else _unknown(path)


def _saved_model(path: Path) -> str:
    if (path / "keras_metadata.pb").is_file():
        return (
            f"{path} is a SavedModel of Keras 2; with tf_keras (pip install tf_keras), "
            f"tf_keras.models.load_model('{path}').save_weights('model.weights.h5'), then "
            f"{_rebuild('model.weights.h5')}"
        )
    return f"{path} is a SavedModel for serving, without layers; bring what it was exported from"


def _graph(path: Path) -> str:
    return explanation(path.parent) if path.name == "saved_model.pb" else _foreign(path)


def _checkpoint(path: Path) -> str:
    return (
        f"{path} is a checkpoint of TensorFlow, without layers; restore it by the code that wrote "
        f"it, then model.{SAVE}"
    )


def _foreign(path: Path) -> str:
    return f"{path} is no model of Keras; bring the Keras model that it was made from, if any"


_BY_SUFFIX: dict[str, Callable[[Path], str]] = {
    **dict.fromkeys((".h5", ".hdf5"), _hdf5),
    **dict.fromkeys((".ckpt", ".index", ".data-00000-of-00001"), _checkpoint),
    **dict.fromkeys((".pt", ".pth", ".safetensors", ".onnx", ".tflite"), _foreign),
    ".pb": _graph,
}
