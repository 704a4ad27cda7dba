"""Keys: 16 hex digits from all that decides an artifact's content.

The code counts by its syntax tree, so that a comment or a docstring changes no key. The core
(`pipeline/*.py`) decides when and where stages run, not what they make, and does not count.
"""

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from pipeline.config import DataSection, Location, PipelineConfig, Section
from pipeline.errors import DataError
from pipeline.graph import Stage
from pipeline.plugins import ROOT

PACKAGES = ("pipeline", "export")
RESOURCES = (".jinja", ".css", ".js")


def ingredients(config: PipelineConfig, stage: Stage, inputs: Mapping[str, str]) -> dict[str, Any]:
    """All that decides the content of the stage's artifact, as plain data.

    Args:
        config: the resolved config.
        stage: the stage.
        inputs: the key of each input artifact, by stage name.

    Raises:
        DataError: a file of the source is missing or cannot be read.
    """
    sections = {name: _values(getattr(config, name)) for name in stage.sections}
    modules = (f"pipeline.stages.{stage.name}", *stage.plug_ins(config))
    result = {
        "stage": stage.name,
        "seed": config.seed,
        "config": sections,
        "inputs": dict(inputs),
        "code": code_version(modules),
    }
    return result if inputs else {**result, "outside": outside_version(config.data)}


def key_of(values: Mapping[str, Any]) -> str:
    """16 hex digits of the SHA-256 of the canonical JSON."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _values(section: Section) -> dict[str, Any]:
    """The section as plain data, without the places of outside files."""
    places = {name for name, field in type(section).model_fields.items() if _is_place(field)}
    return section.model_dump(mode="json", exclude=places)


def _is_place(field: FieldInfo) -> bool:
    """Whether the field, or a branch of its union, is annotated as a Location."""
    branches = (getattr(b, "__metadata__", ()) for b in get_args(field.annotation))
    return any(isinstance(m, Location) for m in chain(field.metadata, *branches))


def outside_version(data: DataSection) -> str:
    """The fingerprint of the files that a source reads.

    Raises:
        DataError: a file is missing or cannot be read.
    """
    total = hashlib.sha256()
    for path in data.outside_files():
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        total.update(f"{path.name} {digest}\n".encode())
    return total.hexdigest()[:16]


def code_version(modules: tuple[str, ...]) -> str:
    """The fingerprint of these modules and of all project modules that they import."""
    total = hashlib.sha256()
    for name in sorted(_closure(modules)):
        total.update(f"{name} {_digest(name)}\n".encode())
    return total.hexdigest()[:16]


def _closure(modules: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and _path(name) and not _is_core(name):
            found.add(name)
            waiting.extend(_imports(name))
    return found


def _is_core(name: str) -> bool:
    path = _path(name)
    return path is not None and path.parent == ROOT / "pipeline"


@cache
def _path(name: str) -> Path | None:
    if name.partition(".")[0] not in PACKAGES:
        return None
    base = ROOT / name.replace(".", "/")
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@cache
def _tree(name: str) -> ast.Module:
    path = _path(name)
    assert path is not None
    return ast.parse(path.read_bytes())


def _imports(name: str) -> Iterator[str]:
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def _digest(name: str) -> str:
    """The hash of a module's syntax tree without docstrings, and of its folder's templates."""
    path = _path(name)
    assert path is not None
    digest = hashlib.sha256(ast.dump(_without_docstrings(_tree(name))).encode())
    for resource in sorted(p for p in path.parent.iterdir() if p.suffix in RESOURCES):
        digest.update(resource.read_bytes())
    return digest.hexdigest()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two ingredients, in words: `train.epochs 5 → 10`, `code`."""
    before, after = dict(_flatten(old)), dict(_flatten(new))
    keys = [k for k in {**before, **after} if before.get(k) != after.get(k)]
    return [_change(key, before.get(key), after.get(key)) for key in keys]


def _change(key: str, before: Any, after: Any) -> str:
    kind, _, rest = key.partition(".")
    if kind == "config":
        return f"{rest} {_short(before)} → {_short(after)}"
    return {
        "inputs": f"{rest} is new" if after else f"{rest} is gone",
        "outside": "the data changed",
        "code": "the code changed",
        "seed": f"seed {before} → {after}",
    }.get(kind, key)


def _short(value: Any) -> str:
    return "unset" if value is None else str(value)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
