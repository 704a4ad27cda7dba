"""How a model was made, as facts that a person can read, from manifests."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.config.schema import AugmentationSection, TrainSection
from pipeline.evaluation.report.number_format import duration, percent

SETTINGS = ("model", "train", "augmentation")
DEFAULTS = {"train": TrainSection(), "augmentation": AugmentationSection()}
SPOKEN = {
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
    "best_epoch": "kept epoch",
    "jit_compile": "compiled with XLA",
    "begun_from": "began from",
    "begun_from_sha256": "SHA-256 of that model",
    "teacher_val_accuracy": "validation accuracy of the teacher",
    "zero_share": "zeros in kernels",
    "kernel_bytes": "kernels in float32",
    "kernel_deflated_bytes": "kernels, deflated",
    "members_alone": "validation accuracy of each alone",
    "python": "Python",
    "git_commit": "Git commit",
}
SHARES = ("val_accuracy", "teacher_val_accuracy", "zero_share")
SIZES = ("kernel_bytes", "kernel_deflated_bytes")
OF_BROUGHT_MODELS = ("model_file", "model_code", "trust_model_file", "pixel_range", "gives")


class Fact(NamedTuple):
    name: str
    value: str


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """The artifact's manifest; empty where there is none."""
    path = folder / "manifest.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def facts(inputs: Mapping[str, Path]) -> dict[str, list[Fact]]:
    """Facts by heading, of what the manifests of the input artifacts hold.

    Args:
        inputs: the folders of the artifacts `ingest` and `train`.
    """
    train = read_manifest(inputs["train"])
    environment = train.get("environment", {})
    found = {
        "Artifacts": [Fact(name, folder.name) for name, folder in sorted(inputs.items())],
        "Training": [*_seconds(train), *_spoken(train.get("metrics", {}))],
        "Settings": list(_settings(train.get("config", {}))),
        "Machine": _spoken({k: v for k, v in environment.items() if k != "libraries"}),
        "Versions": _plain(environment.get("libraries", {})),
    }
    return {heading: list(rows) for heading, rows in found.items() if rows}


def _settings(config: Mapping[str, Any]) -> Iterator[Fact]:
    """Those that made the model; of one that was brought, how it was taken."""
    if config.get("train", {}).get("model_file"):
        brought = {n: v for n, v in config["train"].items() if n in OF_BROUGHT_MODELS}
        yield from _named("train", brought)
        return
    for section in SETTINGS:
        yield from _named(section, _telling(section, config.get(section, {})))


def _named(section: str, values: Mapping[str, Any]) -> Iterator[Fact]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _named(f"{section}.{name}", value)
        else:
            yield from (Fact(f"{section}.{name}", fact) for _, fact in _plain({name: value}))


def _telling(section: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without what is as it is by default: all of `augmentation`, what is off of `train`."""
    if section not in DEFAULTS:
        return values
    defaults = DEFAULTS[section].model_dump(mode="json")
    told = {
        name: value
        for name, value in values.items()
        if value != defaults.get(name) or (section == "train" and _is_on(value))
    }
    return {name: value for name, value in told.items() if name not in OF_BROUGHT_MODELS}


def _is_on(value: Any) -> bool:
    """Whether a setting at its default does something; nested ones are off by default."""
    return bool(value) and value != "none" and not isinstance(value, Mapping)


def _seconds(manifest: Mapping[str, Any]) -> Iterator[Fact]:
    if "seconds" in manifest:
        yield Fact("time", duration(manifest["seconds"]))


def _spoken(values: Mapping[str, Any]) -> list[Fact]:
    """Names as words, shares of validation images as percentages."""
    facts = dict(_plain(values))
    facts |= {name: percent(values[name], 2) for name in SHARES if name in facts}
    facts |= {name: f"{values[name] / 1000:,.1f} kB" for name in SIZES if name in facts}
    if "jit_compile" in facts:
        facts["jit_compile"] = _text(bool(values["jit_compile"]))
    return [Fact(SPOKEN.get(name, name.replace("_", " ")), fact) for name, fact in facts.items()]


def _plain(values: Mapping[str, Any]) -> list[Fact]:
    return [Fact(name, _text(value)) for name, value in values.items() if value is not None]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        is_range = len(value) == 2 and all(isinstance(end, int | float) for end in value)
        return (" to " if is_range else ", ").join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
