"""Loading a `.keras` file: what may run code, what trust allows, and float32 whatever it was."""

import json
import zipfile

import keras
import numpy as np
import pytest

from export.keras_files import load as model_file
from export.keras_files.load import Trust
from export.keras_files.saved_model_writer import load_float32
from pipeline.core.errors import ConfigError

L = keras.layers
OWN = '''
import keras
from pathlib import Path

keras.config.set_dtype_policy("mixed_float16")
Path(__file__).with_name("ran").touch()


@keras.saving.register_keras_serializable("shop")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x


class Net(keras.Model):
    """Not registered, and its first layer has a policy of its own."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = keras.layers.Dense(5, activation="relu", dtype="mixed_float16")
        self.doubled = Doubled()
        self.last = keras.layers.Dense(units, dtype="float32")

    def call(self, x):
        return self.last(self.doubled(self.hidden(x)))

    def get_config(self):
        return {**super().get_config(), "units": self.units}
'''


def rows():
    return np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def answers(model):
    return np.asarray(model(rows(), training=False))


@pytest.fixture
def saved(tmp_path):
    def save(*layers):
        keras.utils.set_random_seed(3)
        keras.Sequential([keras.Input((4,)), *layers]).save(tmp_path / "m.keras")
        return tmp_path / "m.keras"

    return save


@pytest.fixture
def rewritten(tmp_path):
    """Puts other text in the place of some of a file's config."""

    def rewrite(path, old, new):
        with zipfile.ZipFile(path) as file:
            members = {name: file.read(name) for name in file.namelist()}
        assert old.encode() in members["config.json"]
        members["config.json"] = members["config.json"].replace(old.encode(), new.encode())
        with zipfile.ZipFile(path, "w") as file:
            for name, content in members.items():
                file.writestr(name, content)
        return path

    return rewrite


@pytest.fixture
def own(tmp_path):
    """A model of classes of its own, its code, and its answers; Keras has forgotten both."""
    code = tmp_path / "net.py"
    code.write_text(OWN)
    space = {"__name__": "somewhere", "__file__": str(code)}
    exec(compile(OWN, str(code), "exec"), space)
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(4)
    model = space["Net"](units=2, name="net")
    expected = answers(model)
    model.save(tmp_path / "own.keras")
    keras.saving.get_custom_objects().clear()
    (tmp_path / "ran").unlink()
    return tmp_path / "own.keras", code, expected


SAVING_A_LAMBDA = "ignore:The object being serialized includes a `lambda`:UserWarning"


@pytest.mark.filterwarnings(SAVING_A_LAMBDA)
def test_a_lambda_is_refused_before_keras_sees_it_and_taken_with_trust(
    saved, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = saved(L.Lambda(lambda x: 3 * x, output_shape=(4,)))
    monkeypatch.setattr(keras.saving, "load_model", lambda *a, **k: pytest.fail("parsed"))
    with pytest.raises(
        ConfigError, match=r"holds Lambda, which can run any code .*trust_model_file"
    ):
        model_file.load(path)
    monkeypatch.undo()
    np.testing.assert_allclose(answers(model_file.load(path, Trust())), 3 * rows(), rtol=1e-6)


def test_a_lambda_inside_an_activation_is_found(saved, rewritten):
    path = saved(L.Dense(2, activation="relu"))
    stored = '"activation": {"class_name": "__lambda__", "config": {"value": "x"}}'
    with pytest.raises(ConfigError, match=r"holds Lambda, "):
        model_file.load(rewritten(path, '"activation": "relu"', stored))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.utils", "get_file"),
        ("os", "system"),
        ("keras.src.utils.file_utils", "copy"),
        ("keras.saving", "load_model"),
    ],
)
def test_functions_that_are_no_part_of_a_model_are_refused(saved, rewritten, module, name):
    path = saved(L.Dense(2, activation="relu"))
    function = {"module": module, "class_name": "function", "config": name}
    rewritten(path, '"activation": "relu"', f'"activation": {json.dumps(function)}')
    with pytest.raises(ConfigError, match=f"holds {name}, which can run any code"):
        model_file.load(path)
    with pytest.raises(ConfigError, match=f"holds {name}, which Keras does not define"):
        model_file.load(path, Trust())


def test_a_class_of_its_own_is_refused_and_its_name_said(own):
    path, code, _ = own
    with pytest.raises(
        ConfigError, match=r"holds Net, .*the file that defines them with train.mod"
    ):
        model_file.load(path)
    with pytest.raises(ConfigError, match=r"holds Net, which Keras does not define; name the .py"):
        model_file.load(path, Trust())
    assert not code.with_name("ran").exists()


def test_a_registered_name_counts_even_where_the_class_seems_to_be_keras_own(saved, rewritten):
    path = saved(L.ReLU(name="last"))
    with zipfile.ZipFile(path) as file:
        (layer,) = json.loads(file.read("config.json"))["config"]["layers"][1:]
    renamed = json.dumps({**layer, "registered_name": "shop>Doubled"})
    with pytest.raises(ConfigError, match=r"holds shop>Doubled, which can run any code"):
        model_file.load(rewritten(path, json.dumps(layer), renamed))


