"""Loads `.keras` files, and is the only place that does.

A `.keras` file can run code: a Lambda layer is code, and a class that is not Keras' own is looked
up by name. Both are looked for before Keras parses the file, and refused unless a person has said
that the file is trusted. Keras' own `safe_mode` is on besides.
"""

import importlib.util
import json
import re
import shutil
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FunctionType
from typing import TYPE_CHECKING, Any

from export.keras_files import safe_config
from export.keras_files.archive import Archive, open_archive
from pipeline.config.train import model_kinds
from pipeline.core.content import sha256
from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    import keras

COLOURS = re.compile(r"\x1b\[\d*m")
# Keras says it in the third line, after a first one that counts objects.
LACKING = re.compile(r"Layer '[^']*' (expected \d+ variables?, but received \d+|was never built)")
MOST_NAMED = 3
MODEL, TRUSTED, CODE = "model.keras", "trusted.json", "model_code.py"


@dataclass(frozen=True)
class Trust:
    """A person's word that a model file may run code.

    Attributes:
        code: a `.py` file that defines its classes, if it has any of its own; it is run.
    """

    code: Path | None = None


def load(path: Path, trust: Trust | None = None, *, remedy: str | None = None) -> "keras.Model":
    """Loads a model file in float32 whatever its dtype policies are, and not compiled.

    Its weights are float32 in any case but under a policy of pure float16, so nothing is rounded.

    Args:
        path: the file.
        trust: given to one that can run code.
        remedy: what to do about such a file where no setting gives trust.

    Raises:
        ConfigError: it is no `.keras` file, is damaged, holds weights that are no numbers, or can
            run code and is not trusted.
    """
    archive = open_archive(path)
    if archive.version.startswith(model_kinds.OLD):
        raise ConfigError(model_kinds.by_keras_2(path, archive.version))
    try:
        archive = replace(archive, config=safe_config.in_float32(archive.config))
    except RecursionError as error:
        raise ConfigError(f"{path}: its config is nested too deeply") from error
    if policies := safe_config.quantised(archive.config):
        raise ConfigError(
            f"{path}: is quantised by Keras ({', '.join(policies)}); "
            "bring the model as it was before quantize()"
        )
    if trust is None:
        _refuse_code(path, archive, remedy)
    model = _load_checked(path, archive, trust)
    _compute_in_float32(path, model)
    _refuse_nan(path, model)
    return model


def _refuse_code(path: Path, archive: Archive, remedy: str | None) -> None:
    stored = safe_config.stored_code(archive.config)
    foreign = safe_config.foreign_names(archive.config)
    if stored or foreign:
        code = ", and name the file that defines them with train.model_code" if foreign else ""
        advice = remedy or f"if you trust the file, set train.trust_model_file=true{code}"
        raise ConfigError(
            f"{path}: holds {', '.join((*stored, *foreign))}, which can run any code when it is "
            f"loaded; {advice}"
        )
    if files := safe_config.files_read(archive.config):
        raise ConfigError(
            f"{path}: reads {', '.join(files)} when it is loaded; give the layer its vocabulary "
            "itself and save the model again"
        )


def _load_checked(path: Path, archive: Archive, trust: Trust | None) -> "keras.Model":
    import keras

    code = trust.code if trust else None
    own = _objects_of(code) if code else {}
    unknown = [
        name
        for name in safe_config.foreign_names(archive.config)
        if keras.saving.get_registered_object(name, custom_objects=own) is None
    ]
    if unknown:
        raise ConfigError(
            f"{path}: holds {', '.join(unknown)}, which {code or 'Keras'} does not define; "
            "name the .py file that does with train.model_code"
        )
    try:
        with TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.filterwarnings("error", "Skipping nested container")  # it has no weights
            checked = Path(folder) / MODEL
            archive.write(checked)
            return keras.saving.load_model(
                checked, custom_objects=own, compile=False, safe_mode=trust is None
            )
    except Exception as error:  # a class may raise anything while it is made
        raise ConfigError(f"{path}: {_cause(error, trust)}") from error


def _cause(error: Exception, trust: Trust | None) -> str:
    lacking = LACKING.search(str(error))
    if not lacking:
        return f"Keras cannot load it. {gist(error)}"
    own = "; get_config() of its own classes must hold all that their layers are made from"
    return (
        f"its weights do not fit its layers ({lacking[0]}); save it again where it was made"
        f"{own * bool(trust and trust.code)}"
    )


