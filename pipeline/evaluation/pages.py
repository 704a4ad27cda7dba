"""Renders templates of this folder to pages that hold all they show."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.evaluation import pictures, wording


def render(template: str, variables: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(data_url=pictures.data_url, thin=wording.THIN_SPACE)
    environment.filters.update(wording.FILTERS)
    return environment.get_template(template).render(variables)
