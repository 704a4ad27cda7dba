"""Fills the templates in `export/runtimes/`: Jinja where the name ends so, copied where not."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent
SUFFIX = ".jinja"


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # most of it is code, in which `&lt;` is wrong
    )
    environment.filters["json"] = lambda value: json.dumps(
        value, default=asdict, ensure_ascii=False
    )
    return environment


def fill(path: str, target: Path, variables: Mapping[str, Any]) -> None:
    """Writes a file, in a folder that is made, from the template of this path in `runtimes/`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.endswith(SUFFIX):
        text = _environment().get_template(path).render(variables)
        target.write_text(text, "utf-8")
    else:
        shutil.copyfile(FOLDER / path, target)


def fill_runtime(runtime: str, folder: Path, variables: Mapping[str, Any]) -> None:
    """Writes all files of `export/runtimes/<runtime>/`, which has no folders, into a folder."""
    for template in sorted((FOLDER / runtime).iterdir()):
        if template.is_file():
            target = folder / template.name.removesuffix(SUFFIX)
            fill(f"{runtime}/{template.name}", target, variables)
