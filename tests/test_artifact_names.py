from pathlib import Path

from pipeline.artifact_names import learnt_from, with_folders
from pipeline.config_loading import load_config
from pipeline.plugins import ROOT

KEY = "0123456789abcdef"


def load(*overrides):
    return load_config(ROOT / "configs" / "mnist.yaml", ["tune.enabled=false", *overrides])


def test_a_key_becomes_the_folder_of_the_train_artifact():
    config = load(f"train.initial_weights={KEY}", f"train.distillation.teacher={KEY}")
    train = with_folders(config, Path("made")).train
    assert train.initial_weights == train.distillation.teacher == Path("made/train") / KEY
    assert train.epochs == config.train.epochs


def test_what_is_no_key_stays_as_it_is():
    config = load("train.initial_weights=old/train", "train.distillation.teacher=a.keras")
    assert with_folders(config, Path("made")) is config


def test_a_manifest_tells_which_artifacts_its_model_learnt_from():
    folder = f"/shared/artifacts/train/{KEY}"
    begun = {"initial_weights": folder, "distillation": {"teacher": f"train/{'b' * 16}"}}
    assert learnt_from({"config": {"train": begun}}) == [("train", KEY), ("train", "b" * 16)]
    for place in (f"evaluate/{KEY}", "train/model.keras", f"{folder}/model.keras", 7, None, [], {}):
        named = {"initial_weights": place, "distillation": {"teacher": place}}
        assert learnt_from({"config": {"train": named}}) == []
    for config in ({}, {"train": None}, {"train": {"distillation": "x"}}):
        assert learnt_from({"config": config}) == []
    assert learnt_from({}) == []
