"""Sharpness-aware minimisation: a step worked out by hand, and all that must not move twice."""

import keras
import numpy as np
import pytest

from pipeline.config.loading import load_config
from pipeline.config.schema import TrainSection
from pipeline.core.plugins import ROOT
from pipeline.training.techniques import chain_of
from tests.training import resumed_training as training
from tests.training.test_resume import Kill, KilledError

IMAGES, TARGETS = np.eye(2, dtype="float32"), np.zeros((2, 1), "float32")


def half_square(targets, answers):
    return keras.ops.sum(answers**2, axis=-1) / 2


def step_by_uphill_gradient(model, rho):
    section = TrainSection(sharpness_aware={"rho": rho})
    chain_of(section, None, None, None).compiled(model, steps_per_epoch=1)


def one_step(optimizer, rho, **options):
    """Weights after a step from (3, 4), where the loss is |w|² / 4, and the loss that is told."""
    layer = keras.layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((2,)), layer])
    layer.kernel.assign([[3.0], [4.0]])
    model.compile(optimizer, half_square, **options)
    step_by_uphill_gradient(model, rho)
    told = model.fit(IMAGES, TARGETS, batch_size=2, verbose=0).history["loss"][0]
    return layer.kernel.numpy().ravel(), told


# The gradient at w is w / 2 = (1.5, 2), of length 2.5; a move of 0.5 along it leads to
# (3.3, 4.4), where the gradient is (1.65, 2.2).
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_step_goes_from_w_by_the_gradient_uphill(jit_compile):
    found, told = one_step(keras.optimizers.SGD(0.1), 0.5, jit_compile=jit_compile)
    assert found == pytest.approx([3 - 0.165, 4 - 0.22], abs=1e-6)
    assert told == pytest.approx(25 / 4)


def test_decay_and_average_are_of_the_weights_that_it_steps_from():
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.5, use_ema=True, ema_momentum=0.9)
    found, _ = one_step(optimizer, 0.5)
    # Decay comes first and takes a twentieth of w, 0.15 and 0.2.
    assert found == pytest.approx([3 - 0.15 - 0.165, 4 - 0.2 - 0.22], abs=1e-6)
    (average,) = optimizer._model_variables_moving_average
    assert average.numpy().ravel() == pytest.approx(found)


def test_a_clipped_gradient_is_that_uphill():
    found, _ = one_step(keras.optimizers.SGD(0.1, global_clipnorm=1.0), 0.5)
    assert found == pytest.approx([3 - 0.06, 4 - 0.08], abs=1e-6)


def test_a_scaled_loss_takes_the_same_step_and_none_where_it_overflows():
    def scaled(scale):
        inner = keras.optimizers.SGD(0.1)
        return keras.optimizers.LossScaleOptimizer(inner, initial_scale=scale)

    assert one_step(scaled(1024.0), 0.5)[0] == pytest.approx([3 - 0.165, 4 - 0.22], abs=1e-5)
    assert one_step(scaled(3e38), 0.5)[0].tolist() == [3, 4]


def test_statistics_and_seeds_move_once_as_in_a_plain_step():
    ends = []
    for is_uphill in (False, True):
        model = training.make_model()
        model.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy")
        if is_uphill:
            step_by_uphill_gradient(model, 0.5)
        data = training.images(10, seed=1)
        model.train_on_batch(data.images.astype("float32"), np.eye(3)[data.labels])
        ends.append([(v.path, v.numpy()) for v in model.variables])
    moved = [
        (path.rpartition("/")[2], (one == other).all())
        for (path, one), (_, other) in zip(*ends, strict=True)
    ]
    once = [is_same for name, is_same in moved if "moving" in name or "seed" in name]
    assert once == [True, True, True]
    assert [is_same for name, is_same in moved if name == "kernel"] == [False, False]


def test_both_passes_drop_the_same_units():
    moved = []
    for rho in (None, 0.5):
        layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
        model = keras.Sequential([keras.Input((40,)), keras.layers.Dropout(0.5, seed=1), layer])
        model.compile(keras.optimizers.SGD(0.1), half_square)
        if rho:
            step_by_uphill_gradient(model, rho)
        model.train_on_batch(np.eye(40, dtype="float32"), np.zeros((40, 1), "float32"))
        moved.append((layer.kernel.numpy().ravel() != 1).tolist())
    assert moved[0] == moved[1]
    assert 5 < sum(moved[0]) < 35


@pytest.mark.long
def test_killed_and_gone_on_it_ends_the_same_and_not_as_without(tmp_path):
    training.write_images(tmp_path)
    splits = training.open_images(tmp_path, "memory")
    options = {"epochs": 1, "early_stopping_patience": None}
    config = training.make_config(training.AS_THEY_ARE, sharpness_aware={"rho": 0.5}, **options)
    unbroken = training.train(config, splits, tmp_path / "unbroken")
    with pytest.raises(KilledError):
        training.train(config, splits, tmp_path / "killed", Kill("step", 0, 4))
    training.assert_same(training.train(config, splits, tmp_path / "killed"), unbroken)
    config = training.make_config(training.AS_THEY_ARE, **options)
    plain = training.train(config, splits, tmp_path / "plain")
    assert plain.logs["val_loss"] != unbroken.logs["val_loss"]


def test_a_search_may_try_how_far_uphill():
    space = "tune={enabled: true, space: {train.sharpness_aware.rho: {log: [0.01, 0.5]}}}"
    config = load_config(ROOT / "configs" / "mnist.yaml", [space])
    assert "train.sharpness_aware.rho" in config.tune.space
