"""Which settings of `train` exclude each other, and why."""

from collections.abc import Collection
from typing import Any

FROZEN = ("fine_tuning.freeze", "fine_tuning.freeze_batch_norm: true")
MIXED = ("precision: mixed_float16", "precision: mixed_bfloat16")
COMPILED = "jit_compile: true"

Exclusion = tuple[str, tuple[str, ...], str]
"""A setting, those that it does not go together with, and why."""


def exclusions(techniques: dict[str, Any]) -> tuple[Exclusion, ...]:
    """All there are; the first that is met is told of.

    Args:
        techniques: the section of each, by its key, which declares what it excludes.
    """
    # The last first: in this order they have always been told of.
    more_than_training = ("members", *reversed(techniques))
    on_one_device = needing_one_device(techniques)
    return (
        ("model_file", ("initial_weights", *more_than_training), "a model_file is taken as it is"),
        (
            "fine_tuning.head: nearest_mean",
            (*more_than_training, *MIXED, COMPILED),
            "the nearest mean trains nothing",
        ),
        *((name, *row) for name, section in techniques.items() for row in section.excludes),
        ("initial_weights", ("member_presets",), "the weights fit one preset"),
        ("strategy: mirrored", on_one_device, "this needs one device"),
        ("strategy: multi_worker", on_one_device, "this needs one device"),
    )


def needing_one_device(techniques: dict[str, Any]) -> tuple[str, ...]:
    """The settings that several devices cannot share out."""
    declared = (name for name in reversed(techniques) if techniques[name].one_device)
    return (COMPILED, "initial_weights", "members", *declared)


def refuse_what_excludes(in_use: Collection[str], table: Collection[Exclusion]) -> None:
    """Refuses the first two settings in use that do not go together.

    Args:
        in_use: settings as they are told of, those whose value matters with it.
        table: what excludes what.

    Raises:
        ValueError: names both.
    """
    for setting, others, why in table:
        for other in others:
            if setting in in_use and other in in_use:
                raise ValueError(f"{setting} and {other} exclude each other: {why}; change one")
