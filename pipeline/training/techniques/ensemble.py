"""Ensembles: several networks trained one after another, as one model of their mean answer."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import keras

from pipeline.config.loading import with_preset
from pipeline.config.schema import PipelineConfig
from pipeline.training.complexity import Complexity, LayerCost
from pipeline.training.create_model import create_model

SEEDS = 2**31


def member_configs(config: PipelineConfig) -> tuple[PipelineConfig, ...]:
    """The config of each member, for which it trains as if it were alone."""
    presets = config.train.member_presets
    found = []
    for number in range(config.train.members):
        own = with_preset(config, presets[number % len(presets)]) if presets else config
        alone = own.train.model_copy(update={"members": 1, "member_presets": ()})
        seed = (config.seed + number) % SEEDS
        found.append(own.model_copy(update={"seed": seed, "train": alone}))
    return tuple(found)


def create_members(
    config: PipelineConfig, image_shape: tuple[int, int, int], num_classes: int
) -> list[keras.Model]:
    """The untrained networks; a single one where the config asks for no more.

    Raises:
        ConfigError: the images are too small for a preset.
    """
    return [create_model(one, image_shape, num_classes) for one in member_configs(config)]


def join(members: Sequence[keras.Model]) -> keras.Model:
    """One model that gives the mean of the members' probabilities; of one member, that member."""
    if len(members) == 1:
        return members[0]
    image = keras.Input(members[0].input_shape[1:], name="image")
    for number, member in enumerate(members, start=1):
        member.name = f"member{number}"
    answers = [member(image) for member in members]
    return keras.Model(image, keras.layers.Average(name="probabilities")(answers), name="ensemble")


def members_of(joined: keras.Model) -> list[keras.Model]:
    """The members of what `join` made of several."""
    return [layer for layer in joined.layers if isinstance(layer, keras.Model)]


def total(costs: Sequence[Complexity]) -> Complexity:
    """What members cost together; one computes after another, so that the largest needs the RAM."""
    if len(costs) == 1:
        return costs[0]

    def named(number: int, cost: Complexity) -> Iterable[LayerCost]:
        return (replace(layer, name=f"member{number}/{layer.name}") for layer in cost.layers)

    numbered = list(enumerate(costs, start=1))
    first = costs[0]
    return Complexity(
        parameters=sum(cost.parameters for cost in costs),
        trainable_parameters=sum(cost.trainable_parameters for cost in costs),
        multiply_accumulates=sum(cost.multiply_accumulates for cost in costs),
        flash_bytes={n: sum(cost.flash_bytes[n] for cost in costs) for n in first.flash_bytes},
        ram_bytes={n: max(cost.ram_bytes[n] for cost in costs) for n in first.ram_bytes},
        layers=tuple(layer for number, cost in numbered for layer in named(number, cost)),
        uncounted=tuple(f"member{n}/{name}" for n, cost in numbered for name in cost.uncounted),
    )
