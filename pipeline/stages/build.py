"""Makes the untrained model and says what it costs."""

import json
from pathlib import Path

import keras

from pipeline.config.schema import PipelineConfig
from pipeline.data import dataset_json
from pipeline.training.complexity import Complexity, measure
from pipeline.training.techniques.ensemble import create_members, join, total
from pipeline.workflow.stage import StageContext, StageResult


def run(context: StageContext) -> StageResult:
    """Publishes `model.keras`, `summary.txt` and `model.json`.

    Raises:
        ConfigError: the images are too small for the preset.
    """
    data = dataset_json.read(context.inputs["ingest"])
    members = create_members(context.config, data.image_shape, len(data.classes))
    complexity = total([measure(member) for member in members])
    model = join(members)
    model.save(context.output / "model.keras")
    _write_summary(model, context.output / "summary.txt")
    (context.output / "model.json").write_text(
        json.dumps(complexity.to_json(), indent=2) + "\n", encoding="utf-8"
    )
    return StageResult(
        summary=_describe(_networks(context.config), complexity),
        metrics={
            "parameters": complexity.parameters,
            "multiply_accumulates": complexity.multiply_accumulates,
            "flash_bytes_int8": complexity.flash_bytes["int8"],
            "ram_bytes_int8": complexity.ram_bytes["int8"],
        },
    )


def _write_summary(model: keras.Model, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        model.summary(
            line_length=100, expand_nested=True, print_fn=lambda text: print(text, file=file)
        )


def _networks(config: PipelineConfig) -> str:
    """`lenet5`, or `2 members of lenet5, two_conv`."""
    count, presets = config.train.members, config.train.member_presets
    names = ", ".join(presets or (config.model.preset,))
    return f"{count} members of {names}" if count > 1 else names


def _describe(network: str, complexity: Complexity) -> str:
    flash, ram = complexity.flash_bytes["int8"] / 1000, complexity.ram_bytes["int8"] / 1000
    return (
        f"{network}: {complexity.parameters:,} parameters, "
        f"{complexity.multiply_accumulates / 1e6:.1f} M multiply-accumulates, "
        f"about {flash:.0f} kB flash and {ram:.0f} kB RAM as int8"
    )
