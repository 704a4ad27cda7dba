"""NETWORKS: what people bring, a name each; it gives a Keras model of `IMAGE` or `COLOUR` pictures.

Each takes pixels 0..255. All but those of `keras.applications` are small: one thing of Keras that
changes what a converter meets, between a convolution and a classifier.
"""

from collections.abc import Callable, Mapping

import keras
from keras import layers as L  # noqa: N812

from pipeline.core import plugins

IMAGE, COLOUR, CLASSES = (28, 28, 1), (32, 32, 3), 4
NETWORKS: dict[str, Callable[[], keras.Model]] = {}

ACTIVATIONS = (
    "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6",
    "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus",
    "sparse_sigmoid", "sparsemax", "squareplus", "tanh", "tanh_shrink",
)  # fmt: skip
BETWEEN_MAPS = {
    "BatchNormalization": L.BatchNormalization,
    "GroupNormalization": lambda: L.GroupNormalization(4),
    "LayerNormalization": L.LayerNormalization,
    "RMSNormalization": L.RMSNormalization,
    "UnitNormalization": L.UnitNormalization,
    "PReLU": lambda: L.PReLU(shared_axes=[1, 2]),
    "LeakyReLU": L.LeakyReLU,
    "ReLU(max_value=6)": lambda: L.ReLU(6.0),
    "Softmax": L.Softmax,
    "ActivityRegularization": lambda: L.ActivityRegularization(l2=1e-4),
    "GaussianNoise": lambda: L.GaussianNoise(0.1),
    "SpatialDropout2D": lambda: L.SpatialDropout2D(0.1),
    "Dropout": lambda: L.Dropout(0.1),
    "AveragePooling2D": lambda: L.AveragePooling2D(2),
    "AveragePooling2D(same)": lambda: L.AveragePooling2D(3, 2, padding="same"),
    "MaxPooling2D": L.MaxPooling2D,
    "MaxPooling2D(same)": lambda: L.MaxPooling2D(3, 2, padding="same"),
    "AdaptiveAveragePooling2D": lambda: L.AdaptiveAveragePooling2D(4),
    "AdaptiveMaxPooling2D": lambda: L.AdaptiveMaxPooling2D(4),
    "UpSampling2D(nearest)": L.UpSampling2D,
    "UpSampling2D(bilinear)": lambda: L.UpSampling2D(interpolation="bilinear"),
    "ZeroPadding2D": L.ZeroPadding2D,
    "Cropping2D": lambda: L.Cropping2D(2),
    "Permute": lambda: L.Permute((2, 1, 3)),
    "Conv2D(dilated)": lambda: L.Conv2D(8, 3, dilation_rate=2, padding="same"),
    "Conv2D(groups=4)": lambda: L.Conv2D(8, 3, groups=4),
    "Conv2DTranspose": lambda: L.Conv2DTranspose(8, 3, strides=2),
    "Conv2DTranspose(same)": lambda: L.Conv2DTranspose(8, 3, strides=2, padding="same"),
    "DepthwiseConv2D": lambda: L.DepthwiseConv2D(3),
    "DepthwiseConv2D(multiplier=2)": lambda: L.DepthwiseConv2D(3, depth_multiplier=2),
    "SeparableConv2D": lambda: L.SeparableConv2D(8, 3),
    "SpectralNormalization": lambda: L.SpectralNormalization(L.Conv2D(8, 3)),
    "EinsumDense": lambda: L.EinsumDense("abcd,de->abce", output_shape=(13, 13, 8)),
    "glu": lambda: keras.activations.glu,
    "Dense(on maps)": lambda: L.Dense(8),
}
ON_PICTURES = {
    "Normalization": lambda: L.Normalization(mean=[30.0], variance=[900.0]),
    "CenterCrop": lambda: L.CenterCrop(20, 20),
    "RandomFlip, RandomRotation": lambda: keras.Sequential([L.RandomFlip(), L.RandomRotation(0.1)]),
    "RandomContrast, RandomZoom": lambda: keras.Sequential(
        [L.RandomContrast(0.1, value_range=(0, 255)), L.RandomZoom(0.1)]
    ),
    "Resizing(bilinear)": lambda: L.Resizing(20, 20),
    "Resizing(nearest)": lambda: L.Resizing(20, 20, interpolation="nearest"),
    "Resizing(bicubic)": lambda: L.Resizing(20, 20, interpolation="bicubic"),
    "Resizing(lanczos3)": lambda: L.Resizing(20, 20, interpolation="lanczos3"),
    "Resizing(area)": lambda: L.Resizing(20, 20, interpolation="area"),
    "Resizing(antialias)": lambda: L.Resizing(20, 20, antialias=True),
    "Resizing(crop)": lambda: L.Resizing(20, 16, crop_to_aspect_ratio=True),
    "Resizing(pad)": lambda: L.Resizing(20, 16, pad_to_aspect_ratio=True),
}
ON_ROWS = {
    "LSTM": lambda: L.LSTM(8),
    "LSTM(unrolled)": lambda: L.LSTM(8, unroll=True),
    "GRU": lambda: L.GRU(8),
    "SimpleRNN": lambda: L.SimpleRNN(8),
    "Bidirectional(LSTM)": lambda: L.Bidirectional(L.LSTM(4)),
    "Conv1D": lambda: keras.Sequential([L.Conv1D(8, 3), L.GlobalMaxPooling1D()]),
    "SeparableConv1D": lambda: keras.Sequential([L.SeparableConv1D(8, 3), L.Flatten()]),
    "AveragePooling1D": lambda: keras.Sequential([L.AveragePooling1D(2), L.Flatten()]),
    "TimeDistributed(Dense)": lambda: keras.Sequential(
        [L.TimeDistributed(L.Dense(4)), L.GlobalAveragePooling1D()]
    ),
}
MERGES = {
    "Add": lambda a, b: L.Add()([a, b]),
    "Subtract": lambda a, b: L.Subtract()([a, b]),
    "Multiply": lambda a, b: L.Multiply()([a, b]),
    "Average": lambda a, b: L.Average()([a, b]),
    "Maximum": lambda a, b: L.Maximum()([a, b]),
    "Minimum": lambda a, b: L.Minimum()([a, b]),
    "Concatenate": lambda a, b: L.Concatenate()([a, b]),
}


