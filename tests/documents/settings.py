"""Writes `docs/every-setting.md` from the config's models: `python -m tests.documents.settings`."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from export.formats.format import FormatOptions, formats
from pipeline.config.json_schema import texts
from pipeline.config.schema import DataSection, ModelSection, PipelineConfig, Section
from pipeline.config.train import EXCLUSIONS, TECHNIQUES
from pipeline.core import plugins
from pipeline.core.plugins import ROOT

PAGE = ROOT / "docs" / "every-setting.md"
HEAD = """# Every setting

How settings are given, and which matter most, stands in [settings](settings.md). `none` as a
default means that nothing is set; a row without a default must be given. This page is written from
the program by `python -m tests.documents.settings`, and a test holds it to that.
"""
APART = """## What does not go together

Keys of `train`, and whole keys of other sections; a config with a setting and one that stands
beside it is refused. With `strategy: auto`, what needs one device uses one. `fine_tuning` counts
with `initial_weights` alone, and `freeze_batch_norm` is on unless set to `false`.
`export --model FILE` leaves what trains out of the config. Besides, `export.rgb_input` takes no
`data.color_mode: rgb`, and a search no `head: nearest_mean`.

| setting | not with | because |
|---|---|---|
"""
ROWS = "| key | takes | default | what it does |\n|---|---|---|---|\n"
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
TYPES = {"boolean": "`true`, `false`", "integer": "whole number", "object": "keys with values"}
CHOICES = {
    key: ", ".join(f"`{name}`" for name in names)
    for key, names in {
        "data.source": plugins.names(plugins.SOURCES),
        "model.preset": plugins.names(plugins.MODELS),
        "export.formats": tuple(formats()),
    }.items()
}


def page() -> str:
    parts = [HEAD]
    for title, model, prefix, told in _tables():
        if rows := "\n".join(_rows(model, prefix, told)):
            what = (model.__doc__ or "").partition("\n")[0]
            parts.append("\n\n".join(filter(None, (f"## {title}", what, ROWS + rows))) + "\n")
    elsewhere = (
        (name, (key,), why)
        for name, technique in TECHNIQUES.items()
        for key, why in technique.excludes_elsewhere
    )
    apart = (
        f"| `{setting}` | {', '.join(f'`{other}`' for other in others)} | {why} |"
        for setting, others, why in (*EXCLUSIONS, *elsewhere)
    )
    return "\n".join([*parts, APART + "\n".join(apart) + "\n"])


def _tables() -> Iterator[tuple[str, type[Section], str, set[str]]]:
    """A title, a model, what its keys begin with, and those that other tables tell of."""
    sections = {name: s for name, f in PipelineConfig.model_fields.items() for s in _sections(f)}
    yield "The whole", PipelineConfig, "", {*sections, "name"}
    for name, section in sections.items():
        yield f"`{name}`", section, f"{name}.", set()
        if name == "data":
            yield from _plug_ins(plugins.SOURCES, "data.", "source", DataSection)
        elif name == "model":
            yield from _plug_ins(plugins.MODELS, "model.", "preset", ModelSection)
        elif name == "export":
            for known in formats().values():
                if known.options is not FormatOptions:
                    prefix = f"export.{known.name}"
                    yield f"`{prefix}`", known.options, f"{prefix}.", set()


def _plug_ins(
    package: str, prefix: str, selector: str, section: type[Section]
) -> Iterator[tuple[str, type[Section], str, set[str]]]:
    """Keys that several have by a model that they extend come first."""
    found = {name: plugins.load(package, name).Options for name in plugins.names(package)}
    shared: dict[type[Section], list[str]] = {}
    for name, options in found.items():
        above = [kind for kind in options.__mro__[1:] if issubclass(kind, section)]
        for kind in above[: above.index(section)]:
            shared.setdefault(kind, []).append(f"`{name}`")
    shared = {kind: names for kind, names in shared.items() if len(names) > 1}
    told = set(section.model_fields)
    for kind, names in shared.items():
        yield f"`{prefix}{selector}`: {', '.join(names)}", kind, prefix, told
    for name, options in found.items():
        fields = options.model_fields
        above = [kind for kind in shared if issubclass(options, kind)]
        same = {
            n for kind in above for n, f in kind.model_fields.items() if repr(f) == repr(fields[n])
        }
        yield f"`{prefix}{selector}: {name}`", options, prefix, told | same


def _rows(model: type[Section], prefix: str, told: Collection[str] = ()) -> Iterator[str]:
    """A row for each key, and for each key of the sections within."""
    schema = model.model_json_schema()
    meant = texts(model)
    for name, field in model.model_fields.items():
        within = _sections(field)
        if name in told:
            continue
        if not within or not isinstance(field.get_default(call_default_factory=True), Section):
            takes = CHOICES.get(prefix + name) or _takes(schema["properties"][name])
            cells = (f"`{prefix}{name}`", takes, _default(field), meant.get(name, ""))
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        for section in within:
            key = "KEY." if _is_mapping(field) else ""
            yield from _rows(section, f"{prefix}{name}.{key}")


def _sections(part: Any) -> list[type[Section]]:
    """The models that a field's value, or a value in it, is one of."""
    kind = part.annotation if isinstance(part, FieldInfo) else part
    if isinstance(kind, type) and issubclass(kind, Section):
        return [kind]
    return [section for arg in get_args(kind) for section in _sections(arg)]


def _is_mapping(field: FieldInfo) -> bool:
    return "Mapping" in str(field.annotation)


def _takes(schema: Mapping[str, Any]) -> str:
    """What a key takes, of its JSON schema."""
    if "$ref" in schema:
        return "the keys below"
    if "anyOf" in schema:
        return " or ".join(_takes(s) for s in schema["anyOf"] if s.get("type") != "null")
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{_yaml(value)}`" for value in values)
    if schema.get("type") == "array":
        items = schema.get("items") or schema.get("prefixItems", [{}])[0]
        size = f" of {schema['minItems']}" if schema.get("minItems") else ""
        return f"list{size}: {_takes(items)}".removesuffix(": ")
    name = schema.get("type", "")
    bounds = [f"{sign} {schema[bound]:.12g}" for bound, sign in BOUNDS.items() if bound in schema]
    kind = "path" if schema.get("format") == "path" else TYPES.get(name, name)
    return ", ".join(filter(None, (kind.replace("string", "text"), *bounds)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    return "none" if value is None else f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    if isinstance(value, str):
        return value.replace("\t", "\\t")
    if isinstance(value, Path):
        return value.relative_to(ROOT).as_posix()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    return json.dumps(value)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
