"""The fingerprint of code: of modules, and of all project modules that they reach.

The code counts by its syntax tree, so that a comment or a docstring changes nothing. A tree is
parsed once for each content of a file: what it gave is kept beside the bytecode. What a module
reaches is what it imports, wherever in it, and what it names in a string
(`"export.verification.audit:check"`). All of that counts but for NOT_COUNTED.
"""

import ast
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

from pipeline.core.plugins import ROOT

PACKAGES = ("pipeline", "export")
# Modules, or packages as a whole, that decide nothing of what a stage makes, and why.
WORKFLOW = "decides whether a stage runs and under which key, not what it makes"
NOT_COUNTED = {
    "pipeline.store": "keeps what stages made; their bytes are hashed as they are",
    "pipeline.workflow.code_hash": WORKFLOW,
    "pipeline.workflow.keys": WORKFLOW,
    "pipeline.workflow.graph": WORKFLOW,
    "pipeline.core.plugins": "finds plug-ins, which count themselves",
    "pipeline.core.progress": "shows how far a stage has come",
}
NAMED = re.compile(rf"({'|'.join(PACKAGES)})(\.\w+)+(:\w+)?")
RESOURCES = (".jinja", ".css", ".js", ".mjs", ".json", ".h", ".kt", ".kts", ".npmrc")
FOREIGN = "node_modules"
KEPT = Path(__file__).parent / "__pycache__" / f"syntax.{sys.implementation.cache_tag}.json"
THIS = hashlib.sha256(Path(__file__).read_bytes())
MOST_KEPT = 1000
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
SAYS_NOTHING = frozenset({"ctx", "type_comment", "type_ignores", "kind"})


@dataclass(frozen=True)
class Module:
    """A module's own fingerprint, and the names that it reaches."""

    digest: str
    imports: frozenset[str]


def code_version(modules: tuple[str, ...]) -> str:
    """16 hex digits for these modules and all project modules that they reach, but NOT_COUNTED."""
    known = len(_parsed())
    total = hashlib.sha256()
    for name in sorted(_closure(modules)):
        total.update(f"{name} {_read(name).digest}\n".encode())
    if len(_parsed()) > known:
        _keep()
    return total.hexdigest()[:16]


def _closure(modules: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    waiting = [name for name in modules if _counts(name)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_reached(name))
    return found


@cache
def _reached(name: str) -> tuple[str, ...]:
    package = name.rpartition(".")[0]  # runs first
    return tuple(filter(_counts, (*_read(name).imports, package)))


@cache
def _counts(name: str) -> bool:
    is_listed = any(f"{name}.".startswith(f"{listed}.") for listed in NOT_COUNTED)
    return not is_listed and name in _modules()


@cache
def _modules() -> dict[str, Path]:
    """The file of each module of the project."""
    found = {}
    for package in PACKAGES:
        for folder, _, names in os.walk(ROOT / package):
            dotted = os.path.relpath(folder, ROOT).replace(os.sep, ".")
            for name in names:
                if name.endswith(".py"):
                    module = dotted if name == "__init__.py" else f"{dotted}.{name[:-3]}"
                    found[module] = Path(folder, name)
    return found


@cache
def _read(name: str) -> Module:
    """Reads a module and what stands beside it."""
    path = _modules()[name]
    of_tree, imports = _of_tree(path.read_bytes())
    digest = hashlib.sha256(of_tree.encode() + _beside(path.parent))
    return Module(digest.hexdigest(), frozenset(imports))


@cache
def _beside(folder: Path) -> bytes:
    """The names and bytes of templates and the like in a module's folder."""
    return b"".join(f"{path.name} ".encode() + path.read_bytes() for path in resources(folder))


def _of_tree(source: bytes) -> tuple[str, list[str]]:
    """The digest of a file's syntax tree, and the names that it reaches."""
    hashed = THIS.copy()
    hashed.update(source)
    key = hashed.hexdigest()
    if key not in _parsed():
        parts: list[str] = []
        imports: set[str] = set()
        _collect(ast.parse(source), parts, imports)
        _parsed()[key] = hashlib.sha256("\0".join(parts).encode()).hexdigest(), sorted(imports)
    return _parsed()[key]


@cache
def _parsed() -> dict[str, tuple[str, list[str]]]:
    """What files gave that were parsed, by the hash of their bytes and of this module's."""
    with suppress(OSError, TypeError, ValueError):
        return dict(json.loads(KEPT.read_text("utf-8")))
    return {}


def _keep() -> None:
    """Where nothing can be written, files are parsed again the next time."""
    if sys.dont_write_bytecode:
        return
    with suppress(OSError):
        KEPT.parent.mkdir(exist_ok=True)
        new = KEPT.with_name(f"{KEPT.name}.{os.getpid()}")
        new.write_text(json.dumps(dict([*_parsed().items()][-MOST_KEPT:])), "utf-8")
        new.replace(KEPT)


def resources(folder: Path) -> Iterator[Path]:
    """Templates and the like, also in folders below that are no packages."""
    for entry in sorted(os.scandir(folder), key=attrgetter("name")):
        path = Path(entry.path)
        if entry.name.endswith(RESOURCES):
            yield path
        elif entry.is_dir() and entry.name != FOREIGN and not (path / "__init__.py").exists():
            yield from resources(path)


def _collect(value: Any, parts: list[str], imports: set[str]) -> None:
    """Writes a syntax tree without its docstrings, in one pass, and notes what it reaches."""
    if isinstance(value, ast.AST):
        parts.append(type(value).__name__)
        for field in value._fields:
            if field not in SAYS_NOTHING:
                child = getattr(value, field)
                is_documented = field == "body" and _is_documented(value)
                _collect(child[1:] if is_documented else child, parts, imports)
        _note_import(value, imports)
    elif isinstance(value, list):
        parts.append(str(len(value)))
        for item in value:
            _collect(item, parts, imports)
    else:
        parts.append(repr(value))
        if isinstance(value, str) and NAMED.fullmatch(value):
            imports.add(value.partition(":")[0])


def _is_documented(node: ast.AST) -> bool:
    return isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None


def _note_import(node: ast.AST, imports: set[str]) -> None:
    if isinstance(node, ast.Import):
        imports.update(alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        imports.add(node.module)
        imports.update(f"{node.module}.{alias.name}" for alias in node.names)
