"""Small networks of one layer, activation or block each, for the exporters to write."""

# ruff: noqa: PLW0108 -- each network gets layers of its own, when it is built

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from export.formats import contract
from export.formats.format import ExportRequest, Materials, answers, exporter, formats
from export.verification import audit

SHAPE, LABELS = (8, 8, 3), ("ein", "zwei", "drei", "vier")
CLASSES = len(LABELS)

Block = Callable[[keras.KerasTensor], keras.KerasTensor]


def network(block: Block) -> keras.Model:
    """A classifier of 8 x 8 pixels in colour around a block, with random weights."""
    keras.utils.set_random_seed(3)
    image = keras.Input(SHAPE, name="image")
    inside = layers.Conv2D(8, 3, name="first")(layers.Rescaling(1 / 64, -2)(image))
    features = block(inside)
    if len(features.shape) > 2:
        features = layers.Flatten()(features)
    spread = keras.initializers.VarianceScaling(4)
    logits = layers.Dense(CLASSES, name="logits", kernel_initializer=spread)(features)
    return keras.Model(image, layers.Softmax(name="probabilities")(logits))


@dataclass(frozen=True)
class Network:
    """A network, and where its files go; `options` are those of formats, by name."""

    model: keras.Model
    folder: Path
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def images(self):
        return np.random.default_rng(0).integers(0, 256, (40, *SHAPE)).astype(np.uint8)

    @cached_property
    def keras_answers(self):
        return self.model.predict(self.images.astype(np.float32), verbose=0)

    def chosen(self, name):
        return formats()[name].options(**self.options.get(name, {}))

    def interface(self, name):
        return formats()[name].interface(SHAPE, CLASSES, self.chosen(name))

    @cached_property
    def contract(self):
        return contract.Contract(
            contract.image_input(SHAPE, "mixed"),
            contract.output(LABELS),
            {n: contract.of_format(n, self.interface(n)) for n in formats()},
            model_key="0" * 16,
            data_key="1" * 16,
            versions={},
        )

    def write(self, name):
        """Writes a format; gives what its audit finds wrong."""
        self.model.save(self.folder / "model.keras")
        np.save(self.folder / "calibration.npy", self.images)
        contract.write(self.contract, self.folder)
        request = ExportRequest(
            format_name=name,
            materials=Materials(
                self.folder / "model.keras",
                self.folder / "calibration.npy",
                contract.to_json(self.contract),
                self.folder,
            ),
            folder=self.folder,
            promised=self.interface(name),
            options=self.chosen(name).model_dump(),
            needs={need: self.path(need) for need in formats()[name].needs},
        )
        exporter(name).write(request)
        checks = audit.audit_file(name, request.path, self.contract, self.chosen(name)).checks
        return {check.name: check.reason for check in checks if not check.passed}

    def path(self, name):
        return self.folder / formats()[name].path

    def answers(self, name):
        return answers(name, self.path(name), self.images)


def chained(*chain: keras.layers.Layer) -> Block:
    def block(inside: keras.KerasTensor) -> keras.KerasTensor:
        for layer in chain:
            inside = layer(inside)
        return inside

    return block


def sequence(inside):
    """All pixels in a row."""
    return layers.Reshape((36, 8))(inside)


def volume(inside):
    return layers.Reshape((6, 6, 4, 2))(inside)


def activation(name: str) -> Block:
    return lambda inside: layers.Activation(name)(layers.BatchNormalization()(inside))


ACTIVATIONS: Mapping[str, Block] = {
    name: activation(name)
    for name in (
        "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu",
        "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6",
        "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus",
        "sparse_sigmoid", "sparsemax", "squareplus", "tanh", "tanh_shrink",
    )
}  # fmt: skip


def with_gelu_tanh(inside):
    return keras.activations.gelu(inside, approximate=True)


ACTIVATION_LAYERS: Mapping[str, Block] = {
    "glu": keras.activations.glu,
    "threshold": lambda x: keras.activations.threshold(x, 0.1, -1.0),
    "gelu_approximate": with_gelu_tanh,
    "ELU": lambda x: layers.ELU(0.3)(x),
    "LeakyReLU": lambda x: layers.LeakyReLU(0.1)(x),
    "PReLU": lambda x: layers.PReLU(alpha_initializer="glorot_uniform")(x),
    "PReLU_shared": lambda x: layers.PReLU("glorot_uniform", shared_axes=[1, 2])(x),
    "ReLU": lambda x: layers.ReLU(3.0, negative_slope=0.1, threshold=0.2)(x),
    "Softmax": lambda x: layers.Softmax(axis=1)(x),
}


