"""The layers of a config: files, each over the one it extends, and the command line on top."""

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from pipeline.config.schema import DataSection, ModelSection, TrainSection
from pipeline.config.strict_yaml import MAX_CHARACTERS, parse_yaml
from pipeline.config.suggestions import nearest
from pipeline.config.train.model_file import ModelFile
from pipeline.core import plugins
from pipeline.core.errors import ConfigError

PLUG_INS = {"data": ("source", plugins.SOURCES), "model": ("preset", plugins.MODELS)}
SHARED = {"data": set(DataSection.model_fields), "model": set(ModelSection.model_fields)}
CONFIGS = plugins.ROOT / "configs"
MAX_EXTENDS = 10
DEEPEST_KEY = 10
COMMAND_LINE = "command line"
KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)*")


@dataclass(frozen=True)
class Layer:
    """One config file, or the overrides of the command line, and the name to blame it by."""

    name: str
    values: Mapping[str, Any]


def file_layers(path: Path, seen: tuple[Path, ...] = (), named_by: str = "") -> list[Layer]:
    """The layers of a file, its farthest ancestor first."""
    text = _read(path, named_by)
    if path.resolve() in seen:
        raise ConfigError(f"{path}: `extends` goes in a circle; remove one of its links")
    if len(seen) > MAX_EXTENDS:
        raise ConfigError(f"{path}: `extends` leads over {len(seen)} files; join some of them")
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        found = "nothing" if values is None else repr(values)[:40]
        raise ConfigError(
            f"{path}: expected `section:` lines, found {found}; configs/mnist.yaml shows how"
        )
    parent = values.pop("extends", None)
    if parent is None:
        return [Layer(str(path), values)]
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: extends is {parent!r}; expected the path of a YAML file")
    ancestors = file_layers(
        find(Path(parent), path.parent), (*seen, path.resolve()), f"{path}: extends {parent}: "
    )
    return [*ancestors, Layer(str(path), values)]


def find(path: Path, beside: Path = Path()) -> Path:
    """The file there, or else that of the program's own configs which has this name.

    Args:
        path: of a file, such as `my/photos.yaml`; or `photos`, `configs/photos.yaml`.
        beside: the folder that a relative path counts from.
    """
    here = beside / path
    if os.path.isfile(here) or path.is_absolute():  # noqa: PTH113  # Path.is_file may raise
        return here
    name = path.relative_to(CONFIGS.name) if path.parts[:1] == (CONFIGS.name,) else path
    shipped = CONFIGS / (name if name.suffix == ".yaml" else f"{name}.yaml")
    return shipped if os.path.isfile(shipped) else here  # noqa: PTH113


def _read(path: Path, named_by: str) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_CHARACTERS + 1)
    except FileNotFoundError:
        near = nearest(path.stem, sorted(p.stem for p in path.parent.glob("*.yaml")))
        hint = f" Did you mean {path.parent / near}.yaml?" if near else " Check the path."
        raise ConfigError(f"{named_by}{path}: no such config file.{hint}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no UTF-8 text ({error.reason}); save it as UTF-8") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{named_by}{path}: cannot be read ({why}); name a config file"
        ) from error


def override_layer(overrides: Sequence[str]) -> Layer:
    merged: dict[str, Any] = {}
    for index, text in enumerate(overrides):
        key, equals, value = text.partition("=")
        if not equals or not KEY.fullmatch(key):
            raise ConfigError(
                f"{text!r} is not an override; expected key=value, such as "
                f"{_as_one_word(overrides, index) or 'train.epochs=5'}"
            )
        if key.count(".") > DEEPEST_KEY:
            raise ConfigError(
                f"{COMMAND_LINE}: {key[:40]}… is nested {key.count('.')} deep; no setting is"
            )
        parsed = parse_yaml(value, f"{COMMAND_LINE}: {key}")
        merged = merge(merged, nested(key.split("."), parsed), is_one_layer=True)
    return Layer(COMMAND_LINE, merged)


def _as_one_word(overrides: Sequence[str], index: int) -> str:
    """The override that was typed in several words, of which this is one, as one; else nothing."""
    before = overrides[index - 1] if index else ""
    words = list(takewhile(lambda word: "=" not in word, overrides[index:]))
    if "=" in before and words:
        return f"{shlex.quote(' '.join([before, *words]))}: a value with a space needs quotes"
    is_key = len(words) > 1 and "." in words[0] and KEY.fullmatch(words[0])
    return shlex.quote(f"{words[0]}={' '.join(words[1:])}") if is_key else ""


def without_training(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of a config for a model that is trained: nothing of a search or a training."""
    train = values.get("train")
    dropped = set(TrainSection.model_fields) - set(ModelFile.model_fields)
    kept = {key: value for key, value in values.items() if key != "tune"}
    if isinstance(train, Mapping):
        kept["train"] = {key: value for key, value in train.items() if key not in dropped}
    return kept


def as_overrides(values: Mapping[str, Any]) -> list[str]:
    """The overrides that set these keys, without those that are None."""
    said = {
        key: json.dumps(value, ensure_ascii=False)
        for key, value in values.items()
        if value is not None
    }
    return [f"{key}={text}" for key, text in said.items()]


def nested(keys: Sequence[str], value: Any) -> dict[str, Any]:
    """`{"a": {"b": value}}` for the keys a, b; keys of a search space stay whole."""
    if list(keys[:2]) == ["tune", "space"] and len(keys) > 3:
        keys = ["tune", "space", ".".join(keys[2:])]
    for key in reversed(keys):
        value = {key: value}
    return dict(value)


def merge(
    base: Mapping[str, Any], top: Mapping[str, Any], *, is_one_layer: bool = False
) -> dict[str, Any]:
    """Mappings merge; a later layer that names another plug-in drops the options of the old."""
    merged = dict(base)
    for key, value in top.items():
        old: Any = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            kept = old if is_one_layer else _remainder(key, old, value)
            merged[key] = merge(kept, value, is_one_layer=is_one_layer)
        else:
            merged[key] = value
    return merged


def _remainder(section: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a later layer keeps of a section: nothing of a search space, most of all others."""
    if section == "space":
        return {}
    selector = PLUG_INS.get(section, ("", ""))[0]
    if selector in new and old.get(selector) not in (None, new[selector]):
        return {key: value for key, value in old.items() if key in SHARED[section]}
    return old


def origin(location: Sequence[str | int], layers: Sequence[Layer]) -> str:
    """The last layer that sets the key, or the nearest section around it that any layer sets."""
    for length in range(len(location), 0, -1):
        for layer in reversed(layers):
            if _has(layer.values, location[:length]):
                return layer.name
    return next(layer.name for layer in reversed(layers) if layer.name != COMMAND_LINE)


def _has(values: Any, location: Sequence[str | int]) -> bool:
    for part in location:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True
