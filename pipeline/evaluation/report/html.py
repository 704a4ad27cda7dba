"""Renders templates of this folder to pages that hold all they show."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.evaluation.report import data_urls, number_format


def render(template: str, variables: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(data_url=data_urls.data_url, thin=number_format.THIN_SPACE)
    environment.filters.update(number_format.FILTERS)
    return environment.get_template(template).render(variables)
