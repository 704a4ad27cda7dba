import keras
import pytest
from keras import layers

from pipeline.training.complexity import measure


def measured(*stack, shape=(8, 8, 3)):
    return measure(keras.Sequential([keras.Input(shape), *stack]))


@pytest.mark.parametrize(
    ("layer", "by_hand"),
    [
        # 6·6 positions of 5 filters of 3·3·3 weights.
        (layers.Conv2D(5, 3), 6 * 6 * 5 * 27),
        # Strides of 2 with `same` padding leave 4·4 positions.
        (layers.Conv2D(5, 3, strides=2, padding="same"), 4 * 4 * 5 * 27),
        # Each of 3 groups sees 1 of 3 channels.
        (layers.Conv2D(6, 3, groups=3), 6 * 6 * 6 * 9),
        # 6·6 positions of 3 channels · 2 kernels each of 3·3.
        (layers.DepthwiseConv2D(3, depth_multiplier=2), 6 * 6 * 3 * 2 * 9),
        # 6·6 positions of 3·2 kernels of 3·3, then 6 channels to 5.
        (layers.SeparableConv2D(5, 3, depth_multiplier=2), 6 * 6 * (6 * 9 + 6 * 5)),
        # Dense acts on the last axis: 8·8 positions of 3 in, 5 out.
        (layers.Dense(5), 8 * 8 * 3 * 5),
        (layers.MaxPooling2D(), 0),
        (layers.BatchNormalization(), 0),
    ],
)
def test_multiply_accumulates_are_as_many_as_by_hand(layer, by_hand):
    complexity = measured(layer)
    assert complexity.multiply_accumulates == by_hand
    assert complexity.uncounted == ()


def test_a_layer_without_a_rule_is_named():
    assert measured(layers.Conv2DTranspose(5, 3, name="up")).uncounted == ("up",)


def test_flash_counts_kernels_biases_and_batch_norms_by_number_type():
    complexity = measured(
        layers.Conv2D(5, 3, use_bias=False), layers.BatchNormalization(), layers.Flatten(),
        layers.Dense(2),
    )  # fmt: skip
    kernels, others = 3 * 3 * 3 * 5 + 180 * 2, 2 * 5 + 2
    assert complexity.flash_bytes == {
        "float32": 4 * (kernels + others),
        "int8": kernels + 4 * others,
    }
    assert complexity.parameters == kernels + 4 * 5 + 2
    assert complexity.trainable_parameters == kernels + 2 * 5 + 2


def test_ram_is_the_largest_input_and_output_together():
    complexity = measured(layers.Conv2D(5, 3), layers.MaxPooling2D(), layers.Flatten())
    # 8·8·3 + 6·6·5 = 372 beats 6·6·5 + 3·3·5 = 225.
    assert complexity.ram_bytes == {"float32": 4 * 372, "int8": 372}


def test_the_table_has_a_row_for_each_layer():
    complexity = measured(layers.Conv2D(5, 3, name="conv"), layers.Flatten(name="flatten"))
    rows = [(row.name, row.kind, row.output_shape, row.parameters) for row in complexity.layers]
    assert rows == [("conv", "Conv2D", (6, 6, 5), 140), ("flatten", "Flatten", (180,), 0)]
