"""What the config inside a `.keras` file may run, and the same config in float32."""

import re
from collections.abc import Iterator
from typing import Any

RUNS_CODE = frozenset(
    {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
)
VALUES = frozenset(
    {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
)
FUNCTIONS = frozenset({"activations", "constraints", "initializers", "ops", "regularizers"})
PARTS = FUNCTIONS | {"dtype_policies", "layers", "models", "random"}
AT_THE_ROOT = frozenset({"DTypePolicy", "FloatDTypePolicy", "Functional", "Model", "Sequential"})
IN_APPLICATIONS = frozenset({"CustomScaleLayer", "LayerScale", "StochasticDepth"})
MAKES_OBJECTS = frozenset({"deserialize", "get", "serialize"})
# Keras joins module and name, so that a dot in a name leads into another module.
CLASS_NAME, FUNCTION_NAME = re.compile(r"[A-Z][A-Za-z0-9_]*"), re.compile(r"[a-z][a-z0-9_]*")
FLOATS = frozenset({"float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"})
DTYPE_KEYS = ("dtype", "default_policy")
COMPILATION = "compile_config"
FILE_KEYS = ("vocabulary", "idf_weights", "filepath")

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
    names = {_class(o).rpartition(".")[2] for o in _objects(config)} & RUNS_CODE
    return sorted({"Lambda" if name == "__lambda__" else name for name in names})


def files_read(config: Any) -> list[str]:
    """Files outside of the model's that a layer would read: a vocabulary may be a file's name."""
    configs = [part.get("config") for part in _objects(config)]
    named = (c.get(key) for c in configs if isinstance(c, dict) for key in FILE_KEYS)
    return sorted({name for name in named if isinstance(name, str)})


def foreign_names(config: Any) -> list[str]:
    """The names under which Keras would look up classes and functions that are not its own."""
    return sorted({_lookup_name(o) for o in _objects(config) if _is_foreign(o)})


def _class(part: dict[str, Any]) -> str:
    return str(part["class_name"])


def _lookup_name(part: dict[str, Any]) -> str:
    if _class(part) == "function":
        return str(part.get("config"))
    return str(part.get("registered_name") or part["class_name"])


def _is_foreign(part: dict[str, Any]) -> bool:
    name, module = _class(part), part.get("module")
    if name in VALUES or name in RUNS_CODE:
        return False
    if name == "function":
        return not _is_function_of_keras(module, str(part.get("config")))
    is_renamed = part.get("registered_name") not in (None, name)
    return is_renamed or not _is_class_of_keras(module, name)


def _is_function_of_keras(module: Any, name: str) -> bool:
    is_known = module == "builtins" or _part_of_keras(module) in FUNCTIONS
    return is_known and bool(FUNCTION_NAME.fullmatch(name)) and name not in MAKES_OBJECTS


def _is_class_of_keras(module: Any, name: str) -> bool:
    if module == "keras":
        return name in AT_THE_ROOT
    if _part_of_keras(module) == "applications":
        return name in IN_APPLICATIONS
    is_known = module is None or _part_of_keras(module) in PARTS
    return is_known and bool(CLASS_NAME.fullmatch(name))


def _part_of_keras(module: Any) -> str:
    """The package of Keras that a module is in, such as `layers`; empty if it is in none."""
    root, *rest = str(module).split(".")
    packages = rest[1:] if rest[:1] == ["src"] else rest
    return packages[0] if root == "keras" and packages else ""


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
