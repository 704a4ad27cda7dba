"""Several networks as one model: through the stages, killed on the way, and as a teacher."""

import csv
import json
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from export.formats.verdict import FILE_NAME as VERDICT
from export.formats.verdict import read as read_verdict
from export.keras_files import load
from pipeline.config.loading import load_config
from pipeline.config.train.distillation import Distillation
from pipeline.core.errors import ConfigError
from pipeline.core.plugins import ROOT
from pipeline.data import dataset_json, tfrecords
from pipeline.data.dataset_json import Description
from pipeline.data.images.types import LabelledImages
from pipeline.evaluation.report import history
from pipeline.stages import build, evaluate, export, train, verify
from pipeline.store.artifact import write_manifest
from pipeline.training.techniques.distillation import read_teacher
from pipeline.training.techniques.ensemble import member_configs, members_of
from pipeline.workflow.graph import STAGES as ALL_STAGES
from pipeline.workflow.keys import ingredients
from pipeline.workflow.stage import StageContext
from tests.children_here import children_here
from tests.training.test_stages import STILL, KilledError, KillingProgress, SilentProgress

SIDE, CLASSES, STEPS = 12, tuple("abc"), 3
STAGES = {stage.name: stage for stage in ALL_STAGES}
MNIST = ROOT / "configs" / "mnist.yaml"
SMALL = (
    "tune.enabled=false",
    "model={preset: tiny_cnn, filters: [4], dropout: 0.2}",
    *STILL,
    "train.epochs=1",
    "train.batch_size=20",
    "train.precision=float32",
    "train.jit_compile=false",
    "train.deterministic=true",
    "train.schedule=constant",
    "export.formats=[tflite_float32, onnx]",
    "export.calibration.images=10",
    "verify.warmup_runs=0",
    "verify.timed_runs=1",
)
TWO = ("train.members=2",)


def images(count, seed):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    found = random.integers(0, 150, (count, SIDE, SIDE, 1), dtype=np.uint8)
    for image, label in zip(found, labels, strict=True):
        image[3 * label : 3 * label + 4] += 90
    return LabelledImages(found, labels)


def write_ingest(folder):
    parts = {"train": images(60, 1), "validation": images(30, 2), "test": images(30, 3)}
    counts = {name: tuple(np.bincount(part.labels).tolist()) for name, part in parts.items()}
    shape = (SIDE, SIDE, 1)
    described = Description(shape, CLASSES, counts, (0.0,), (1.0,), "made", {}, {})
    dataset_json.write(folder, described)
    for name, part in parts.items():
        tfrecords.write_split(folder, name, part)


class Stages:
    """Runs stages on what those before them made."""

    def __init__(self, root: Path, ingest: Path, *overrides: str) -> None:
        self.root, self.made = root, {"ingest": ingest}
        self.config = load_config(MNIST, [*SMALL, *overrides])

    def run(self, stage, progress=None):
        name = stage.__name__.rpartition(".")[2]
        output, scratch = self.root / f"{name}-{len(list(self.root.iterdir()))}", self.root / "kept"
        output.mkdir(parents=True)
        scratch.mkdir(exist_ok=True)
        progress = progress or SilentProgress()
        context = StageContext(self.config, dict(self.made), output, scratch, progress, "same")
        result = stage.run(context)
        self.made[name] = output
        return result


@pytest.fixture(scope="module")
def ingest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ingest")
    write_ingest(folder)
    return folder


@pytest.fixture(scope="module")
def two(ingest, tmp_path_factory):
    """Two members, killed when the second began, and all that is made of them then."""
    stages = Stages(tmp_path_factory.mktemp("two"), ingest, *TWO)
    built = stages.run(build)
    with pytest.raises(KilledError):
        stages.run(train, KillingProgress(STEPS))
    progress = SilentProgress()
    trained = stages.run(train, progress)
    stages.run(evaluate)
    with children_here():
        stages.run(export)
        verified = stages.run(verify)
    model = load.load(stages.made["train"] / "model.keras")
    return SimpleNamespace(
        made=stages.made,
        built=built,
        trained=trained,
        verified=verified,
        model=model,
        lines=progress.lines,
    )


@pytest.fixture(scope="module")
def second_alone(ingest, tmp_path_factory):
    """The second member's weights, of a training that had its seed and no other network."""
    stages = Stages(tmp_path_factory.mktemp("alone"), ingest, "seed=1")
    stages.run(build)
    stages.run(train)
    return load.load(stages.made["train"] / "model.keras").get_weights()


def test_each_member_is_the_network_that_its_seed_alone_would_give(two, second_alone):
    first, second = (member.get_weights() for member in members_of(two.model))
    assert all((a == b).all() for a, b in zip(second, second_alone, strict=True))
    assert any((a != b).any() for a, b in zip(first, second, strict=True))


def test_a_kill_leaves_the_members_that_had_come_to_their_end_as_they_are(two):
    said = [line for line in two.lines if "training had come" in line or "member" in line]
    assert said[0] == "member 1 of 2: tiny_cnn, seed 0"
    assert said[1].startswith("training had come to its end (checkpoint of ")
    assert said[2:] == ["member 2 of 2: tiny_cnn, seed 1"]


def test_it_gives_the_mean_of_its_members_probabilities(two):
    pixels = images(5, 7).images.astype(np.float32)
    alone = [np.asarray(member(pixels)) for member in members_of(two.model)]
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    assert np.asarray(two.model(pixels)) == pytest.approx((alone[0] + alone[1]) / 2, abs=1e-6)


