"""Models from files that are refused, with the reason and what to do."""

import io
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from export.keras_files import load
from pipeline.core.errors import ConfigError
from pipeline.data.dataset_json import Description
from pipeline.stages.train import import_model
from tests.training.brought_models import (
    BY_ROWS,
    CLASSES,
    FORGETFUL,
    NET,
    SHAPE,
    dense,
    images,
    sequential,
)

L = keras.layers


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
    with pytest.raises(ConfigError, match=r"do not fit its layers.*; get_config\(\) of"):
        bring(path, trust_model_file=True, model_code=code)


class Lost(L.Layer):
    def call(self, x):
        return self.lost(x)


def test_what_goes_wrong_in_a_layers_own_call_is_told():
    with pytest.raises(AttributeError) as caught:
        Lost()(np.ones((1, 3), np.float32))
    assert str(caught.value).startswith("Exception encountered when calling Lost.call()")
    said = "AttributeError: 'Lost' object has no attribute 'lost'"
    assert load.gist(caught.value) == said


def test_probabilities_get_no_second_softmax(bring):
    with pytest.raises(ConfigError, match="gives probabilities already; a second softmax"):
        bring(sequential(), gives="logits")


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (("a", "b"), "names 2 classes and the data has 3; 'c' is one too many or missing"),
        (("a", "b", "x"), "names 3 classes and the data has 3; 'x' is one too many or missing"),
        (("a", "b", "b"), "'b' is one too many or missing. Name each of them once, in the order"),
    ],
)
def test_an_order_that_is_none_of_the_classes_is_refused(bring, order, said):
    with pytest.raises(ConfigError, match=said):
        bring(sequential(), class_order=order)


def test_one_sigmoid_a_class_is_no_softmax_even_with_an_order(bring):
    head = L.Dense(3, activation="sigmoid")
    with pytest.raises(ConfigError, match=r"with sums of 1. One sigmoid a class gives such"):
        bring(sequential(head), class_order=("c", "a", "b"))


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


def of_shape_pooled(*shape):
    return keras.Sequential([keras.Input(shape), L.GlobalAveragePooling2D()])


def channels_first():
    pool = L.MaxPooling2D(1, data_format="channels_first")
    return keras.Sequential([keras.Input(SHAPE), pool, L.Flatten(), L.Dense(3)])


UNBUILT = "saving a model that has not yet been built"
HALF_BUILT = (
    NET
    + """
    def build(self, shape):
        self.late = keras.Sequential([keras.layers.Conv2D(1, 1, name="late")])
        self.first.build((None, 8, 6, 1))
        self.last.build((None, self.filters))
        self.built = True
"""
)
HALF_BUILT = HALF_BUILT.replace("image / 255", "self.late(image / 255)")


def test_a_model_that_was_saved_before_it_was_built_is_refused(bring):
    layers = (L.Rescaling(1 / 255), L.Conv2D(4, 3, name="a"), L.Flatten(), L.Dense(3, name="b"))
    said = "holds no weights for a, b, for it was saved before it was built; build it"
    with pytest.warns(UserWarning, match=UNBUILT), pytest.raises(ConfigError, match=said):
        bring(keras.Sequential(layers))


def test_a_model_of_which_a_part_was_not_built_is_refused(bring, tmp_path):
    (tmp_path / "net.py").write_text(HALF_BUILT)
    space = {"__name__": "elsewhere"}
    exec(HALF_BUILT, space)
    model = space["Net"]()
    model.build((None, *SHAPE))
    model.save(tmp_path / "mine.keras")
    keras.saving.get_custom_objects().clear()
    with pytest.raises(ConfigError, match="holds no weights for late, for it was saved before"):
        bring(tmp_path / "mine.keras", trust_model_file=True, model_code=tmp_path / "net.py")


