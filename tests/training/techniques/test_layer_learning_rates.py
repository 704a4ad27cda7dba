"""Learning rates of layers, by hand-worked steps."""

import keras
import numpy as np
import pytest

from pipeline.training.techniques.layer_learning_rates import Rate, give

RATE, DECAY = 0.5, 0.25


def stepped(kind, rates, steps=1, **options):
    """Two variables of 1 after steps along gradients of 1."""
    variables = [keras.Variable(1.0), keras.Variable(1.0)]
    optimizer = kind(RATE, **options)
    if rates:
        give(optimizer, rates)
    for _ in range(steps):
        optimizer.apply([np.float32(1), np.float32(1)], variables)
    return [float(variable) for variable in variables], optimizer


def test_each_variable_moves_at_its_own_rate():
    assert stepped(keras.optimizers.SGD, [Rate(0.1), Rate(2.0)])[0] == pytest.approx([0.95, 0.0])


@pytest.mark.parametrize("kind", [keras.optimizers.SGD, keras.optimizers.AdamW])
def test_weight_decay_goes_by_the_rate_of_the_variable(kind):
    """The first step of AdamW is as long as the rate, whatever the gradient."""
    found, optimizer = stepped(kind, [Rate(0.1), Rate()], weight_decay=DECAY)
    decayed = [1 - 0.05 * DECAY, 1 - RATE * DECAY]
    assert found == pytest.approx([decayed[0] - 0.05, decayed[1] - RATE], abs=1e-5)
    assert float(optimizer.learning_rate) == RATE


@pytest.mark.parametrize(
    "kind",
    [
        keras.optimizers.SGD,
        keras.optimizers.Adam,
        keras.optimizers.AdamW,
        keras.optimizers.RMSprop,
    ],
)
def test_before_its_step_a_variable_does_not_move_at_all(kind):
    rates = [Rate(1.0, first_step=2), Rate()]
    for steps in (1, 2, 3):
        (late, early), _ = stepped(kind, rates, steps, weight_decay=DECAY)
        assert (late == 1.0) == (steps <= 2)
        assert early < 1.0


@pytest.mark.parametrize("kind", [keras.optimizers.Adam, keras.optimizers.SGD])
def test_equal_rates_are_those_of_keras_own_optimizer(kind):
    plain, _ = stepped(kind, None, 3, weight_decay=DECAY, use_ema=True)
    same, optimizer = stepped(kind, [Rate(), Rate()], 3, weight_decay=DECAY, use_ema=True)
    assert same == plain
    assert isinstance(optimizer, kind)
