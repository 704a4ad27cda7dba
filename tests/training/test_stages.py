"""The stages train and tune on a hundred images of MNIST."""

import csv
import json
from contextlib import contextmanager
from datetime import datetime

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from pipeline.config.loading import load_config, with_values
from pipeline.config.strict_yaml import parse_yaml
from pipeline.config.train.tf_config import Cluster
from pipeline.core.errors import DivergedError, StageError
from pipeline.core.plugins import ROOT
from pipeline.stages import build, ingest, train, tune
from pipeline.training.callbacks import COLUMNS, KeepBest
from pipeline.training.distributed.strategy import Devices
from pipeline.training.divergence import BEFORE
from pipeline.tuning.chance import Chance
from pipeline.tuning.objective import Material
from pipeline.workflow.stage import StageContext

STILL = tuple(
    f"augmentation.{name}=0"
    for name in ("rotation_degrees", "shift_fraction", "zoom_fraction", "shear_fraction")
)
SMALL = (
    *STILL,
    "data.train_limit=120",
    "data.test_limit=20",
    "model={preset: tiny_cnn, filters: [4]}",
    "train.epochs=2",
    "train.batch_size=40",
    "train.jit_compile=false",
    "train.precision=float32",
    "tune.max_trials=2",
    "tune.data_fraction=0.5",
    "tune.space={train.learning_rate: {log: [1e-3, 1e-2]}, "
    "model.batch_norm: {choice: [true, false]}}",
)