def test_a_model_without_any_weights_needs_none(bring):
    rows = L.AveragePooling2D((2, 6))
    model = keras.Sequential([L.Cropping2D(((1, 1), (0, 0))), rows, L.Flatten(), L.Softmax()])
    with pytest.warns(UserWarning, match=UNBUILT):
        _, result = bring(model)
    assert result.metrics["val_accuracy"] == 1


def test_a_file_that_lacks_the_weights_of_a_layer_is_refused_by_its_name(bring, tmp_path):
    sequential(L.Dense(3, name="head")).save(tmp_path / "mine.keras")
    with zipfile.ZipFile(tmp_path / "mine.keras") as file:
        members = {name: file.read(name) for name in file.namelist()}
    weights = io.BytesIO(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        del file["layers/dense"]
    with zipfile.ZipFile(tmp_path / "mine.keras", "w") as file:
        for name, content in {**members, "model.weights.h5": weights.getvalue()}.items():
            file.writestr(name, content)
    with pytest.raises(
        ConfigError, match=r"Layer 'head' expected 2 variables, but received 0\); save"
    ):
        bring(tmp_path / "mine.keras")


MISFITS = {
    r"takes 2 inputs; expected one, the image": two_inputs,
    r"gives 2 outputs; expected the probabilities alone": two_outputs,
    r"takes images of shape \(28, 28, 1\), but the data's are \(8, 6, 1\)": lambda: of_shape(
        28, 28, 1
    ),
    r"takes images of shape \(48,\), but .* put a Reshape or Resizing": lambda: of_shape(48),
    r"takes batches of exactly 4; make its Input without": lambda: of_shape(*SHAPE, batch_size=4),
    r"takes uint8; expected an Input of float32": lambda: of_shape(*SHAPE, dtype="uint8"),
    r"gives an output of shape \(5,\) for each image, but the data has 3 .*"
    r"\. Bring a model of these 3 classes, or data of 5 classes$": lambda: sequential(
        L.Dense(5, activation="softmax")
    ),
    r"these 3 classes, or data of two classes, which its single output": lambda: sequential(
        L.Dense(1, activation="sigmoid")
    ),
    r"layer max_pooling2d\S* has data_format channels_first": channels_first,
}


@pytest.mark.parametrize("said", MISFITS, ids=range(len(MISFITS)))
def test_a_model_that_does_not_fit_is_refused_with_what_to_do(bring, said):
    with pytest.raises(ConfigError, match=said):
        bring(MISFITS[said]())


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((28, 28, 1), "'data.image_size=[28, 28]' data.color_mode=grayscale"),
        ((28, None, 3), "'data.image_size=[28, 64]'"),
        ((48, 64, 1), "data.color_mode=grayscale"),
    ],
)
def test_pictures_of_another_shape_lead_to_the_settings_that_read_them_so(shape, settings):
    dataset = Description(
        (48, 64, 3), CLASSES, {}, (0.0,) * 3, (1.0,) * 3, "made", {}, {}, fit="stretch"
    )
    with pytest.raises(ConfigError) as caught:
        import_model.check_input(Path("a.keras"), of_shape_pooled(*shape), dataset)
    assert str(caught.value).endswith(f"; set {settings} to read the pictures so")


def test_a_model_that_gives_no_number_is_refused_with_what_to_do(bring):
    image, model = keras.Input(SHAPE), sequential()
    with pytest.raises(ConfigError) as caught:
        bring(keras.Model(image, keras.ops.log(-model(image))))
    assert "gives no number for some validation images" in str(caught.value)
    assert "set train.pixel_range, or take out the layer that divides by zero" in str(caught.value)


def test_an_answer_that_changes_in_saving_is_refused(bring, monkeypatch):
    other = dense([np.eye(48, 3, dtype=np.float32), np.zeros(3, np.float32)])
    monkeypatch.setattr(load, "load_published", lambda path, *, is_trusted: other)
    with pytest.raises(ConfigError, match="saved and loaded again, it answers otherwise"):
        bring(dense(BY_ROWS))
