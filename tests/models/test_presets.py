import keras
import numpy as np
import pytest

from pipeline.core import plugins
from pipeline.core.errors import ConfigError
from pipeline.models._network import Convolution, Network

PRESETS = plugins.names(plugins.MODELS)
MNIST = (28, 28, 1)
every_preset = pytest.mark.parametrize("preset", PRESETS)


def build(preset, shape=MNIST, num_classes=10, seed=0, **options):
    module = plugins.load(plugins.MODELS, preset)
    keras.utils.set_random_seed(seed)
    return module.build(module.Options(preset=preset, **options), shape, num_classes)


def pixels(count=4, shape=MNIST):
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype("float32")


def answers(model, images):
    """What the layers give one after another: nothing is compiled for a single batch."""
    return np.asarray(model(images, training=False))


@pytest.fixture
def restore_policy():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


def test_there_are_presets_to_test():
    assert {"compact_cnn", "lenet5", "wide_dense", "three_conv", "two_conv"} <= set(PRESETS)


@every_preset
def test_a_preset_maps_the_image_to_probabilities(preset):
    model = build(preset, shape=(40, 32, 3), num_classes=7)
    assert isinstance(model, keras.Sequential)
    assert [tensor.name for tensor in model.inputs] == ["image"]
    assert model.layers[-1].name == "probabilities"
    assert model.layers[-2].name == "logits"
    probabilities = answers(model, pixels(shape=(40, 32, 3)))
    assert probabilities.shape == (4, 7)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@every_preset
def test_mixed_precision_still_gives_float32_probabilities(preset, restore_policy):
    plain = answers(build(preset), pixels())
    keras.config.set_dtype_policy("mixed_float16")
    model = build(preset)
    probabilities = answers(model, pixels())
    assert model.get_layer("logits").compute_dtype == "float16"
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, plain, atol=0.01)


@every_preset
def test_the_seed_alone_decides_the_weights(preset):
    first, again, other = build(preset, seed=1), build(preset, seed=1), build(preset, seed=2)
    for one, two in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, two)
    kernel = first.get_layer("logits").kernel
    assert not np.array_equal(kernel, other.get_layer("logits").kernel)


