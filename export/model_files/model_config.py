"""What the config inside a `.keras` file may run, and the same config in float32."""

from collections.abc import Iterator
from typing import Any

RUNS_CODE = frozenset(
    {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
)
VALUES = frozenset(
    {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
)
PARTS = frozenset(
    {"activations", "constraints", "dtype_policies", "initializers", "layers", "models", "ops"}
) | {"random", "regularizers"}
FLOATS = frozenset({"float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"})
DTYPE_KEYS = ("dtype", "default_policy")
COMPILATION = "compile_config"

Objects = Iterator[dict[str, Any]]


def _objects(config: Any) -> Objects:
    """Every part of the config that Keras makes a class or a function of."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
            if "class_name" in value:
                yield value
        elif isinstance(value, list):
            waiting += value


def stored_code(config: Any) -> list[str]:
    """Classes that run code which is stored in the file, or in a file that it names."""
    names = {str(o["class_name"]) for o in _objects(config)} & RUNS_CODE
    return sorted({"Lambda" if name == "__lambda__" else name for name in names})


def foreign_names(config: Any) -> list[str]:
    """The names under which Keras would look up classes and functions that are not its own."""
    return sorted({_looked_up(o) for o in _objects(config) if _is_foreign(o)})


def _looked_up(part: dict[str, Any]) -> str:
    if part["class_name"] == "function":
        return str(part.get("config"))
    return str(part.get("registered_name") or part["class_name"])


def _is_foreign(part: dict[str, Any]) -> bool:
    name, module = part["class_name"], part.get("module")
    if name in VALUES or name in RUNS_CODE:
        return False
    if name == "function":
        return module != "builtins" and not _is_of_keras(module)
    is_renamed = part.get("registered_name") not in (None, name)
    return is_renamed or not (module is None or _is_of_keras(module))


def _is_of_keras(module: Any) -> bool:
    """Whether it is a module of Keras that defines parts of models: not one that reads files."""
    root, *rest = str(module).split(".")
    parts = rest[1:] if rest[:1] == ["src"] else rest
    return root == "keras" and (not parts or parts[0] in PARTS)


def quantised(config: Any) -> list[str]:
    """The quantised dtype policies that Keras' `quantize()` left in the config."""
    names = {str(o["class_name"]) for o in _objects(config)}
    return sorted(name for name in names if name.startswith("Quantized"))


def in_float32(config: Any, key: str = "") -> Any:
    """The config of the model's float32 twin, not compiled.

    Dtype policies become float32, in nested models too, and so do the casts between them.
    """
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {"name": "float32"}}
        return {k: in_float32(v, k) for k, v in config.items() if k != COMPILATION}
    if isinstance(config, list):
        return [in_float32(value, key) for value in config]
    return "float32" if key in DTYPE_KEYS and config in FLOATS else config