def normalization(inside):
    layer = layers.Normalization(mean=[0.5] * 8, variance=[2.0] * 8)
    return layer(inside)


def adapted_normalization(inside):
    layer = layers.Normalization(axis=-1)
    layer.adapt(np.random.default_rng(0).normal(1, 2, (10, 6, 6, 8)).astype(np.float32))
    return layer(inside)


NORMALISATIONS: Mapping[str, Block] = {
    "Normalization": normalization,
    "Normalization_adapted": adapted_normalization,
    "Normalization_scalar": lambda x: layers.Normalization(None, mean=1.0, variance=3.0)(x),
    "Normalization_invert": lambda x: layers.Normalization(None, 1.0, 3.0, invert=True)(x),
    "BatchNormalization": lambda x: layers.BatchNormalization()(x),
    "BatchNormalization_first_axis": lambda x: layers.BatchNormalization(axis=1)(x),
    "LayerNormalization": lambda x: layers.LayerNormalization()(x),
    "LayerNormalization_axes": lambda x: layers.LayerNormalization(axis=[1, 2, 3])(x),
    "GroupNormalization": lambda x: layers.GroupNormalization(2)(x),
    "GroupNormalization_instance": lambda x: layers.GroupNormalization(-1)(x),
    "RMSNormalization": lambda x: layers.RMSNormalization()(x),
    "UnitNormalization": lambda x: layers.UnitNormalization()(x),
    "SpectralNormalization": lambda x: layers.SpectralNormalization(layers.Conv2D(6, 3))(x),
}

CONVOLUTIONS: Mapping[str, Block] = {
    "Conv2D_same": lambda x: layers.Conv2D(6, 3, padding="same")(x),
    "Conv2D_strided": lambda x: layers.Conv2D(6, 3, strides=2, padding="same")(x),
    "Conv2D_dilated": lambda x: layers.Conv2D(6, 3, dilation_rate=2, padding="same")(x),
    "Conv2D_grouped": lambda x: layers.Conv2D(8, 3, groups=4)(x),
    "Conv2D_grouped_strided": lambda x: layers.Conv2D(8, 3, 2, "same", groups=2)(x),
    "DepthwiseConv2D": lambda x: layers.DepthwiseConv2D(3)(x),
    "DepthwiseConv2D_strided": lambda x: layers.DepthwiseConv2D(3, 2, "same")(x),
    "DepthwiseConv2D_multiplied": lambda x: layers.DepthwiseConv2D(3, depth_multiplier=2)(x),
    "DepthwiseConv2D_dilated": lambda x: layers.DepthwiseConv2D(2, dilation_rate=2)(x),
    "SeparableConv2D": lambda x: layers.SeparableConv2D(6, 3)(x),
    "Conv2DTranspose": lambda x: layers.Conv2DTranspose(6, 3)(x),
    "Conv2DTranspose_strided": lambda x: layers.Conv2DTranspose(6, 3, 2, "same")(x),
    "Conv2DTranspose_no_bias": lambda x: layers.Conv2DTranspose(5, 2, 2, use_bias=False)(x),
    "Conv1D": lambda x: layers.Conv1D(6, 3)(sequence(x)),
    "Conv1D_causal": lambda x: layers.Conv1D(6, 3, padding="causal")(sequence(x)),
    "Conv1D_grouped": lambda x: layers.Conv1D(8, 3, groups=2)(sequence(x)),
    "Conv1DTranspose": lambda x: layers.Conv1DTranspose(6, 3)(sequence(x)),
    "DepthwiseConv1D": lambda x: layers.DepthwiseConv1D(3)(sequence(x)),
    "SeparableConv1D": lambda x: layers.SeparableConv1D(6, 3)(sequence(x)),
    "Conv3D": lambda x: layers.Conv3D(4, 2)(volume(x)),
    "Conv3DTranspose": lambda x: layers.Conv3DTranspose(4, 2)(volume(x)),
    "EinsumDense": lambda x: layers.EinsumDense("abcd,de->abce", (6, 6, 5), bias_axes="e")(x),
    "EinsumDense_axes": lambda x: layers.EinsumDense("abcd,bde->ace", (6, 5))(x),
    "Dense_on_maps": lambda x: layers.Dense(5)(x),
}