def test_with_its_code_a_model_of_its_own_classes_answers_as_before_in_float32(own):
    path, code, expected = own
    model = model_file.load(path, Trust(code))
    assert {layer.compute_dtype for layer in model._flatten_layers()} == {"float32"}
    np.testing.assert_allclose(answers(model), expected, atol=5e-3)  # it was computed in float16
    assert keras.config.dtype_policy().name == "float32"


def test_code_that_fails_is_blamed_by_name_and_runs_again_when_it_is_mended(own):
    path, code, _ = own
    text = code.read_text()
    code.write_text(text + "\nraise OSError('no such thing')\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"net.py: cannot be run. OSError: no such thing"):
            model_file.load(path, Trust(code))
    code.write_text(text)
    assert model_file.load(path, Trust(code)).name == "net"


def test_what_was_trusted_is_published_with_its_code_and_loaded_again(own, tmp_path):
    path, code, _ = own
    folder = tmp_path / "published"
    folder.mkdir()
    model = model_file.load(path, Trust(code))
    model_file.publish(model, folder, Trust(code))
    code.unlink()
    again = model_file.load_published(folder / "model.keras", is_trusted=True)
    np.testing.assert_array_equal(answers(again), answers(model))


def test_what_an_artifact_says_of_its_trust_does_not_do_without_the_config(own, tmp_path):
    path, code, _ = own
    folder = tmp_path / "published"
    folder.mkdir()
    model_file.publish(model_file.load(path, Trust(code)), folder, Trust(code))
    (tmp_path / "ran").unlink(missing_ok=True)
    text = (folder / "model_code.py").read_text()
    (folder / "model_code.py").write_text(f"{text}# other bytes: not run before")
    for load in (model_file.load_published, load_float32):
        with pytest.raises(ConfigError, match=r"trusted.json: the model can run code"):
            load(folder / "model.keras", is_trusted=False)
    assert not (folder / "ran").exists()


def test_a_folder_that_says_it_is_trusted_is_refused_where_the_config_is_not_asked(tmp_path):
    model_file.refuse_unasked_trust(tmp_path, is_trusted=False)
    (tmp_path / "trusted.json").write_text('{"code": null}')
    model_file.refuse_unasked_trust(tmp_path, is_trusted=True)
    with pytest.raises(ConfigError, match=r"trusted.json: the model can run code, and the config"):
        model_file.refuse_unasked_trust(tmp_path, is_trusted=False)


def own_loss(labels, answers):
    return answers


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
def test_nested_models_of_any_policy_come_back_in_float32(tmp_path, policy):
    keras.utils.set_random_seed(5)
    inner = keras.Sequential([keras.Input((4,)), L.Dense(4, dtype=policy), L.ReLU(dtype=policy)])
    image = keras.Input((4,))
    half = keras.ops.cast(inner(image), "float16")
    model = keras.Model(image, L.Dense(2, dtype=policy)(half + L.Dense(4, dtype=policy)(image)))
    model.compile("adam", loss=own_loss)  # it is never needed
    model.save(tmp_path / "m.keras")
    loaded = model_file.load(tmp_path / "m.keras")
    assert {layer.dtype_policy.name for layer in loaded._flatten_layers()} == {"float32"}
    kernels = [w.astype(np.float32) for w in model.get_weights()]
    first, bias, second, bias2, last, bias3 = kernels
    hidden = np.maximum(rows() @ first + bias, 0) + rows() @ second + bias2
    np.testing.assert_allclose(answers(loaded), hidden @ last + bias3, atol=1e-5)


def test_a_quantised_model_is_refused_by_its_policy(tmp_path):
    model = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    model.layers[0].quantize("int8")
    model.save(tmp_path / "m.keras")
    with pytest.raises(ConfigError, match=r"is quantised by Keras \(QuantizedDTypePolicy\); bring"):
        model_file.load(tmp_path / "m.keras")


def test_what_keras_cannot_load_is_said_in_one_sentence(saved, rewritten):
    path = rewritten(saved(L.Dense(7)), '"units": 7', '"units": 8')
    with pytest.raises(ConfigError) as caught:
        model_file.load(path)
    assert "m.keras: Keras cannot load it. ValueError: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_are_no_numbers_are_refused_by_the_first_layer_that_has_them(tmp_path):
    """Keras' ReLU makes 0 of NaN, so that answers are numbers; ONNX Runtime's does not."""
    keras.utils.set_random_seed(5)
    inner = keras.Sequential([keras.Input((4,)), L.Dense(3, name="sick"), L.ReLU()], name="inner")
    model = keras.Sequential([keras.Input((4,)), L.Dropout(0.5), inner, L.Dense(2, name="later")])
    for layer, broken in ((inner.get_layer("sick"), 2), (model.get_layer("later"), 3)):
        kernel, bias = layer.get_weights()
        kernel.ravel()[:broken] = np.nan
        layer.set_weights([kernel, bias])
    model.save(tmp_path / "m.keras")
    with pytest.raises(ConfigError, match=r"m.keras: 2 of the 12 numbers in kernel of its layer s"):
        model_file.load(tmp_path / "m.keras")
    inner.get_layer("sick").set_weights([np.full((4, 3), -np.inf), np.zeros(3)])  # such as a mask's
    model.get_layer("later").set_weights([np.zeros((3, 2)), np.zeros(2)])
    model.save(tmp_path / "m.keras")
    model_file.load(tmp_path / "m.keras")
