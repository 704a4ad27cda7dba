from pathlib import Path

import pytest

from pipeline.config.base import trained_file
from pipeline.config.loading import load_config
from pipeline.core.errors import ConfigError
from pipeline.core.plugins import ROOT
from pipeline.workflow.references import made_from, with_folders

KEY = "0123456789abcdef"


def load(*overrides):
    return load_config(ROOT / "configs" / "mnist.yaml", ["tune.enabled=false", *overrides])


@pytest.mark.parametrize("setting", ["train.initial_weights", "train.distillation.teacher"])
@pytest.mark.parametrize("place", ["missing", "b" * 16, "circle", "runs", "missing.keras"])
def test_a_model_that_is_not_there_is_refused_by_the_name_of_its_setting(setting, place, artifacts):
    Path("circle").symlink_to("circle")
    with pytest.raises(ConfigError, match=f"^{setting}: {place} is neither a train artifact nor"):
        with_folders(load(f"{setting}={place}"), artifacts)


def test_a_manifest_tells_which_artifacts_its_model_learnt_from():
    folder = f"/shared/artifacts/train/{KEY}"
    teacher = f"train/{'b' * 16}/model.keras"
    begun = {"initial_weights": folder, "distillation": {"teacher": teacher}}
    assert named(begun) == [("train", KEY), ("train", "b" * 16)]
    assert named({"model_file": f"{folder}/model.keras"}) == [("train", KEY)]
    assert named(begun, stage="ingest") == []
    for place in (f"evaluate/{KEY}", "train/model.keras", 7, None, [], {}):
        assert named({"initial_weights": place, "distillation": {"teacher": place}}) == []
    for config in ({}, {"train": None}, {"train": {"distillation": "x"}}):
        assert made_from({"stage": "train", "config": config, "inputs": {}}) == []
    assert made_from({"inputs": {"build": {"key": KEY}}}) == [("build", KEY)]


def named(train, stage="train"):
    return made_from({"stage": stage, "config": {"train": train}, "inputs": {}})


@pytest.fixture
def artifacts(tmp_path, monkeypatch):
    """The folder of all artifacts, by a path that is not its real one, with one of train in it."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "disk" / "train" / KEY
    made.mkdir(parents=True)
    (made / "model.keras").touch()
    Path("artifacts").symlink_to(tmp_path / "disk")
    run = Path("artifacts/runs/20261122-100000-mnist")
    run.mkdir(parents=True)
    (run / "train").symlink_to(Path("../../train") / KEY)
    Path("best.keras").symlink_to(run / "train" / "model.keras")
    return Path("artifacts")


@pytest.mark.parametrize(
    "place",
    [
        "artifacts/runs/20261122-100000-mnist/train",
        "artifacts/runs/20261122-100000-mnist/train/model.keras",
        f"disk/train/{KEY}",
        f"artifacts/train/{KEY}/model.keras",
        KEY,
        "best.keras",
    ],
)
def test_an_artifact_is_known_by_its_key_however_the_config_names_it(place, artifacts):
    config = load(f"train.initial_weights={place}", f"train.distillation.teacher={place}")
    train = with_folders(config, artifacts).train
    assert train.initial_weights == train.distillation.teacher == artifacts / "train" / KEY
    assert named(train.model_dump(mode="json")) == [("train", KEY)] * 2
    if place.endswith(".keras"):
        taken = with_folders(load(f"train.model_file={place}"), artifacts).train
        assert taken.model_file == artifacts / "train" / KEY / "model.keras"


def test_what_lies_elsewhere_keeps_its_name(artifacts, tmp_path):
    other = tmp_path / "other" / "train" / KEY
    other.mkdir(parents=True)
    for place in (f"other/train/{KEY}", f"artifacts/train/{KEY}/other.keras"):
        trained_file(Path(place)).touch()
        config = load(f"train.initial_weights={place}")
        assert with_folders(config, artifacts) is config