def made(name, *arguments, **keywords):
    return lambda x: getattr(layers, name)(*arguments, **keywords)(x)


POOLINGS: Mapping[str, Block] = {
    "MaxPooling2D": made("MaxPooling2D"),
    "MaxPooling2D_same": made("MaxPooling2D", 3, 2, "same"),
    "AveragePooling2D": made("AveragePooling2D", 2),
    "AveragePooling2D_same": made("AveragePooling2D", 3, 2, "same"),
    "GlobalAveragePooling2D": made("GlobalAveragePooling2D"),
    "GlobalAveragePooling2D_keepdims": made("GlobalAveragePooling2D", keepdims=True),
    "GlobalMaxPooling2D": made("GlobalMaxPooling2D"),
    "AdaptiveAveragePooling2D": made("AdaptiveAveragePooling2D", 3),
    "AdaptiveAveragePooling2D_uneven": made("AdaptiveAveragePooling2D", 4),
    "AdaptiveMaxPooling2D": made("AdaptiveMaxPooling2D", 3),
    "AdaptiveMaxPooling2D_uneven": made("AdaptiveMaxPooling2D", 4),
    "MaxPooling1D": lambda x: layers.MaxPooling1D(2)(sequence(x)),
    "AveragePooling1D": lambda x: layers.AveragePooling1D(2)(sequence(x)),
    "GlobalMaxPooling1D": lambda x: layers.GlobalMaxPooling1D()(sequence(x)),
    "GlobalAveragePooling1D": lambda x: layers.GlobalAveragePooling1D()(sequence(x)),
    "AdaptiveAveragePooling1D": lambda x: layers.AdaptiveAveragePooling1D(5)(sequence(x)),
    "MaxPooling3D": lambda x: layers.MaxPooling3D()(volume(x)),
    "AveragePooling3D": lambda x: layers.AveragePooling3D(2)(volume(x)),
    "GlobalMaxPooling3D": lambda x: layers.GlobalMaxPooling3D()(volume(x)),
    "GlobalAveragePooling3D": lambda x: layers.GlobalAveragePooling3D()(volume(x)),
}

RESIZINGS: Mapping[str, Block] = {
    **{
        f"Resizing_{mode}": made("Resizing", 10, 9, mode)
        for mode in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
    },
    "Resizing_3_to_5": lambda x: layers.LayerNormalization()(
        layers.Resizing(5, 5)(layers.MaxPooling2D()(x))
    ),
    "Resizing_3_to_5_nearest": lambda x: layers.Resizing(5, 5, "nearest")(layers.MaxPooling2D()(x)),
    "Resizing_smaller": lambda x: layers.Resizing(4, 3)(x),
    "Resizing_antialias": lambda x: layers.Resizing(4, 3, antialias=True)(x),
    "Resizing_crop": lambda x: layers.Resizing(4, 3, crop_to_aspect_ratio=True)(x),
    "Resizing_pad": lambda x: layers.Resizing(12, 7, pad_to_aspect_ratio=True)(x),
    "UpSampling2D": lambda x: layers.UpSampling2D()(x),
    "UpSampling2D_bilinear": lambda x: layers.UpSampling2D(interpolation="bilinear")(x),
    "UpSampling2D_bicubic": lambda x: layers.UpSampling2D(interpolation="bicubic")(x),
    "UpSampling1D": lambda x: layers.UpSampling1D(3)(sequence(x)),
    "UpSampling3D": lambda x: layers.UpSampling3D(2)(volume(x)),
    "CenterCrop": lambda x: layers.CenterCrop(4, 3)(x),
    "Cropping2D": lambda x: layers.Cropping2D(1)(x),
    "ZeroPadding2D": lambda x: layers.Conv2D(4, 3, 2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(x)),
    "Permute": lambda x: layers.Permute((3, 1, 2))(x),
    "RepeatVector": lambda x: layers.RepeatVector(3)(layers.Flatten()(x)),
}


def rows(inside):
    """As a sequence of the rows of an image."""
    _, height, width, channels = inside.shape
    return layers.Reshape((height, width * channels))(inside)