def network(build: Callable[[], keras.Model], name: str) -> None:
    assert name not in NETWORKS, name
    NETWORKS[name] = build


def _classified(image: keras.KerasTensor, features: keras.KerasTensor) -> keras.Model:
    return keras.Model(image, L.Dense(CLASSES, activation="softmax")(features))


def _scaled(shape: tuple[int, int, int] = IMAGE) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    image = keras.Input(shape)
    return image, L.Rescaling(1 / 255)(image)


def _activation(name: str) -> keras.Model:
    image, x = _scaled()
    return _classified(image, L.Flatten()(L.Conv2D(8, 3, strides=3, activation=name)(x)))


def _between_maps(layer: Callable[[], keras.Layer]) -> keras.Model:
    image, x = _scaled()
    x = L.Conv2D(8, 3, strides=2, activation="relu")(x)
    return _classified(image, L.Flatten()(layer()(x)))


def _global(layer: Callable[[], keras.Layer]) -> keras.Model:
    image, x = _scaled()
    return _classified(image, layer()(L.Conv2D(8, 3, strides=2, activation="relu")(x)))


def _on_picture(layer: Callable[[], keras.Layer]) -> keras.Model:
    image = keras.Input(IMAGE)
    x = L.Rescaling(1 / 255)(layer()(image))
    return _classified(image, L.Flatten()(L.Conv2D(8, 3, strides=2, activation="relu")(x)))


def _on_rows(layer: Callable[[], keras.Layer]) -> keras.Model:
    image, x = _scaled()
    return _classified(image, layer()(L.Reshape(IMAGE[:2])(x)))


def _merged(merge: Callable[..., keras.KerasTensor]) -> keras.Model:
    image, x = _scaled()
    branches = [L.Conv2D(4, 3, strides=2, activation="relu")(x) for _ in range(2)]
    return _classified(image, L.Flatten()(merge(*branches)))


def _squeeze_and_excite() -> keras.Model:
    image, x = _scaled(COLOUR)
    x = L.Conv2D(8, 3, strides=2, activation="relu")(x)
    weights = L.GlobalAveragePooling2D(keepdims=True)(x)
    weights = L.Conv2D(8, 1, activation="sigmoid")(L.Conv2D(2, 1, activation="relu")(weights))
    return _classified(image, L.GlobalAveragePooling2D()(L.Multiply()([x, weights])))


def _residual() -> keras.Model:
    image, x = _scaled(COLOUR)
    x = L.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    y = L.BatchNormalization()(L.Conv2D(8, 3, padding="same", use_bias=False)(x))
    x = L.ReLU()(L.Add()([x, y]))
    return _classified(image, L.GlobalAveragePooling2D()(x))


def _small_vit() -> keras.Model:
    image, x = _scaled(COLOUR)
    x = L.Reshape((16, 16))(L.Conv2D(16, 8, strides=8)(x))
    for _ in range(2):
        y = L.LayerNormalization()(x)
        x = L.Add()([x, L.MultiHeadAttention(2, 8)(y, y)])
        y = L.Dense(32, activation="gelu")(L.LayerNormalization()(x))
        x = L.Add()([x, L.Dense(16)(y)])
    return _classified(image, L.GlobalAveragePooling1D()(L.LayerNormalization()(x)))


def _one_sigmoid() -> keras.Model:
    image, x = _scaled()
    x = L.Flatten()(L.Conv2D(8, 3, strides=3, activation="relu")(x))
    return keras.Model(image, L.Dense(1, activation="sigmoid")(x))


def _in_a_dictionary() -> keras.Model:
    image, x = _scaled()
    given = L.Dense(CLASSES, activation="softmax")(L.Flatten()(x))
    return keras.Model(image, {"scores": given})


