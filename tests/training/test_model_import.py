"""A model from a file in place of training: taken as it is, made to fit, or refused with reason."""

import json
from contextlib import contextmanager

import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import TypeAdapter

from export import contract
from export.conversion import write_formats
from export.formats import ExportRequest, Materials, answers, formats
from export.model_files import model_file
from pipeline.config import ExportSection, ModelSection, PipelineConfig, TrainSection
from pipeline.data import description, records
from pipeline.data.description import Description
from pipeline.errors import ConfigError
from pipeline.sources import LabelledImages
from pipeline.sources.idx import Options
from pipeline.stages import StageContext, train

L = keras.layers
SHAPE, CLASSES = (8, 6, 1), ("a", "b", "c")
FORMATS = ("onnx", "tflite_float32", "saved_model")
NET = """
import keras


@keras.saving.register_keras_serializable("shop")
class Net(keras.Model):
    def __init__(self, filters=4, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.first = keras.layers.Conv2D(filters, 3, activation="relu", dtype="mixed_float16")
        self.pool = keras.layers.GlobalAveragePooling2D()
        self.last = keras.layers.Dense(3, activation="softmax", dtype="float32")

    def call(self, image):
        return self.last(self.pool(self.first(image / 255)))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}
"""
FORGETFUL = NET.replace(', "filters": self.filters}', "}")


class Silent:
    @contextmanager
    def task(self, description, total):
        yield self

    def advance(self, steps=1, note=""):
        pass

    def line(self, text):
        pass


