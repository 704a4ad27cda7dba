"""Keys: 16 hex digits from all that decides an artifact's content."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from pipeline.config.base import NotInKey
from pipeline.config.schema import PipelineConfig, Section
from pipeline.core.content import sha256
from pipeline.core.environment import version
from pipeline.core.errors import DataError
from pipeline.workflow.code_hash import code_version
from pipeline.workflow.graph import Stage

LONGEST_SHOWN = 60


def ingredients(config: PipelineConfig, stage: Stage, inputs: Mapping[str, str]) -> dict[str, Any]:
    """All that decides the content of the stage's artifact, as plain data.

    Args:
        config: the resolved config.
        stage: the stage.
        inputs: the key of each input artifact, by stage name.

    Raises:
        DataError: an outside file is missing or cannot be read.
    """
    sections = {name: _values(attrgetter(name)(config)) for name in stage.reads}
    modules = (f"pipeline.stages.{stage.name}", *stage.plug_ins(config))
    result = {
        "stage": stage.name,
        "seed": config.seed,
        "config": sections,
        "inputs": dict(inputs),
        "code": code_version(modules),
        "libraries": {name: version(name) for name in stage.libraries_for(config)},
    }
    if stage.outside_files:
        result["outside"] = outside_version(outside_files(stage, config))
    return result


def key_of(values: Mapping[str, Any]) -> str:
    """16 hex digits of the SHA-256 of the canonical JSON."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _values(section: Any) -> Any:
    """A part of the config as plain data without what decides nothing, such as places of files."""
    if isinstance(section, tuple):
        return list(section)
    if not isinstance(section, Section | Mapping):
        return section
    if isinstance(section, Mapping):
        return {name: _values(part) for name, part in section.items()}
    return section.model_dump(mode="json", exclude=_not_in_key(section))


def _not_in_key(section: Section) -> dict[str, Any]:
    """What decides nothing in a section and in those within, as `model_dump` leaves it out."""
    left_out: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if _is_not_in_key(field):
            left_out[name] = True
        elif isinstance(value, Section) and (within := _not_in_key(value)):
            left_out[name] = within
    return left_out


def _is_not_in_key(field: FieldInfo) -> bool:
    """Whether the field, or a branch of its union, is annotated as NotInKey."""
    branches = (getattr(b, "__metadata__", ()) for b in get_args(field.annotation))
    return any(isinstance(m, NotInKey) for m in chain(field.metadata, *branches))


def outside_files(stage: Stage, config: PipelineConfig) -> Mapping[str, Path | None]:
    """The files that a stage reads from outside of the project, by the names that count.

    Raises:
        DataError: they cannot be looked for.
    """
    assert stage.outside_files is not None
    try:
        return stage.outside_files(config)
    except OSError as error:
        raise DataError(
            f"{error.filename}: cannot be looked for ({error.strerror}). Correct its path."
        ) from error


def outside_version(files: Mapping[str, Path | None]) -> str:
    """The fingerprint of files from outside of the project.

    Args:
        files: by the names that count, unlike the files' places; None for one that is known to
            be unreadable.

    Raises:
        DataError: a file is missing or cannot be read.
    """
    total = hashlib.sha256()
    for name, path in files.items():
        try:
            digest = sha256(path) if path else "unreadable"
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}). Check the file."
            ) from error
        total.update(f"{json.dumps(name)} {digest}\n".encode())
    return total.hexdigest()[:16]


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two ingredients, in words: `train.epochs 5 → 10`, `code`."""
    before, after = dict(_flatten(old)), dict(_flatten(new))
    keys = [k for k in {**before, **after} if before.get(k) != after.get(k)]
    return [_change(key, before.get(key), after.get(key)) for key in keys]


def _change(key: str, before: Any, after: Any) -> str:
    kind, _, rest = key.partition(".")
    if kind in ("config", "libraries"):
        digits = 3 if _short(before, 3) != _short(after, 3) else 15
        return f"{rest} {_short(before, digits)} → {_short(after, digits)}"
    return {
        "inputs": f"{rest} is new" if after else f"{rest} is gone",
        "outside": "the files that it reads changed",
        "code": "the code that it uses changed",
        "seed": f"seed {before} → {after}",
    }.get(kind, key)


def _short(value: Any, digits: int) -> str:
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    text = "unset" if value is None else str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
