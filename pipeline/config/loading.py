"""YAML with `extends`, plus overrides such as train.epochs=5, becomes a PipelineConfig."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, create_model

from pipeline.config.layers import (
    PLUG_INS,
    Layer,
    file_layers,
    find,
    merge,
    nested,
    origin,
    override_layer,
    without_training,
)
from pipeline.config.messages import describe
from pipeline.config.schema import (
    Dimension,
    ExportSection,
    Gate,
    PipelineConfig,
    VerifySection,
    candidates,
)
from pipeline.config.suggestions import suggest
from pipeline.config.train import TECHNIQUES
from pipeline.config.train.model_file import ModelFile
from pipeline.core import plugins
from pipeline.core.errors import ConfigError

SEARCHABLE = ("model", "train", "augmentation")
NOT_SEARCHED = {
    "train.epochs": "tune.epochs decides it",
    "train.monitor": "tune.objective decides which epoch of a trial counts",
    "train.precision": "the machine decides it",
    "train.jit_compile": "the machine decides it",
    "train.strategy": "a trial trains on one device",
    "train.deterministic": "the config decides it",
    "train.memory_limit_mib": "the config decides it",
    "train.checkpoint_every_steps": "the config decides it",
    "train.members": "a trial is of a single network",
    "train.member_presets": "a trial is of a single network",
    **{f"train.{n}": "trials train without" for n, t in TECHNIQUES.items() if not t.searched},
    "train.initial_weights": "the config decides it",
    **dict.fromkeys((f"train.{name}" for name in ModelFile.model_fields), "a trial trains"),
}
"""Keys that a trial would pass over, themselves or those within, and why."""


def load_config(
    path: Path, overrides: Sequence[str] = (), *, is_trained: bool = False
) -> PipelineConfig:
    """Reads a config and what it extends, applies overrides, and checks everything.

    `path` may be the name of one of the program's own: `smoke`, `classic/two_conv`.

    For a model that is trained, what the config says of training does not count.

    Raises:
        ConfigError: one line for each thing wrong: where, what was found, what was expected.
    """
    path = find(path)
    layers = [*file_layers(path), override_layer(overrides)]
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = merge(merged, layer.values)
    if is_trained:
        merged = without_training(merged)
    if "name" in merged:
        raise ConfigError(f"{origin(('name',), layers)}: remove `name`; it is the file's own name")
    config = _validate({**merged, "name": path.stem}, layers)
    _refuse_search_space(config, layers)
    _refuse_same_views(config, layers)
    _refuse_search(config, layers)
    _check_techniques(config, layers)
    for preset in config.train.member_presets:
        with_preset(config, preset)
    return config


def recorded_config(values: Mapping[str, Any], where: str) -> PipelineConfig:
    """The config as a run or a manifest recorded it.

    Raises:
        ConfigError: the program has changed so that it is none any more.
    """
    return _validate(values, [Layer(where, values)])


def with_values(config: PipelineConfig, values: Mapping[str, Any]) -> PipelineConfig:
    """The config with other values for some keys, such as `{"train.learning_rate": 0.01}`.

    Raises:
        ConfigError: a key or value that the config would refuse in a file.
    """
    if not values:
        return config
    layer: dict[str, Any] = {}
    for key, value in values.items():
        layer = merge(layer, nested(key.split("."), value), is_one_layer=True)
    merged = merge(config.model_dump(mode="json"), layer)
    return _validate(merged, [Layer(config.name, merged)])


def with_preset(config: PipelineConfig, preset: str) -> PipelineConfig:
    """The config with another network, and those options of `model` that it has.

    Raises:
        ConfigError: an option does not suit the preset.
    """
    values = config.model_dump(mode="json")
    known = plugins.load(plugins.MODELS, preset).Options.model_fields
    values["model"] = {n: v for n, v in values["model"].items() if n in known} | {"preset": preset}
    return _validate(values, [Layer(config.name, values)])


def _validate(values: Mapping[str, Any], layers: Sequence[Layer]) -> PipelineConfig:
    config_type = _config_type(values, layers)
    try:
        text = json.dumps(values, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{layers[-1].name}: {error}") from error
    try:
        return config_type.model_validate_json(text)
    except ValidationError as error:
        problems = (describe(e, config_type, layers) for e in error.errors())
        raise ConfigError(*problems) from None


def _config_type(values: Mapping[str, Any], layers: Sequence[Layer]) -> type[PipelineConfig]:
    """PipelineConfig with the options of the chosen plug-ins in their sections."""
    names: dict[str, str] = {}
    for section, (selector, package) in PLUG_INS.items():
        chosen = values.get(section)
        name = chosen.get(selector) if isinstance(chosen, dict) else None
        if name is None:
            raise ConfigError(
                f"{origin((section, selector), layers)}: {section}.{selector} is missing. "
                f"Available: {', '.join(plugins.names(package))}"
            )
        if name not in plugins.names(package):
            where = f"{origin((section, selector), layers)}: {section}.{selector}"
            raise ConfigError(f"{where} is {name!r}. {suggest(str(name), plugins.names(package))}")
        names[section] = name
    return type_with(**names)


@cache
def type_with(data: str, model: str) -> type[PipelineConfig]:
    """PipelineConfig with the options of this source and this preset."""
    return create_model(
        "Config",
        __base__=PipelineConfig,
        data=(plugins.load(plugins.SOURCES, data).Options, ...),
        model=(plugins.load(plugins.MODELS, model).Options, ...),
        export=(_export_type(), ...),
        verify=(_verify_type(), VerifySection()),
    )


def _export_type() -> type[ExportSection]:
    fields: dict[str, Any] = {f.name: (f.options, f.options()) for f in _formats()}
    fields["formats"] = (tuple[_format_names(), ...], ...)  # type: ignore[misc]
    return create_model("Export", __base__=ExportSection, **fields)


def _verify_type() -> type[VerifySection]:
    fields: dict[str, Any] = {"gates": (Mapping[_format_names(), Gate], {})}  # type: ignore[misc]
    return create_model("Verify", __base__=VerifySection, **fields)


def _formats() -> Iterator[Any]:
    for exporter in plugins.exporters():
        yield from exporter.FORMATS


def _format_names() -> Any:
    return Literal[tuple(f.name for f in _formats())]


def _refuse_search_space(config: PipelineConfig, layers: Sequence[Layer]) -> None:
    """Puts each end and each choice of the search space into the config once."""
    for key, dimension in config.tune.space.items():
        where = f"{origin(('tune', 'space', key), layers)}: tune.space"
        if key.partition(".")[0] not in SEARCHABLE:
            raise ConfigError(
                f"{where}: {key} cannot be searched; expected a key of {', '.join(SEARCHABLE)}"
            )
        if why := _why_passed_over(key, config):
            raise ConfigError(f"{where}: {key} cannot be searched; {why}")
        for values in _each_with(key, dimension, config):
            try:
                with_values(config, values)
            except ConfigError as error:
                raise ConfigError(f"{where}: {str(error).partition(': ')[2]}") from None


def _why_passed_over(key: str, config: PipelineConfig) -> str | None:
    """Why trials would not differ by the key, if so: any of them would be the best."""
    if key == "model.preset" and config.train.member_presets:
        return "train.member_presets decides it"
    return NOT_SEARCHED.get(".".join(key.split(".")[:2]))


def _refuse_same_views(config: PipelineConfig, layers: Sequence[Layer]) -> None:
    """Refuses to average over views that would all be the same."""
    views = config.evaluate.test_time_views
    if views > 1 and not any(c.augmentation.moves_pixels for c in _with_each_candidate(config)):
        where = origin(("evaluate", "test_time_views"), layers)
        raise ConfigError(
            f"{where}: evaluate.test_time_views is {views}, but augmentation moves no pixels, so "
            "all views are the same; set augmentation.shift_fraction or another that moves them, "
            "or leave test_time_views at 1"
        )


def _refuse_search(config: PipelineConfig, layers: Sequence[Layer]) -> None:
    """Refuses a search for a training that there is not."""
    if not config.tune.enabled:
        return
    begun = config.train.initial_weights is not None
    if begun and any(c.train.fine_tuning.trains_nothing for c in _with_each_candidate(config)):
        where = origin(("train", "fine_tuning", "head"), layers)
        raise ConfigError(
            f"{where}: train.fine_tuning.head: nearest_mean trains nothing, so there is nothing to "
            "search; set tune.enabled=false"
        )


def _check_techniques(config: PipelineConfig, layers: Sequence[Layer]) -> None:
    """Refuses what a technique does not go with in other sections; a search may try that."""
    for each in _with_each_candidate(config):
        for name, technique in config.train.techniques.items():
            for key, why in technique.excludes_elsewhere:
                value: Any = each
                for part in (parts := key.split(".")):
                    value = getattr(value, part, None)
                if value:
                    where = origin(parts if each is config else ("tune", "space"), layers)
                    raise ConfigError(
                        f"{where}: {key} and train.{name} exclude each other: {why}; change one"
                    )


def _with_each_candidate(config: PipelineConfig) -> Iterator[PipelineConfig]:
    """The config itself, and with each value that a search would try of one key."""
    yield config
    for key, dimension in config.tune.space.items() if config.tune.enabled else ():
        for values in _each_with(key, dimension, config):
            yield with_values(config, values)


def _each_with(key: str, dimension: Dimension, config: PipelineConfig) -> Iterator[dict[str, Any]]:
    """Each candidate of a key; an option of the model with each preset that is searched too."""
    presets = config.tune.space.get("model.preset")
    for value in candidates(dimension):
        if presets and key.startswith("model.") and key != "model.preset":
            for preset in candidates(presets):
                yield {"model.preset": preset, key: value}
        else:
            yield {key: value}
