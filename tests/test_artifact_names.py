from pathlib import Path

from pipeline.artifact_names import with_folders
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