class SilentProgress:
    def __init__(self):
        self.lines, self.total, self.advanced = [], 0, 0

    @contextmanager
    def task(self, description, total):
        self.total += total
        yield self

    def advance(self, steps=1, note=""):
        self.advanced += steps

    def line(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def run_stage(tmp_path_factory):
    """Runs a stage on the artifacts of those that ran before it."""
    root = tmp_path_factory.mktemp("artifacts")
    made = {}

    def run(stage, *overrides, progress=None, scratch=None):
        name = stage.__name__.rpartition(".")[2]
        output = root / f"{name}-{len(list(root.iterdir()))}"
        output.mkdir()
        scratch = scratch or root / "scratch" / output.name
        scratch.mkdir(parents=True, exist_ok=True)
        context = StageContext(
            config=load_config(ROOT / "configs" / "mnist.yaml", [*SMALL, *overrides]),
            inputs=dict(made),
            output=output,
            scratch=scratch,
            progress=progress or SilentProgress(),
            identity="made from these",
        )
        result = stage.run(context)
        made[name] = output
        return output, result

    run(ingest)
    run(build)
    return run


def check_published(folder, result, progress, precision):
    model = keras.saving.load_model(folder / "model.keras", compile=False)
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert result.metrics["precision"] == precision
    assert result.metrics["device"].endswith(": as configured")
    assert progress.lines[0].startswith(f"{precision} on ")
    assert progress.lines[1].endswith(" MiB of images, held in memory")
    assert progress.advanced == progress.total == 2 * 3
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert result.metrics["best_epoch"] == int(best["epoch"])
    assert f", lowest val_loss in epoch {best['epoch']} of " in result.summary
    assert result.metrics["val_accuracy"] == pytest.approx(float(best["val_accuracy"]), abs=1e-5)
    assert len(list((folder / "tensorboard").rglob("events.out.tfevents.*"))) == 2
    assert json.loads((folder / "classes.json").read_text()) == list("0123456789")


def test_train_publishes_a_float32_model_though_it_trained_in_half_precision(run_stage):
    progress = SilentProgress()
    published = run_stage(train, "train.precision=mixed_float16", progress=progress)
    check_published(*published, progress, "mixed_float16")


class KilledError(BaseException):
    pass


class KillingProgress(SilentProgress):
    """Ends the stage as a kill does, in the step after so many."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def advance(self, steps=1, note=""):
        super().advance(steps, note)
        if self.advanced > self.steps:
            raise KilledError


def test_a_killed_train_goes_on_and_publishes_all_with_logs_from_the_first_epoch_on(
    run_stage, tmp_path
):
    with pytest.raises(KilledError):
        run_stage(train, progress=KillingProgress(3), scratch=tmp_path)
    (saved,) = tmp_path.iterdir()
    moment = datetime.fromtimestamp(saved.stat().st_mtime)
    progress = SilentProgress()
    folder, result = run_stage(train, progress=progress, scratch=tmp_path)
    check_published(folder, result, progress, "float32")
    said = progress.lines[-1]
    assert said.startswith("goes on from epoch 2 (checkpoint of ")
    assert f"{moment:%H:%M}" in said
    assert said.endswith("; not bit for bit: train.deterministic is false")
    with (folder / "history.csv").open() as file:
        rows = {row["epoch"]: float(row["val_loss"]) for row in csv.DictReader(file)}
    (logs,) = (folder / "tensorboard" / "validation").iterdir()
    found = EventFileLoader(str(logs)).Load()
    shown = {
        str(event.step + 1): tf.make_ndarray(value.tensor).item()
        for event in found
        for value in event.summary.value
        if value.tag == "epoch_loss"
    }
    assert list(rows) == ["1", "2"]
    assert shown == pytest.approx(rows, rel=1e-5)


def take_no_step(model, training, callbacks, resume):
    """In place of `fit`: keeps the weights to start from."""
    best = next(callback for callback in callbacks if isinstance(callback, KeepBest))
    best.weights, best.epoch = model.get_weights(), 0
    best.logs = {"val_accuracy": 0.5, "val_loss": 1.0}


def test_train_starts_from_the_weights_that_build_made(run_stage, monkeypatch):
    monkeypatch.setattr(train, "fit", take_no_step)
    built, _ = run_stage(build, "seed=3")
    start = keras.saving.load_model(built / "model.keras", compile=False).get_weights()
    folder, _ = run_stage(train, "train.calibrate=false")
    after = keras.saving.load_model(folder / "model.keras", compile=False).get_weights()
    for old, new in zip(start, after, strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_head_of_class_means_is_published_without_a_training(run_stage):
    old = run_stage(build, "seed=1")[0] / "model.keras"
    before = keras.saving.load_model(old, compile=False)
    run_stage(build, "seed=0")
    progress, begun = SilentProgress(), f"train.initial_weights={old}"
    means = "train.fine_tuning.head=nearest_mean"
    automatic = ("train.precision=auto", "train.jit_compile=auto")
    folder, result = run_stage(
        train, "tune.enabled=false", begun, means, *automatic, progress=progress
    )
    assert progress.lines[0].startswith("float32 on ")
    assert progress.lines[0].endswith(": nothing is trained")
    model = keras.saving.load_model(folder / "model.keras", compile=False)
    *kept, head = [layer.name for layer in model.layers if layer.get_weights()]
    for name in kept:
        pairs = zip(model.get_layer(name).weights, before.get_layer(name).weights, strict=True)
        assert all((a.numpy() == b.numpy()).all() for a, b in pairs)
    assert (model.get_layer(head).kernel.numpy() != before.get_layer(head).kernel.numpy()).any()
    assert all(layer.trainable for layer in model.layers)
    assert result.metrics["begun_from"] == "model.keras"
    assert len(result.metrics["begun_from_sha256"]) == 64
    assert result.summary.endswith("by the nearest of 10 means of features; nothing was trained")
    assert progress.lines[-1].startswith("begins from model.keras; the head ")
    assert (folder / "history.csv").read_text() == ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize("index", [0, 1])
def test_of_a_job_that_diverges_the_first_worker_alone_keeps_weights(
    run_stage, tmp_path, monkeypatch, index
):
    def diverge(model, run, best):
        best.weights, best.epoch, best.logs = model.get_weights(), 0, {"val_accuracy": 0.9}
        raise DivergedError("train: went wrong")

    devices = Devices(job=Cluster(("127.0.0.1:1", "127.0.0.1:2"), index))
    monkeypatch.setattr(train, "_fit", diverge)
    monkeypatch.setattr(train, "choose_devices", lambda section: devices)
    with pytest.raises(DivergedError) as caught:
        run_stage(train, scratch=tmp_path)
    kept = tmp_path / BEFORE
    if index == 0:
        assert str(caught.value).endswith(f"(validation accuracy 90.00%) are kept in {kept}")
        assert caught.value.kept == kept
        assert kept.exists()
    else:
        said = "train: went wrong; the first worker says what is kept"
        assert (str(caught.value), caught.value.kept) == (said, None)
        assert not list(tmp_path.iterdir())


def test_tune_publishes_what_the_config_can_take_up(run_stage, tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "chance", lambda *a: Chance(0.0, 0.0, is_accuracy=True))
    progress = SilentProgress()
    options = {"progress": progress, "scratch": tmp_path}
    folder, result = run_stage(tune, "train.deterministic=true", **options)
    best = parse_yaml((folder / "best.yaml").read_text(), "best.yaml")
    with (folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == ["1", "2"]
    assert list(rows[0]) == [
        "trial",
        "val_accuracy",
        "epochs",
        "train.learning_rate",
        "model.batch_norm",
    ]
    winner = max(rows, key=lambda row: float(row["val_accuracy"]))
    assert float(winner["train.learning_rate"]) == best["train.learning_rate"]
    assert type(best["model.batch_norm"]) is bool
    config = with_values(load_config(ROOT / "configs" / "mnist.yaml", SMALL), best)
    assert config.train.learning_rate == best["train.learning_rate"]
    assert result.metrics["val_accuracy"] == pytest.approx(float(winner["val_accuracy"]), abs=1e-5)
    assert result.summary.startswith("2 trials; best: train.learning_rate ")
    assert progress.advanced == progress.total == 2
    assert progress.lines[0].endswith(" MiB of images, held in memory")
    assert [line[:8] for line in progress.lines[1:]] == ["trial 1:", "trial 2:"]
    assert (folder / "trials.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "keras_tuner" / "oracle.json").read_text())["seed"] == 1

    killed_in_its_second_trial(tmp_path)
    again, _ = run_stage(tune, "train.deterministic=true", scratch=tmp_path)
    for name in ("trials.csv", "best.yaml"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


WHY = "the loss became nan at step 1"
SCORES = {
    "none is better": ([0.1, 0.2], ", none better than chance: at best validation accuracy 20.00%"),
    "one is better": ([0.1, 1.0], "; best: train.learning_rate "),
    "all diverged": ([None, None], ", all failed (the last: the loss became nan at step 1); the"),
    "one diverged, none is better": ([None, 0.2], ", none better than chance: at best validation "),
}


@pytest.mark.parametrize("what", SCORES)
def test_a_search_changes_the_config_only_where_a_trial_is_better_than_chance(
    run_stage, monkeypatch, what
):
    scores, said = SCORES[what]
    turns = iter(scores)

    def score(material, values, epochs, execution):
        if (found := next(turns)) is None:
            raise StageError("train: the loss became nan at step 1; lower it")
        return found

    monkeypatch.setattr(Material, "score", score)
    monkeypatch.setattr(train, "fit", take_no_step)
    progress = SilentProgress()
    folder, result = run_stage(tune, progress=progress)
    is_better = what == "one is better"
    assert result.summary.startswith(f"2 trials{said}")
    assert ("the config keeps its own values" in result.summary) == (not is_better)
    assert result.metrics["beats_chance"] == is_better
    assert result.metrics.get("val_accuracy") == max(filter(None, scores), default=None)
    text = (folder / "best.yaml").read_text()
    assert (parse_yaml(text, "best.yaml") is None) == (not is_better)
    with (folder / "trials.csv").open() as file:
        rows = [row["val_accuracy"] for row in csv.DictReader(file)]
    assert rows == ["" if each is None else f"{each:.6g}" for each in scores]
    assert (folder / "trials.png").read_bytes().startswith(b"\x89PNG")
    shown = [line.partition(" with ")[0] for line in progress.lines[1:]]
    assert shown == [
        f"trial {number}: " + (f"validation accuracy {each:.2%}" if each else f"failed ({WHY})")
        for number, each in enumerate(scores, 1)
    ]
    if None not in scores:  # best.yaml is the same after a trial that diverged
        _, trained = run_stage(train)
        assert ("search" in trained.metrics) == (not is_better)


def killed_in_its_second_trial(scratch):
    """Leaves the first of two finished trials."""
    (finished,) = scratch.rglob("finished.jsonl")
    _, first, _ = finished.read_text().split("\n")
    finished.write_text(f"\n{first}")