def attention(inside):
    tokens = sequence(inside)
    return layers.MultiHeadAttention(2, 4)(tokens, tokens)


def vision_transformer(inside):
    patches = layers.Reshape((9, 16))(layers.Conv2D(16, 2, 2)(inside))
    places = layers.Embedding(9, 16)(keras.ops.arange(9))
    tokens = patches + places
    for _ in range(2):
        seen = layers.LayerNormalization()(tokens)
        tokens = tokens + layers.MultiHeadAttention(2, 8)(seen, seen)
        deep = layers.Dense(24, activation="gelu")(layers.LayerNormalization()(tokens))
        tokens = tokens + layers.Dense(16)(deep)
    return layers.GlobalAveragePooling1D()(layers.LayerNormalization()(tokens))


def squeeze_and_excite(inside):
    share = layers.GlobalAveragePooling2D(keepdims=True)(inside)
    share = layers.Conv2D(8, 1, activation="sigmoid")(layers.Conv2D(2, 1, activation="silu")(share))
    return layers.Multiply()([inside, share])


def merged(kind):
    return lambda x: kind()([layers.Conv2D(8, 1)(x), x])


RECURRENT: Mapping[str, Block] = {
    "LSTM": lambda x: layers.LSTM(6)(rows(x)),
    "LSTM_sequences": lambda x: layers.LSTM(6, return_sequences=True)(rows(x)),
    "LSTM_unrolled": lambda x: layers.LSTM(6, unroll=True)(rows(x)),
    "LSTM_backwards": lambda x: layers.LSTM(6, go_backwards=True)(rows(x)),
    "GRU": lambda x: layers.GRU(6)(rows(x)),
    "GRU_reset_before": lambda x: layers.GRU(6, reset_after=False)(rows(x)),
    "SimpleRNN": lambda x: layers.SimpleRNN(6)(rows(x)),
    "Bidirectional_LSTM": lambda x: layers.Bidirectional(layers.LSTM(6))(rows(x)),
    "Bidirectional_GRU": lambda x: layers.Bidirectional(layers.GRU(6, return_sequences=True))(
        rows(x)
    ),
    "ConvLSTM2D": lambda x: layers.ConvLSTM2D(4, 2)(volume(x)),
    "ConvLSTM1D": lambda x: layers.ConvLSTM1D(4, 2)(x),
    "TimeDistributed": lambda x: layers.TimeDistributed(layers.Conv1D(4, 3))(x),
    "RNN_stacked": lambda x: layers.RNN([layers.LSTMCell(4), layers.GRUCell(5)])(rows(x)),
}

BLOCKS: Mapping[str, Block] = {
    "MultiHeadAttention": attention,
    "GroupQueryAttention": lambda x: layers.GroupQueryAttention(4, 4, 2)(rows(x), rows(x)),
    "Attention": lambda x: layers.Attention()([rows(x), rows(x)]),
    "AdditiveAttention": lambda x: layers.AdditiveAttention()([rows(x), rows(x)]),
    "vision_transformer": vision_transformer,
    "squeeze_and_excite": squeeze_and_excite,
    "Dropouts": chained(
        layers.Dropout(0.3), layers.SpatialDropout2D(0.2), layers.GaussianNoise(1.0),
        layers.GaussianDropout(0.2), layers.AlphaDropout(0.2), layers.ActivityRegularization(0.1),
    ),
    "Augmentation": chained(
        layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomZoom(0.1),
        layers.RandomTranslation(0.1, 0.1), layers.RandomContrast(0.1),
    ),
    "Masking": lambda x: layers.LSTM(5)(layers.Masking()(rows(layers.ReLU()(x)))),
    "Dot": lambda x: layers.Dot((2, 2))([rows(x), rows(layers.Conv2D(8, 1)(x))]),
    **{
        kind.__name__: merged(kind)
        for kind in (
            layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum,
            layers.Minimum, layers.Concatenate,
        )
    },
}  # fmt: skip

NETWORKS: Mapping[str, Block] = {
    **ACTIVATIONS,
    **ACTIVATION_LAYERS,
    **NORMALISATIONS,
    **CONVOLUTIONS,
    **POOLINGS,
    **RESIZINGS,
    **RECURRENT,
    **BLOCKS,
}