def gist(error: Exception) -> str:
    """The first line of Keras' words that tells the cause; they go on with the whole config."""
    lines = [line for line in COLOURS.sub("", str(error)).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith("Exception encountered when calling")]
    return f"{type(error).__name__}: {(told or lines or [''])[0].strip()[:300]}"


def _objects_of(code: Path) -> dict[str, Any]:
    """Runs a file once for each content that it has; gives its classes and functions by name."""
    import keras

    name = f"model_code_{sha256(code)[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, code)
        if spec is None or spec.loader is None:
            raise ConfigError(f"{code}: expected a .py file")
        policy = keras.config.dtype_policy()
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # it is anyone's code
            del sys.modules[name]
            raise ConfigError(f"{code}: cannot be run. {gist(error)}") from error
        finally:
            keras.config.set_dtype_policy(policy)
    found = vars(sys.modules[name]).items()
    return {n: v for n, v in found if isinstance(v, type | FunctionType) and v.__module__ == name}


def _compute_in_float32(path: Path, model: "keras.Model") -> None:
    """Sets the policy of layers that a subclassed model makes in its own code."""
    import keras

    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.InputLayer) or layer.compute_dtype == "float32":
            continue
        if layer.variable_dtype != "float32":
            raise ConfigError(
                f"{path}: its layer {layer.name} keeps {layer.variable_dtype} weights by its own "
                "code; expected float32"
            )
        layer.dtype_policy = "float32"


def _refuse_nan(path: Path, model: "keras.Model") -> None:
    """Refuses what a training that diverged has left; where answers hide it, formats differ."""
    import keras
    import numpy as np

    for variable in model.variables:
        if not keras.backend.is_float_dtype(variable.dtype):
            continue
        numbers = keras.ops.convert_to_numpy(variable)
        if count := int(np.isnan(numbers).sum()):
            layer, _, weight = variable.path.rpartition("/")
            raise ConfigError(
                f"{path}: {count:,} of the {numbers.size:,} numbers in {weight} of its layer "
                f"{layer.rpartition('/')[2]} are NaN, as a training that diverged leaves them; "
                "bring the model as it was saved before, or train it again with a lower learning "
                "rate"
            )


def refuse_unbuilt(path: Path, layers: Sequence[str]) -> None:
    """Refuses a model whose layers got their weights after it was loaded: random ones.

    Raises:
        ConfigError: there are such layers.
    """
    if layers:
        more = ", …" * (len(layers) > MOST_NAMED)
        raise ConfigError(
            f"{path}: holds no weights for {', '.join(layers[:MOST_NAMED])}{more}, for it was "
            "saved before it was built; build it (a call on one image does), train it or load its "
            "weights, and save it again"
        )


def publish(model: "keras.Model", folder: Path, trust: Trust | None) -> None:
    """Saves a model with what `load_published` needs to load it again."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The object being serialized includes a `lambda`")
        model.save(folder / MODEL)
    if trust:
        if trust.code:
            shutil.copyfile(trust.code, folder / CODE)
        text = json.dumps({"code": CODE if trust.code else None})
        (folder / TRUSTED).write_text(text + "\n", encoding="utf-8")


def load_published(path: Path, *, is_trusted: bool) -> "keras.Model":
    """Loads a model that this project published, with the trust that was given it then.

    Args:
        path: the `model.keras` in an artifact.
        is_trusted: whether who runs this trusts the model now; the artifact's own word is not
            enough.

    Raises:
        ConfigError: as for `load`, or the artifact says that it is trusted and the caller does not.
    """
    refuse_unasked_trust(path.parent, is_trusted=is_trusted)
    return load(path, published_trust(path.parent))


def published_trust(folder: Path) -> Trust | None:
    record = folder / TRUSTED
    if not record.is_file():
        return None
    return Trust(folder / CODE if json.loads(record.read_text("utf-8"))["code"] else None)


def refuse_unasked_trust(folder: Path, *, is_trusted: bool) -> None:
    """Refuses a train artifact that can run code where the config trusts none.

    Artifacts may come from another machine, with any file in them.

    Raises:
        ConfigError: the folder says that its model is trusted, and the config does not.
    """
    if not is_trusted and (folder / TRUSTED).exists():
        raise ConfigError(
            f"{folder / TRUSTED}: the model can run code, and the config does not trust it; "
            "set train.trust_model_file=true, or delete the artifact"
        )
