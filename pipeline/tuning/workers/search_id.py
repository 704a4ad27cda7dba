"""What a shared search is called, so that only workers of the same one join it."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from pipeline.config.schema import PipelineConfig
from pipeline.data import dataset_json
from pipeline.workflow.graph import STAGES
from pipeline.workflow.keys import ingredients, key_of


def search_name(config: PipelineConfig, images: Path) -> str:
    """16 hex digits of all that decides its trials: settings, seed, images, code and libraries."""
    said = asdict(dataset_json.read(images))
    said.pop("origin")  # a place, which another machine may have elsewhere
    said["source_sha256"] = sorted(said["source_sha256"].values())
    content = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    (stage,) = (stage for stage in STAGES if stage.name == "tune")
    return key_of(ingredients(config, stage, {"ingest": content}))