@every_preset
def test_a_preset_survives_saving_and_safe_loading(preset, tmp_path):
    model = build(preset, l2=1e-4, batch_norm=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.to_json() == model.to_json()
    assert [tensor.name for tensor in loaded.inputs] == ["image"]
    np.testing.assert_array_equal(answers(loaded, pixels()), answers(model, pixels()))


@every_preset
def test_every_layer_is_a_stock_keras_layer_with_a_plain_name(preset):
    for layer in build(preset, batch_norm=True, dropout=0.5).layers:
        assert getattr(keras.layers, type(layer).__name__, None) is type(layer)
        assert not isinstance(layer, keras.layers.Lambda)
        assert layer.name.isidentifier()


@every_preset
def test_pixels_are_normalised_inside_the_model(preset):
    model = build(preset, mean=0.1307, deviation=0.3081)
    first = model.layers[0]
    black, white = first(np.zeros((1, *MNIST))), first(np.full((1, *MNIST), 255.0))
    assert np.unique(black) == pytest.approx((0 - 0.1307) / 0.3081)
    assert np.unique(white) == pytest.approx((1 - 0.1307) / 0.3081, rel=1e-5)


@every_preset
def test_pixels_are_scaled_to_one_unless_told_otherwise(preset):
    scaled = build(preset).layers[0](np.array([0.0, 51.0, 255.0]).reshape(1, 3, 1, 1))
    np.testing.assert_allclose(np.ravel(scaled), [0, 0.2, 1], rtol=1e-6)


@every_preset
def test_l1_and_l2_weigh_every_kernel(preset):
    model = build(preset, l1=0.01, l2=0.1)
    kernels = [np.asarray(w) for w in model.trainable_weights if w.ndim > 1]
    expected = sum(0.01 * np.abs(k).sum() + 0.1 * np.square(k).sum() for k in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)


@every_preset
def test_batch_norm_takes_the_place_of_biases(preset):
    for layer in build(preset, batch_norm=True).layers:
        if hasattr(layer, "use_bias"):
            assert layer.use_bias == (layer.name == "logits")
    kinds = [type(layer).__name__ for layer in build(preset, batch_norm=False).layers]
    assert "BatchNormalization" not in kinds


@every_preset
def test_a_global_average_keeps_the_size_from_the_image(preset):
    small = build(preset, shape=MNIST, head="global_average")
    large = build(preset, shape=(64, 64, 1), head="global_average")
    assert small.count_params() == large.count_params()


@every_preset
def test_an_image_too_small_for_a_preset_is_refused(preset):
    with pytest.raises(ConfigError, match=rf"{preset} takes images of .* are 28×1; use larger"):
        build(preset, shape=(28, 1, 1))


@every_preset
def test_with_padding_a_preset_takes_meter_digits_of_20_by_32(preset):
    model = build(preset, shape=(20, 32, 3), padding="same")
    convolutions = [layer for layer in model.layers if layer.name.startswith("conv")]
    assert {layer.padding for layer in convolutions} == {"same"}
    for layer in convolutions:
        assert layer.output.shape[1:3] == layer.input.shape[1:3]


@every_preset
def test_padding_is_valid_unless_said_but_for_wide_dense(preset):
    padding = "same" if preset == "wide_dense" else "valid"
    assert build(preset).get_layer("conv1").padding == padding


@pytest.mark.parametrize(
    ("preset", "shape", "said"),
    [
        # By hand: lenet5 and two_conv reach their last layer from 10 pixels on, three_conv from
        # 18, wide_dense from 4; compact_cnn with padding from 4, tiny_cnn from 2.
        (
            "compact_cnn", (20, 32, 3),
            "set model.padding=same or model.preset=lenet5|three_conv|two_conv|wide_dense",
        ),
        (
            "tiny_cnn", (20, 20, 1),
            "20×20; set model.padding=same or model.preset=lenet5|three_conv|two_conv|wide_dense",
        ),
        (
            "three_conv", (17, 40, 1),
            "set model.padding=same or model.preset=lenet5|two_conv|wide_dense",
        ),
        ("tiny_cnn", (3, 9, 1), "are 3×9; set model.padding=same"),
        ("wide_dense", (3, 9, 1), "are 3×9; use larger images"),
    ],
)  # fmt: skip
def test_what_takes_images_of_that_size_is_named(preset, shape, said):
    with pytest.raises(ConfigError) as caught:
        build(preset, shape=shape)
    assert str(caught.value).endswith(said)


def test_the_least_image_of_compact_cnn_is_24_pixels_wide():
    # (24 - 4) / 2 = 10, 10 - 2 - 2 = 6, 6 / 2 = 3, 3 - 2 = 1; from 23, the last gets 0.
    assert build("compact_cnn", shape=(24, 24, 1)).get_layer("flatten").output.shape == (None, 96)
    with pytest.raises(ConfigError, match="24×24 pixels or more, but those of `data` are 23×23"):
        build("compact_cnn", shape=(23, 23, 1))


def test_the_least_side_counts_padding_and_pools():
    assert Network((Convolution(1),)).least_side("same") == 1
    assert Network((Convolution(1, pool=True),)).least_side("same") == 2
    assert (
        Network((Convolution(1, kernel_size=5), Convolution(1, pool=True))).least_side("valid") == 8
    )


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        # Kernels and biases: 3·3·1·6+6, 3·3·6·16+16, 5·5·16·120+120, 120·84+84, 84·10+10.
        ("lenet5", 60 + 880 + 48_120 + 10_164 + 850),
        # 3·3·1·32+32, 3·3·32·64+64, 7·7·64·1024+1024, 1024·10+10.
        ("wide_dense", 320 + 18_496 + 3_212_288 + 10_250),
        # 3·3·1·32+32, 3·3·32·64+64, 3·3·64·64+64, 3·3·64·64+64, 64·10+10.
        ("three_conv", 320 + 18_496 + 36_928 + 36_928 + 650),
        # 3·3·1·32+32, 3·3·32·64+64, 5·5·64·10+10.
        ("two_conv", 320 + 18_496 + 16_010),
        # 5·5·1·24, 3·3·24·48, 3·3·48·48, 3·3·48·96, four numbers a channel, 2·2·96·10+10.
        ("compact_cnn", 600 + 10_368 + 20_736 + 41_472 + 4 * 216 + 3_850),
        # 5·5·1·8, 3·3·8·12, three of 3·3·12·12, four numbers a channel, 12·10+10.
        ("tiny_cnn", 200 + 864 + 3 * 1_296 + 4 * 56 + 130),
    ],
)
def test_parameters_are_as_many_as_by_hand(preset, parameters):
    assert build(preset).count_params() == parameters


def test_filters_sets_every_width_of_compact_cnn():
    model = build("compact_cnn", filters=8)
    assert [model.get_layer(f"conv{i}").filters for i in (1, 2, 3, 4)] == [8, 16, 16, 32]


def test_tiny_cnn_has_the_widths_and_pools_that_are_asked_for():
    model = build("tiny_cnn", filters=(3, 4, 5), pooled=(1, 2))
    layers = [layer.name for layer in model.layers if layer.name.startswith(("conv", "pool"))]
    assert layers == ["conv1", "pool1", "conv2", "pool2", "conv3"]
    assert [model.get_layer(f"conv{i}").filters for i in (1, 2, 3)] == [3, 4, 5]
    assert [model.get_layer(f"conv{i}").kernel_size for i in (1, 2, 3)] == [(5, 5), (3, 3), (3, 3)]


def test_a_pool_behind_no_convolution_of_tiny_cnn_is_refused():
    with pytest.raises(ValueError, match="pooled names convolution 4, but filters makes 3; name 1"):
        build("tiny_cnn", filters=(3, 4, 5), pooled=(1, 4))


def test_pooling_before_relu_gives_what_the_textbook_order_gives():
    model = build("two_conv", num_classes=3)
    textbook = keras.Sequential(
        [
            keras.Input(MNIST),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    textbook.set_weights([np.asarray(weight) for weight in model.weights])
    np.testing.assert_allclose(answers(model, pixels()), answers(textbook, pixels()), rtol=1e-4)