def images(count=40):
    """The class is the third of the rows that is bright."""
    random = np.random.default_rng(7)
    labels = np.arange(count) % 3
    pixels = random.integers(0, 100, (count, *SHAPE)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[2 * label + 1 : 2 * label + 3] += 150
    return LabelledImages(pixels, labels)


@pytest.fixture(scope="module")
def ingest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ingest")
    shares = {"validation": (14, 13, 13)}
    description.write(folder, Description(SHAPE, CLASSES, shares, (0.0,), (1.0,), "made", {}, {}))
    records.write_split(folder, "validation", images())
    return folder


@pytest.fixture
def bring(ingest, tmp_path):
    """Runs the train stage on a model, or on a file; gives its folder and what it says."""

    def run(model, **options):
        path = model
        if isinstance(model, keras.Model):
            path = tmp_path / "mine.keras"
            model.save(path)
        config = PipelineConfig(
            name="test",
            data=Options(),
            model=ModelSection(preset="two_conv"),
            train=TrainSection(model_file=path, **options),
            export=ExportSection(formats=("onnx",)),
        )
        output = tmp_path / "train"
        output.mkdir()
        context = StageContext(config, {"ingest": ingest}, output, tmp_path, Silent())
        return output, train.run(context)

    return run


def sequential(*head):
    keras.utils.set_random_seed(1)
    head = head or (L.Dense(3, activation="softmax"),)
    body = (L.Rescaling(1 / 255), L.Conv2D(4, 3), L.ReLU(), L.Flatten())
    return keras.Sequential([keras.Input(SHAPE), *body, *head])


def residual(policy="float32"):
    """Functional, with a sum that skips layers and a model inside."""
    keras.utils.set_random_seed(2)
    keras.config.set_dtype_policy(policy)
    try:
        image = keras.Input(SHAPE)
        first = L.Conv2D(4, 3, padding="same")(L.Rescaling(1 / 255)(image))
        block = keras.Sequential([keras.Input((8, 6, 4)), L.Conv2D(4, 3, padding="same"), L.ReLU()])
        joined = L.GlobalAveragePooling2D()(block(first) + first)
        head = keras.Sequential([keras.Input((4,)), L.Dense(3)])
        return keras.Model(image, L.Softmax(dtype="float32")(head(joined)))
    finally:
        keras.config.set_dtype_policy("float32")


def written(model_path, folder):
    """What each format answers, from its file on disk."""
    interfaces = {name: formats()[name].interface(SHAPE, len(CLASSES)) for name in FORMATS}
    promised = contract.Contract(
        contract.image_input(SHAPE, "mixed"),
        contract.output(CLASSES),
        {name: contract.of_format(name, interface) for name, interface in interfaces.items()},
        model_key="0" * 16,
        data_key="1" * 16,
        versions={},
    )
    np.save(folder / "calibration.npy", images().images)
    requests = [
        ExportRequest(
            format_name=name,
            materials=Materials(
                model_path, folder / "calibration.npy", contract.to_json(promised), folder
            ),
            folder=folder,
            promised=interfaces[name],
            options=formats()[name].options().model_dump(),
        )
        for name in FORMATS
    ]
    plain = TypeAdapter(list[ExportRequest]).dump_python(requests, mode="json")
    assert [done["failure"] for done in write_formats(plain)] == [""] * len(FORMATS)
    return {request.format_name: answered(request) for request in requests}


def answered(request):
    if request.format_name != "saved_model":
        return answers(request.format_name, request.path, images().images)
    # Its own loader sets threads, which a process that has computed cannot.
    call = tf.saved_model.load(request.path / "1").signatures["serving_default"]
    return call(image=tf.constant(images().images, tf.float32))["probabilities"].numpy()


def assert_files_answer(folder, tmp_path, expected, tolerance=1e-5):
    for name, given in written(folder / "model.keras", tmp_path).items():
        np.testing.assert_allclose(given, expected, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("build", [sequential, residual])
def test_the_files_answer_as_the_model_that_was_brought(bring, tmp_path, build):
    model = build()
    folder, result = bring(model)
    expected = model(images().images.astype(np.float32), training=False)
    assert_files_answer(folder, tmp_path, expected)
    correct = float((np.asarray(expected).argmax(axis=1) == images().labels).mean())
    assert result.metrics["val_accuracy"] == correct
    assert result.summary.startswith(f"took mine.keras: {model.count_params():,} parameters, ")


def test_a_mixed_precision_model_is_taken_as_its_float32_twin(bring, tmp_path):
    twin = residual()
    folder, _ = bring(residual("mixed_float16"))
    assert_files_answer(folder, tmp_path, twin(images().images.astype(np.float32), training=False))


def test_a_subclassed_model_is_taken_with_its_code(bring, tmp_path):
    code = tmp_path / "net.py"
    code.write_text(NET)
    space = {"__name__": "elsewhere"}
    exec(NET, space)
    keras.utils.set_random_seed(3)
    model = space["Net"](filters=5)
    expected = model(images().images.astype(np.float32))
    model.save(tmp_path / "mine.keras")
    keras.saving.get_custom_objects().clear()
    with pytest.raises(ConfigError, match=r"holds shop>Net, which can run any code"):
        bring(tmp_path / "mine.keras")
    (tmp_path / "train").rmdir()
    folder, _ = bring(tmp_path / "mine.keras", trust_model_file=True, model_code=code)
    assert json.loads((folder / "trusted.json").read_text()) == {"code": "model_code.py"}
    assert_files_answer(folder, tmp_path, expected, tolerance=2e-3)  # it computed in float16


def test_a_class_whose_config_lacks_something_is_refused(bring, tmp_path):
    code = tmp_path / "net.py"
    code.write_text(FORGETFUL)
    path = tmp_path / "mine.keras"
    space = {"__name__": "elsewhere"}
    exec(FORGETFUL, space)
    model = space["Net"](filters=5)
    model(images().images.astype(np.float32))
    model.save(path)
    keras.saving.get_custom_objects().clear()
    with pytest.raises(ConfigError, match=r"mine.keras: Keras cannot load it"):
        bring(path, trust_model_file=True, model_code=code)


def test_logits_get_a_softmax_if_the_config_says_that_they_are_logits(bring, tmp_path):
    model = sequential(L.Dense(3))
    logits = np.asarray(model(images().images.astype(np.float32)), np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    with pytest.raises(ConfigError, match=r"sums of 1. If they are logits, set train.gives=logits"):
        bring(model)
    (tmp_path / "train").rmdir()
    folder, _ = bring(model, gives="logits")
    assert_files_answer(folder, tmp_path, powers / powers.sum(axis=1, keepdims=True))


def test_probabilities_get_no_second_softmax(bring):
    with pytest.raises(ConfigError, match="gives probabilities already; a second softmax"):
        bring(sequential(), gives="logits")


def dense(weights):
    model = keras.Sequential([keras.Input(SHAPE), L.Flatten(), L.Dense(3, activation="softmax")])
    model.set_weights(weights)
    return model


BY_ROWS = np.zeros((8, 6, 3), np.float32)
for column in range(3):
    BY_ROWS[2 * column + 1 : 2 * column + 3, :, column] = 1
BY_ROWS = [BY_ROWS.reshape(48, 3), np.zeros(3, np.float32)]


def test_pixels_are_brought_to_the_range_that_the_model_expects(bring, tmp_path):
    kernel = np.random.default_rng(8).normal(size=(48, 3)).astype(np.float32)
    model = dense([kernel, np.zeros(3, np.float32)])
    folder, _ = bring(model, pixel_range=(-1.0, 1.0))
    expected = model((images().images / 127.5 - 1).astype(np.float32))
    assert_files_answer(folder, tmp_path, expected)


def test_a_range_with_which_it_would_do_better_is_named_but_not_taken(bring):
    scaled = keras.Sequential(
        [keras.Input(SHAPE), L.ReLU(max_value=1.0), dense(BY_ROWS)]  # 0..255 saturates
    )
    _, result = bring(scaled)
    assert result.metrics["val_accuracy"] < 0.5
    assert result.summary.endswith("; with train.pixel_range=[0.0, 1.0] it would be 100.00%")


def two_inputs():
    first, second = keras.Input(SHAPE), keras.Input(SHAPE)
    return keras.Model([first, second], L.Dense(3)(L.Flatten()(first + second)))


def two_outputs():
    image = keras.Input(SHAPE)
    flat = L.Flatten()(image)
    return keras.Model(image, [L.Dense(3)(flat), L.Dense(3)(flat)])


def of_shape(*shape, **options):
    return keras.Sequential(
        [keras.Input(shape, **options), L.Flatten(), L.Dense(3, activation="softmax")]
    )


def channels_first():
    pool = L.MaxPooling2D(1, data_format="channels_first")
    return keras.Sequential([keras.Input(SHAPE), pool, L.Flatten(), L.Dense(3)])


MISFITS = {
    r"takes 2 inputs; expected one, the image": two_inputs,
    r"gives more than one output; expected the probabilities alone": two_outputs,
    r"takes images of shape \(28, 28, 1\), but the data's are \(8, 6, 1\)": lambda: of_shape(
        28, 28, 1
    ),
    r"takes images of shape \(48,\), but .* put a Reshape or Resizing": lambda: of_shape(48),
    r"takes batches of exactly 4; make its Input without": lambda: of_shape(*SHAPE, batch_size=4),
    r"takes uint8; expected an Input of float32": lambda: of_shape(*SHAPE, dtype="uint8"),
    r"gives an output of shape \(5,\) for each image, but the data has 3": lambda: sequential(
        L.Dense(5, activation="softmax")
    ),
    r"gives an output of shape \(1,\)": lambda: sequential(L.Dense(1, activation="sigmoid")),
    r"layer max_pooling2d\S* has data_format channels_first": channels_first,
}


@pytest.mark.parametrize("said", MISFITS, ids=range(len(MISFITS)))
def test_a_model_that_does_not_fit_is_refused_with_what_to_do(bring, said):
    with pytest.raises(ConfigError, match=said):
        bring(MISFITS[said]())


def test_a_model_that_gives_no_number_is_refused(bring):
    model = dense([np.full((48, 3), np.nan, np.float32), np.zeros(3, np.float32)])
    with pytest.raises(ConfigError, match="gives no number for some validation images"):
        bring(model)


def test_an_answer_that_changes_in_saving_is_refused(bring, monkeypatch):
    other = dense([np.eye(48, 3, dtype=np.float32), np.zeros(3, np.float32)])
    monkeypatch.setattr(model_file, "load_published", lambda path: other)
    with pytest.raises(ConfigError, match="saved and loaded again, it answers otherwise"):
        bring(dense(BY_ROWS))