def _nested() -> keras.Model:
    image = keras.Input(IMAGE)
    inner = keras.Sequential([keras.Input(IMAGE), L.Rescaling(1 / 255), L.Conv2D(8, 3, strides=3)])
    return _classified(image, L.Flatten()(inner(image)))


def _wide_dense(units: int) -> keras.Model:
    image, x = _scaled()
    return _classified(image, L.Dense(units, activation="relu")(L.Flatten()(x)))


# What each takes for pixels, from 0..255, where it does not scale them itself.
APPLICATIONS = {
    "MobileNetV2": (1 / 127.5, -1), "MobileNetV3Small": None, "MobileNetV3Large": None,
    "EfficientNetB0": None, "EfficientNetV2B0": None, "ResNet50V2": (1 / 127.5, -1),
    "DenseNet121": (1 / 255, 0), "NASNetMobile": (1 / 127.5, -1), "ConvNeXtTiny": None,
    "Xception": (1 / 127.5, -1),
}  # fmt: skip


def _application(name: str) -> keras.Model:
    """Of 96 pixels a side: Xception wants 71 at least, and of fewer the last maps are one pixel."""
    image = keras.Input(COLOUR)
    x = L.UpSampling2D(3)(image)
    if scaling := APPLICATIONS[name]:
        x = L.Rescaling(*scaling)(x)
    make = getattr(keras.applications, name)
    body = make(weights=None, include_top=False, pooling="avg", input_shape=(*x.shape[1:],))
    return _classified(image, body(x))


for _name in ACTIVATIONS:
    network(lambda name=_name: _activation(name), f"activation {_name}")
for _name, _layer in BETWEEN_MAPS.items():
    network(lambda layer=_layer: _between_maps(layer), _name)
for _name in ("GlobalAveragePooling2D", "GlobalMaxPooling2D"):
    network(lambda name=_name: _global(getattr(L, name)), _name)
for _name, _layer in ON_PICTURES.items():
    network(lambda layer=_layer: _on_picture(layer), _name)
for _name, _layer in ON_ROWS.items():
    network(lambda layer=_layer: _on_rows(layer), _name)
for _name, _merge in MERGES.items():
    network(lambda merge=_merge: _merged(merge), _name)
network(_squeeze_and_excite, "SE block")
network(_residual, "residual block")
network(_small_vit, "small ViT")
network(_one_sigmoid, "one sigmoid")
network(_in_a_dictionary, "one output in a dict")
network(_nested, "model in a model")
network(lambda: _wide_dense(400), "Dense(400)")
network(lambda: _wide_dense(1600), "Dense(1600)")
for _name in APPLICATIONS:
    network(lambda name=_name: _application(name), _name)

# Each option of a preset that changes its layers, one at a time.
LAYER_OPTIONS = (
    *({"activation": name} for name in ("relu6", "leaky_relu", "elu", "silu", "tanh")),
    {"batch_norm": True},
    {"batch_norm": False},
    {"head": "flatten"},
    {"head": "global_average"},
    {"padding": "same"},
    {"padding": "valid"},
    {"dropout": 0.3},
    {"mean": 0.13, "deviation": 0.31},
)
OWN_OPTIONS = {
    "compact_cnn": ({"filters": 3}, {"filters": 48}),
    "tiny_cnn": ({"filters": (8, 16, 24)}, {"pooled": (1, 3), "padding": "same"}, {"pooled": ()}),
}


def presets() -> dict[str, tuple[str, dict[str, object]]]:
    """Name and options of a preset, by the row's name, without what is the default already."""
    rows = {}
    for preset in plugins.names(plugins.MODELS):
        options = plugins.load(plugins.MODELS, preset).Options
        rows[preset] = (preset, {})
        for chosen in (*LAYER_OPTIONS, *OWN_OPTIONS.get(preset, ())):
            if any(options.model_fields[key].default != value for key, value in chosen.items()):
                said = ", ".join(f"{key} {_said(value)}" for key, value in chosen.items())
                rows[f"{preset}: {said}"] = (preset, chosen)
    return rows


def _said(value: object) -> str:
    return " ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def preset(name: str, options: Mapping[str, object]) -> keras.Model:
    module = plugins.load(plugins.MODELS, name)
    return module.build(module.Options(preset=name, **options), IMAGE, CLASSES)


# The shipped configs, with the size and classes of the images that each is for.
CONFIGS = {
    "mnist": (IMAGE, 10),
    "handwriting": (IMAGE, 10),
    "tiny": (IMAGE, 10),
    "smoke": (IMAGE, 10),
    "classic/lenet_sgd": (IMAGE, 10),
    "classic/three_conv_augmented": (IMAGE, 10),
    "classic/two_conv": (IMAGE, 10),
    "classic/wide_dense_adam": (IMAGE, 10),
    "fashion_mnist": (IMAGE, 10),
    "kmnist": (IMAGE, 10),
    "emnist_letters": (IMAGE, 26),
    "cifar10": (COLOUR, 10),
    "photos": ((64, 64, 3), 4),
}
