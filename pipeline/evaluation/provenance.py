"""How a model was made, as facts that a person can read, from manifests."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.evaluation.wording import duration

SETTINGS = ("model", "train", "augmentation")
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
    is_brought = config.get("train", {}).get("model_file")
    for section in ("train",) if is_brought else SETTINGS:
        for name, value in _plain(config.get(section, {})):
            if not is_brought or name in OF_BROUGHT_MODELS:
                yield Fact(f"{section}.{name}", value)


def _seconds(manifest: Mapping[str, Any]) -> Iterator[Fact]:
    if "seconds" in manifest:
        yield Fact("time", duration(manifest["seconds"]))


def _spoken(values: Mapping[str, Any]) -> list[Fact]:
    return [Fact(name.replace("_", " "), value) for name, value in _plain(values)]


def _plain(values: Mapping[str, Any]) -> list[Fact]:
    return [Fact(name, _text(value)) for name, value in values.items() if value is not None]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