def test_every_format_gives_its_answers(two):
    verdict = read_verdict(two.made["verify"] / VERDICT)
    assert [row.name for row in verdict.formats] == ["tflite_float32", "onnx"]
    assert two.verified.passed


def test_build_tells_what_all_members_cost(two):
    one = members_of(two.model)[0].count_params()
    assert two.built.metrics["parameters"] == 2 * one
    assert two.built.summary.startswith("2 members of tiny_cnn: ")
    assert load.load(two.made["build"] / "model.keras").count_params() == 2 * one


def test_the_manifest_tells_of_each_member_and_of_all_together(two):
    metrics = two.trained.metrics
    assert metrics["members"] == 2
    assert len(metrics["members_alone"].split(", ")) == 2
    assert "best_epoch" not in metrics
    assert metrics["precision"] == "float32"
    assert "of 2 members together" in two.trained.summary
    assert "2 members of tiny_cnn" in (two.made["evaluate"] / "report.html").read_text()


def test_the_history_and_the_logs_hold_every_member(two):
    with (two.made["train"] / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["member"], row["epoch"]) for row in rows] == [("1", "1"), ("2", "1")]
    logs = two.made["train"] / "tensorboard"
    assert {path.relative_to(logs).parts[0] for path in logs.rglob("events*")} == {
        "member1",
        "member2",
    }


def test_the_report_has_the_mean_of_the_members_and_their_time_together(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("member,epoch,loss,seconds\n1,1,4,2\n1,2,3,2\n2,1,2,5\n")
    found = history.read(path)
    assert found.epochs == (1, 2)
    assert found.points("loss") == [(1, 3), (2, 3)]
    assert found.seconds == 9
    assert "member" not in found.columns
    assert found.members == 2


@pytest.fixture(scope="module")
def artifact(two, tmp_path_factory):
    """The train artifact of both members, as the store would publish it."""
    folder = tmp_path_factory.mktemp("train") / "0123456789abcdef"
    shutil.copytree(two.made["train"], folder)
    texts = {"stage": "train", "key": folder.name, "created": "now", "summary": "made"}
    write_manifest(folder, texts | {"inputs": {}, "ingredients": {}, "metrics": {}})
    return folder


def test_its_artifact_teaches_a_single_network(two, artifact, ingest, tmp_path):
    teacher = ["train.distillation.teacher=" + str(artifact), "train.precision=mixed_float16"]
    stages, progress = Stages(tmp_path / "student", ingest, *teacher), SilentProgress()
    stages.root.mkdir()
    stages.run(build)
    metrics = stages.run(train, progress).metrics
    assert metrics["teacher"].startswith("train 0123456789abcdef (SHA-256 ")
    expected = two.trained.metrics["val_accuracy"]
    assert metrics["teacher_val_accuracy"] == pytest.approx(expected, abs=1e-6)
    assert progress.lines[0].startswith("70% of the loss from train 0123456789abcdef ")
    student = load.load(stages.made["train"] / "model.keras")
    assert student.count_params() == members_of(two.model)[0].count_params()
    assert len(list(stages.made["train"].rglob("*.keras"))) == 1


def test_a_damaged_artifact_and_one_of_another_stage_are_no_teachers(artifact, ingest, tmp_path):
    read = partial(read_teacher, dataset=dataset_json.read(ingest), validation=images(3, 1))
    damaged = tmp_path / "damaged"
    shutil.copytree(artifact, damaged)
    (damaged / "history.csv").write_text("")
    with pytest.raises(ConfigError, match="says how to mend it"):
        read(Distillation(teacher=damaged))
    manifest = json.loads((artifact / "manifest.json").read_text())
    write_manifest(damaged, {**manifest, "stage": "build"})
    with pytest.raises(ConfigError, match="is an artifact of build; name one of train"):
        read(Distillation(teacher=damaged))


def test_members_take_their_presets_in_turn_with_the_options_that_each_has():
    overrides = ["train.members=3", "train.member_presets=[compact_cnn, lenet5]", "seed=7"]
    options = ["model.preset=compact_cnn", "model.filters=8", "model.dropout=0.3"]
    found = member_configs(load_config(MNIST, [*SMALL, *options, *overrides]))
    assert [one.seed for one in found] == [7, 8, 9]
    assert [one.model.preset for one in found] == ["compact_cnn", "lenet5", "compact_cnn"]
    assert [getattr(one.model, "filters", None) for one in found] == [8, None, 8]
    assert {one.model.dropout for one in found} == {0.3}
    assert {one.train.members for one in found} == {1}


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["train.member_presets=[lenet5]"], "names 1, and members is 1; set members to 2 or more"),
        (["train.member_presets=[lenet5, two_conv]"], "set members to 2 or more"),
        (["train.members=2", "train.member_presets=[lenet]"], "'lenet' is no preset. Available"),
        (["train.members=0"], "greater than or equal to 1"),
    ],
)
def test_what_makes_no_ensemble_is_refused_when_the_config_is_read(overrides, reason):
    with pytest.raises(ConfigError, match=reason) as refused:
        load_config(MNIST, overrides)
    assert "\n" not in str(refused.value)


def test_the_number_of_members_and_their_presets_decide_what_build_makes():
    def values(*overrides):
        return ingredients(load_config(MNIST, [*SMALL, *overrides]), STAGES["build"], {})

    one, more = values(), values("train.members=2")
    other = values("train.members=2", "train.member_presets=[lenet5, two_conv]")
    assert more["config"]["train.members"] == 2
    assert one["config"] != more["config"] != other["config"]
    assert more["code"] != other["code"]
