import json

import pytest

from pipeline.config.schema import TrainSection
from pipeline.evaluation.report.number_format import THIN_SPACE
from pipeline.evaluation.report.provenance import facts

MANIFEST = {
    "seconds": 200.0,
    "metrics": {
        "precision": "mixed_bfloat16",
        "jit_compile": 0,
        "best_epoch": 11,
        "val_accuracy": 0.994830,
    },
    "config": {
        "model": {"l2": 0.0},
        "train": {
            "learning_rate": 0.001,
            "momentum": 0.0,
            "nesterov": False,
            "ema_momentum": None,
            "class_weights": "none",
            "pixel_range": [0.0, 255.0],
            "gives": "probabilities",
        },
        "augmentation": {"rotation_degrees": 8.0, "shift_fraction": 0.0, "elastic_sigma": 4.0},
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


def test_what_smaller_and_joined_networks_tell_is_said_in_words(inputs):
    metrics = {"zero_share": 0.5, "kernel_bytes": 76752, "teacher_val_accuracy": 1.0}
    config = {"train": {"member_presets": ["a", "b"], "shift": [0.5, 2]}}
    manifest = {"metrics": metrics, "config": config}
    (inputs["train"] / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = {heading: dict(rows) for heading, rows in facts(inputs).items()}
    assert found["Training"] == {
        "zeros in kernels": f"50.00{THIN_SPACE}%",
        "kernels in float32": "76.8 kB",
        "validation accuracy of the teacher": f"100.00{THIN_SPACE}%",
    }
    assert found["Settings"] == {"train.member_presets": "a, b", "train.shift": "0.5 to 2"}


def test_a_manifest_becomes_facts_by_heading(inputs):
    (inputs["train"] / "manifest.json").write_text(json.dumps(MANIFEST), encoding="utf-8")
    found = {heading: dict(rows) for heading, rows in facts(inputs).items()}
    assert found == {
        "Artifacts": {"ingest": "90cc", "train": "4f2a"},
        "Training": {
            "time": "3 min 20 s",
            "precision": "mixed_bfloat16",
            "compiled with XLA": "no",
            "kept epoch": "11",
            "validation accuracy": f"99.48{THIN_SPACE}%",
        },
        "Settings": {
            "model.l2": "0",
            "train.learning_rate": "0.001",
            "train.momentum": "0",
            "augmentation.rotation_degrees": "8",
        },
        "Machine": {"Git commit": "05f0aef"},
        "Versions": {"keras": "3.15.1"},
    }


def test_without_a_manifest_the_keys_remain(inputs):
    assert list(facts(inputs)) == ["Artifacts"]


def test_of_a_brought_model_the_settings_tell_how_it_was_taken(inputs):
    train = {"model_file": "mine.keras", "pixel_range": [0.0, 1.0], "epochs": 10}
    manifest = json.dumps({"config": {"train": train, "model": {"l2": 0.1}}})
    (inputs["train"] / "manifest.json").write_text(manifest, encoding="utf-8")
    assert dict(facts(inputs)["Settings"]) == {
        "train.model_file": "mine.keras",
        "train.pixel_range": "0 to 1",
    }


def test_nested_settings_are_told_by_their_keys_where_one_of_them_is_set(inputs):
    default = TrainSection().fine_tuning.model_dump(mode="json")
    for fine_tuning, told in (
        (default, {}),
        (
            {"freeze": ["conv1"], "rate_factors": {"conv2": 0.1}, "unfreeze_every_epochs": None},
            {"train.fine_tuning.freeze": "conv1", "train.fine_tuning.rate_factors.conv2": "0.1"},
        ),
    ):
        manifest = json.dumps({"config": {"train": {"fine_tuning": fine_tuning}}, "seconds": 1})
        (inputs["train"] / "manifest.json").write_text(manifest, encoding="utf-8")
        assert dict(facts(inputs).get("Settings", ())) == told
