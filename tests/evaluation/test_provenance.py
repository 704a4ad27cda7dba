import json

import pytest

from pipeline.evaluation.provenance import facts

MANIFEST = {
    "seconds": 200.0,
    "metrics": {"precision": "mixed_bfloat16", "best_epoch": 11, "val_accuracy": 0.994830},
    "config": {
        "train": {"learning_rate": 0.001, "nesterov": False, "ema_momentum": None},
        "verify": {"threads": 1},
    },
    "environment": {"git_commit": "05f0aef", "libraries": {"keras": "3.15.1", "onnx": None}},
}


@pytest.fixture
def inputs(tmp_path):
    folders = {"train": tmp_path / "4f2a", "ingest": tmp_path / "90cc"}
    for folder in folders.values():
        folder.mkdir()
    return folders


def test_a_manifest_becomes_facts_by_heading(inputs):
    (inputs["train"] / "manifest.json").write_text(json.dumps(MANIFEST), encoding="utf-8")
    found = {heading: dict(rows) for heading, rows in facts(inputs).items()}
    assert found == {
        "Artifacts": {"ingest": "90cc", "train": "4f2a"},
        "Training": {
            "time": "3 min 20 s",
            "precision": "mixed_bfloat16",
            "best epoch": "11",
            "val accuracy": "0.9948",
        },
        "Settings": {"train.learning_rate": "0.001", "train.nesterov": "no"},
        "Machine": {"git commit": "05f0aef"},
        "Versions": {"keras": "3.15.1"},
    }


def test_without_a_manifest_the_keys_remain(inputs):
    assert list(facts(inputs)) == ["Artifacts"]
