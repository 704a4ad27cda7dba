"""Which settings of `train` exclude each other, and why."""

from collections.abc import Collection

MORE_THAN_TRAINING = ("members", "pruning", "quantization_aware", "distillation")
ON_ONE_DEVICE = ("jit_compile: true", "initial_weights", *MORE_THAN_TRAINING)
FROZEN = ("fine_tuning.freeze", "fine_tuning.freeze_batch_norm: true")
MIXED = ("precision: mixed_float16", "precision: mixed_bfloat16")

EXCLUSIONS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("model_file", ("initial_weights", *MORE_THAN_TRAINING), "a model_file is taken as it is"),
    (
        "fine_tuning.head: nearest_mean",
        (*MORE_THAN_TRAINING, *MIXED, "jit_compile: true"),
        "the nearest mean trains nothing",
    ),
    ("quantization_aware", ("members",), "the ranges of one network are learnt"),
    ("quantization_aware", MIXED, "8 bits are imitated in float32"),
    ("quantization_aware", (*FROZEN, "fine_tuning.rate_factors"), "all layers learn 8 bits alike"),
    ("pruning", FROZEN, "what is frozen stays as it is"),
    ("initial_weights", ("member_presets",), "the weights fit one preset"),
    ("strategy: mirrored", ON_ONE_DEVICE, "this needs one device"),
    ("strategy: multi_worker", ON_ONE_DEVICE, "this needs one device"),
)
"""A setting, those that it does not go together with, and why."""


def refuse_what_excludes(in_use: Collection[str]) -> None:
    """Refuses the first two settings in use that do not go together.

    Args:
        in_use: settings as they are told of, those whose value matters with it.

    Raises:
        ValueError: names both.
    """
    for setting, others, why in EXCLUSIONS:
        for other in others:
            if setting in in_use and other in in_use:
                raise ValueError(f"{setting} and {other} exclude each other: {why}; change one")
