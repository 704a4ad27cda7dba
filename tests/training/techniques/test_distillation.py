"""Learning from a teacher: the loss, which teachers are refused, and that a kill costs nothing."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config.loading import load_config
from pipeline.config.train.distillation import Distillation
from pipeline.core.errors import ConfigError, DamagedArtifactError
from pipeline.core.plugins import ROOT
from pipeline.data.dataset_json import Description
from pipeline.data.images.types import LabelledImages
from pipeline.training.techniques.distillation import learn_from, read_teacher, softened
from pipeline.workflow.graph import STAGES as ALL_STAGES
from pipeline.workflow.keys import ingredients
from tests.training import resumed_training as training
from tests.training.begun_models import publish
from tests.training.conftest import CLASSES, labelled
from tests.training.test_resume import Kill, KilledError

DATA = Description((6, 6, 1), tuple("abc"), {}, (), (), "made", {}, {})
STAGES = {stage.name: stage for stage in ALL_STAGES}
VALIDATION = labelled(30, seed=2)


def lesson(teacher=Path("teacher.keras"), **options):
    return Distillation(teacher=teacher, **options)


def classifier(shape=(6, 6, 1), classes=CLASSES, activation="softmax"):
    layers = [keras.layers.Flatten(), keras.layers.Dense(classes, activation=activation)]
    return keras.Sequential([keras.Input(shape), keras.layers.Rescaling(1 / 255), *layers])


def logits(count, seed):
    return np.random.default_rng(seed).normal(0, 3, (count, CLASSES)).astype("float32")


def test_softened_probabilities_are_those_of_the_logits_at_that_temperature():
    found = softened(tf.nn.softmax([[6.0, 2.0, -200.0]]), 2.0)
    # e³, e¹ and e^(-100) / 2, over their sum
    assert found.numpy() == pytest.approx(np.array([[0.880797, 0.119203, 0.0]]), abs=1e-6)


def test_the_gradient_is_a_number_where_a_probability_is_zero():
    with tf.GradientTape() as tape:
        raw = tf.constant([[0.0, 300.0, -300.0]])
        tape.watch(raw)
        loss = tf.reduce_sum(softened(tf.nn.softmax(raw), 4.0)[:, 0])
    assert np.isfinite(tape.gradient(loss, raw)).all()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_that_of_keras_distillation_mixed_with_that_of_the_labels(
    temperature, tiny_model
):
    student, taught = logits(8, seed=0), logits(8, seed=1)
    targets = np.eye(CLASSES, dtype="float32")[np.arange(8) % CLASSES]
    hard = keras.losses.CategoricalCrossentropy()
    # By default, it puts the raw logits where kl_divergence takes probabilities (Keras 3.15).
    soft = keras.distillation.LogitsDistillation(temperature, keras.losses.KLDivergence())
    tiny_model.compile("sgd", hard)
    answers = tf.nn.softmax(student)
    learn_from(
        lambda images, training: tf.nn.softmax(taught),
        tiny_model,
        lesson(temperature=temperature, teacher_share=0.75),
    )
    found = tiny_model.compute_loss(np.zeros((8, 6, 6, 1)), targets, answers)
    expected = 0.25 * hard(targets, answers) + 0.75 * soft.compute_loss(taught, student)
    assert float(found) == pytest.approx(float(expected), rel=1e-4)
    validation = tiny_model.compute_loss(None, targets, answers, training=False)
    assert float(validation) == pytest.approx(float(hard(targets, answers)))


def test_sample_weights_count_for_the_teacher_too(tiny_model):
    answers, taught = (tf.nn.softmax(logits(2, seed)) for seed in (0, 1))
    targets = np.eye(CLASSES, dtype="float32")[:2]
    tiny_model.compile("sgd", keras.losses.CategoricalCrossentropy())
    learn_from(lambda images, training: taught, tiny_model, lesson(teacher_share=1.0))
    weighted = tiny_model.compute_loss(None, targets, answers, np.array([2.0, 0.0]))
    first = tiny_model.compute_loss(None, targets, answers, np.array([1.0, 0.0]))
    assert float(weighted) == pytest.approx(2 * float(first), rel=1e-5)


def test_penalties_on_weights_count_in_full(tiny_model):
    targets = np.eye(CLASSES, dtype="float32")
    student = keras.Sequential(
        [
            keras.Input((CLASSES,)),
            keras.layers.Dense(CLASSES, "softmax", kernel_regularizer=keras.regularizers.L2(0.5)),
        ]
    )
    student.compile("sgd", keras.losses.CategoricalCrossentropy())
    learn_from(lambda images, training: student(images), student, lesson(teacher_share=1.0))
    penalty = 0.5 * float((student.layers[0].kernel.numpy() ** 2).sum())
    found = student.compute_loss(targets, targets, student(targets))
    assert float(found) == pytest.approx(penalty, rel=1e-4)  # it agrees with its teacher


def test_the_teacher_is_neither_trained_nor_part_of_the_student(tiny_model):
    teacher = classifier()
    before = [weight.copy() for weight in teacher.get_weights()]
    own = len(tiny_model.variables)
    teacher.trainable = False
    tiny_model.compile("sgd", keras.losses.CategoricalCrossentropy(), steps_per_execution=2)
    learn_from(teacher, tiny_model, lesson())
    data = tf.data.Dataset.from_tensor_slices(
        (VALIDATION.images.astype("float32"), np.eye(CLASSES)[VALIDATION.labels])
    )
    tiny_model.fit(data.batch(5), verbose=0, shuffle=False)
    assert all((a == b).all() for a, b in zip(before, teacher.get_weights(), strict=True))
    assert len(tiny_model.variables) == own


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"shape": (8, 8, 1)}, r"takes images of shape \(8, 8, 1\)"),
        ({"classes": 4}, r"gives \(4,\) for each"),
        ({"activation": "relu"}, "expected probabilities"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused_in_a_line(options, reason, tmp_path):
    path = tmp_path / "teacher.keras"
    classifier(**options).save(path)
    with pytest.raises(ConfigError, match=reason) as refused:
        read_teacher(lesson(path), DATA, VALIDATION)
    assert str(refused.value).startswith("train.distillation.teacher: ")
    assert "\n" not in str(refused.value)


def test_a_teacher_is_told_of_with_what_it_is_worth(tmp_path):
    path = tmp_path / "teacher.keras"
    classifier().save(path)
    teacher = read_teacher(lesson(path), DATA, VALIDATION)
    assert teacher.name.startswith("teacher.keras (SHA-256 ")
    assert 0 <= teacher.accuracy <= 1
    assert "70% of the loss from teacher.keras" in teacher.describe(lesson(path))


def test_a_teacher_that_guesses_is_doubted(tmp_path):
    model = classifier()
    model.layers[-1].set_weights([np.zeros((36, 3)), np.array([0.0, 0.0, 9.0])])
    model.save(tmp_path / "teacher.keras")
    lessons = lesson(tmp_path / "teacher.keras")
    labels = np.arange(30) % CLASSES
    teacher = read_teacher(lessons, DATA, LabelledImages(VALIDATION.images, labels))
    assert "answers 33.33% of 30 validation images rightly, which is" in teacher.describe(lessons)
    always = LabelledImages(VALIDATION.images, np.full(30, 2))
    assert read_teacher(lessons, DATA, always).describe(lessons).endswith(" images rightly")


def test_a_teacher_of_the_classes_in_another_order_is_refused(tmp_path):
    folder = publish(tmp_path, classifier(), classes=("c", "b", "a"))
    with pytest.raises(ConfigError, match="tells apart c, b, a, and the data has a, b, c; name a"):
        read_teacher(lesson(folder), DATA, VALIDATION)


def test_a_folder_that_is_no_artifact_is_no_teacher(tmp_path):
    classifier().save(tmp_path / "model.keras")
    with pytest.raises(DamagedArtifactError):
        read_teacher(lesson(tmp_path), DATA, VALIDATION)


@pytest.mark.long
def test_killed_and_gone_on_a_student_ends_the_same(tmp_path, monkeypatch):
    training.write_images(tmp_path)
    splits = training.open_images(tmp_path, "memory")
    options = {"optimizer": "adam", "ema_momentum": None, "class_weights": "none"}
    taught = lesson(tmp_path / "teacher.keras")
    options |= {"distillation": taught, "epochs": 1}
    config = training.make_config(training.AS_THEY_ARE, **options)
    shape = (training.SIDE, training.SIDE, 1)
    keras.utils.set_random_seed(5)
    classifier(shape).save(tmp_path / "teacher.keras")

    def make_student():
        keras.utils.set_random_seed(0)
        return classifier(shape)

    monkeypatch.setattr(training, "make_model", make_student)
    unbroken = training.train(config, splits, tmp_path / "unbroken")
    with pytest.raises(KilledError):
        training.train(config, splits, tmp_path / "killed", Kill("step", 0, 4))
    began = []
    resumed = training.train(config, splits, tmp_path / "killed", began=began)
    training.assert_same(resumed, unbroken)
    assert began == [(0, 2)]


def keys(*overrides):
    config = load_config(ROOT / "configs" / "mnist.yaml", ["tune.enabled=false", *overrides])
    values = ingredients(config, STAGES["train"], {})
    return values["config"]["train"]["distillation"], values["outside"]


def test_the_bytes_of_a_teacher_decide_the_key_and_its_place_does_not(tmp_path):
    for name, content in {"one": b"1", "same": b"1", "other": b"2"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").write_bytes(content)
    one, same, other = (
        keys(f"train.distillation.teacher={tmp_path / name}") for name in ("one", "same", "other")
    )
    assert one == same
    assert one[0] == {"temperature": 4.0, "teacher_share": 0.7}
    assert one[1] != other[1]


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        (
            "tune={enabled: true, space: {train.learning_rate: {log: [1e-3, 1e-2]}}}",
            "tune.enabled and train.distillation exclude each other",
        ),
        ("train.distillation.teacher_share=0", "greater than 0"),
    ],
)
def test_what_does_not_go_with_a_teacher_is_refused_when_the_config_is_read(override, reason):
    with pytest.raises(ConfigError, match=reason) as refused:
        load_config(ROOT / "configs" / "mnist.yaml", ["train.distillation.teacher=t", override])
    assert "\n" not in str(refused.value)
