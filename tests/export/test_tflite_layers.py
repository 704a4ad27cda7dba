"""TFLite files of networks with loops, indices and odd shapes: right, so the audit passes them."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from export.formats import contract, quantization_json
from export.formats.format import answers, exporter, formats
from export.tflite.flatbuffer import parse
from export.verification import audit
from pipeline.core.errors import ExportError
from tests.export import float_models

L = keras.layers
SIDE, CHANNELS = float_models.SHAPE[0], float_models.SHAPE[2]
FORMATS = ("tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8", "tflite_int4")


def rows(layer):
    """Reads an image row by row."""
    return lambda x: layer(L.Reshape((SIDE, SIDE * CHANNELS))(x))


def indexed(x):
    """Looks each pixel up in a table."""
    table = L.Embedding(256, 3)(keras.ops.cast(255 * L.Flatten()(x), "int32"))
    return L.Concatenate()([L.Flatten()(L.Conv2D(4, 3)(x)), L.Flatten()(table)])


def boxed(x):
    x = L.Resizing(6, 5, interpolation="nearest")(L.Conv2D(2, 3)(x))
    x = L.Resizing(9, 9, crop_to_aspect_ratio=True)(L.Conv2DTranspose(2, 2, strides=2)(x))
    return L.Flatten()(L.CenterCrop(4, 3)(x))


LOOPS = {
    "LSTM": rows(L.LSTM(40)),
    "GRU": rows(L.GRU(40)),
    "SimpleRNN, all steps": lambda x: L.Flatten()(rows(L.SimpleRNN(40, return_sequences=True))(x)),
    "both ways": rows(L.Bidirectional(L.LSTM(8))),
    "ConvLSTM": lambda x: L.Flatten()(L.ConvLSTM1D(3, 3)(L.Reshape((SIDE, SIDE, 1))(x))),
}
STEPS = {
    "LSTM, unrolled": rows(L.LSTM(40, unroll=True)),
    "GRU, unrolled": rows(L.GRU(40, unroll=True)),
    "indices": indexed,
    "boxes": boxed,
}


def written(exported, features, folder, name):
    """A format of a network with these features between its pixels and its classes."""
    keras.utils.set_random_seed(2)
    image = keras.Input(float_models.SHAPE, name="image")
    features = features(L.Rescaling(1 / 255)(image))
    model = keras.Model(image, L.Dense(4, activation="softmax")(features))
    model.save(folder / "model.keras")
    images = float_models.images(20)
    labels = model.predict(images.astype(np.float32), verbose=0).argmax(axis=1)
    np.save(folder / "calibration.npy", images)
    np.savez(folder / "validation.npz", images=images, labels=labels)
    promised = replace(
        exported.contract,
        input=contract.image_input(float_models.SHAPE, "mixed"),
        formats={
            n: contract.of_format(n, f.interface(float_models.SHAPE, 4))
            for n, f in formats().items()
        },
    )
    contract.write(promised, folder)
    materials = replace(
        exported.materials,
        model=folder / "model.keras",
        calibration=folder / "calibration.npy",
        contract=contract.to_json(promised),
        workspace=folder,
        validation=folder / "validation.npz",
    )
    for wanted in dict.fromkeys(("tflite_float32", name)):
        request = replace(
            exported.request(wanted, folder),
            materials=materials,
            needs={"tflite_float32": folder / "tflite_float32.tflite"},
            max_accuracy_drop_points=100.0,
        )
        exporter(wanted).write(request)
    quantization_json.gather(folder, [name], folder)
    return model, request.path


def hold(exported, features, folder, name):
    model, path = written(exported, features, folder, name)
    promised, images = contract.read(folder), float_models.images(20)
    found = audit.audit_file(name, path, promised, formats()[name].options())
    assert [check.reason for check in found.checks if not check.passed] == []
    exact = model.predict(images.astype(np.float32), verbose=0)
    bound = 1e-5 if name == "tflite_float32" else 0.2 if name == "tflite_int4" else 0.05
    assert np.abs(answers(name, path, images) - exact).max() < bound
    return path


def test_a_loop_is_no_shape_that_is_computed(exported, tmp_path):
    path = hold(exported, LOOPS["LSTM"], tmp_path, "tflite_dynamic")
    assert len(parse(path.read_bytes()).subgraphs) == 3


def test_8_bits_of_a_loop_are_refused_with_the_way_that_works(exported, tmp_path):
    with pytest.raises(ExportError, match=r"has a loop.* give these layers unroll=True"):
        written(exported, LOOPS["GRU"], tmp_path, "tflite_int8")


@pytest.mark.long
@pytest.mark.parametrize("name", FORMATS[:3])
@pytest.mark.parametrize("features", LOOPS.values(), ids=LOOPS)
def test_each_kind_of_loop_passes(exported, tmp_path, features, name):
    hold(exported, features, tmp_path, name)


@pytest.mark.long
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("features", STEPS.values(), ids=STEPS)
def test_each_kind_of_steps_passes(exported, tmp_path, features, name):
    hold(exported, features, tmp_path, name)


def test_an_operator_that_tflite_has_not_is_named_with_its_layer(exported, tmp_path):
    resizing = L.Resizing(5, 5, interpolation="bicubic", name="to_five")
    told = (
        r"^TFLite has no operator for ResizeBicubic \(functional\w*/to_five\w*/resize/.*; replace "
    )
    with pytest.raises(ExportError, match=told):
        written(exported, lambda x: L.Flatten()(resizing(x)), tmp_path, "tflite_float32")
