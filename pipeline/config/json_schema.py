"""The JSON schema of a config file, from the models: editors complete keys by it, and mark errors.

What a file leaves to another, or to the command line, is not demanded; which options stand in
`data` and `model` follows their source and preset where the file names them.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from pipeline.config.layers import PLUG_INS
from pipeline.config.loading import type_with
from pipeline.config.schema import DIMENSIONS
from pipeline.core import plugins

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ATTRIBUTE = re.compile(r"^(\w+): (.+?)(?=^\w+: |\Z)", re.MULTILINE | re.DOTALL)
Schema = dict[str, Any]


def json_schema() -> Schema:
    """The schema, as plain data."""
    chosen = {
        section: {name: plugins.load(package, name).Options for name in plugins.names(package)}
        for section, (_, package) in PLUG_INS.items()
    }
    config = type_with(**{section: next(iter(options)) for section, options in chosen.items()})
    models = [config, *(model for options in chosen.values() for model in options.values())]
    places, made = models_json_schema(
        [(model, "validation") for model in models], schema_generator=_Generator
    )
    definitions: dict[str, Schema] = made["$defs"]
    whole = definitions.pop(_name(places[config, "validation"]))
    del whole["properties"]["name"]
    for section, (selector, _) in PLUG_INS.items():
        options = {name: places[m, "validation"] for name, m in chosen[section].items()}
        whole["properties"][section] = _either(selector, options, definitions)
    extends = {"type": "string", "description": "the config file that this one changes"}
    needed = {section: {"required": [selector]} for section, (selector, _) in PLUG_INS.items()}
    return {
        "$schema": DIALECT,
        **whole,
        "properties": {"extends": extends, **whole["properties"]},
        "if": {"not": {"required": ["extends"]}},
        "then": {"required": ["data", "model", "export"], "properties": needed},
        "$defs": definitions,
    }


def texts(model: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of a model and of those it extends say of each key."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        _, _, told = (kind.__doc__ or "").partition("Attributes:\n")
        lines = re.sub(r"^ {8}", "", told, flags=re.MULTILINE)
        found |= {name: " ".join(text.split()) for name, text in ATTRIBUTE.findall(lines)}
    return found


class _Generator(GenerateJsonSchema):
    """With what docstrings say of keys; a key that must be there may be in another file."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: Any) -> Schema:
        made, model = super().model_schema(schema), schema["cls"]
        made.pop("title", None)
        made["description"] = (model.__doc__ or "").partition("\n")[0]
        told = texts(model)
        for name, part in made["properties"].items():
            if name in told:
                part["description"] = told[name]
            if isinstance(default := part.get("default"), dict | str) and (
                isinstance(default, dict) or default.startswith(str(plugins.ROOT))
            ):
                del part["default"]  # it stands at the keys within, or is a place on this machine
        if model.__name__ not in DIMENSIONS.values():
            made.pop("required", None)
        return made


def _either(
    selector: str, options: Mapping[str, Schema], definitions: Mapping[str, Schema]
) -> Schema:
    """A section with the keys of all plug-ins, until one is chosen: then with its own alone."""
    found: dict[str, list[Schema]] = {}
    for place in options.values():
        for key, part in definitions[_name(place)]["properties"].items():
            if part not in found.setdefault(key, []):
                found[key].append(part)
    properties = {key: _any_of(parts) for key, parts in found.items()}
    chosen = {"enum": list(options), "description": properties[selector].get("description", "")}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {**properties, selector: chosen},
        "allOf": [
            {
                "if": {"properties": {selector: {"const": name}}, "required": [selector]},
                "then": place,
            }
            for name, place in options.items()
        ],
    }


def _any_of(parts: Iterable[Schema]) -> Schema:
    first, *others = parts
    return {**_described(first), "anyOf": [first, *others]} if others else first


def _described(part: Schema) -> Schema:
    return {key: part[key] for key in ("description",) if key in part}


def _name(place: Schema) -> str:
    return str(place["$ref"]).rpartition("/")[2]
