"""`run_pipeline.py export --model`: from the command line to files that proved themselves."""

import json

import keras
import numpy as np
import pytest

from pipeline.config.layers import as_overrides, override_layer
from pipeline.config.loading import load_config
from pipeline.config.train.model_file import range_of
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.plugins import ROOT
from pipeline.workflow import graph
from pipeline.workflow.keys import changes, ingredients, key_of
from tests.children_here import children_here
from tests.command_line import call, call_here

MNIST = ROOT / "configs" / "mnist.yaml"
TRAIN = next(stage for stage in graph.STAGES if stage.name == "train")
CODE = """
import keras


@keras.saving.register_keras_serializable("shop")
class Net(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.pool = keras.layers.AveragePooling2D(4)
        self.flat = keras.layers.Flatten()
        self.last = keras.layers.Dense(10)

    def call(self, image):
        return self.last(self.flat(self.pool(image)))
"""


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """A subclassed model that gives logits for pixels 0..1, and the code that defines it."""
    folder = tmp_path_factory.mktemp("a shelf: of 'models'")
    code = folder / "net.py"
    code.write_text(CODE)
    space = {"__name__": "elsewhere"}
    exec(CODE, space)
    keras.utils.set_random_seed(0)
    model = space["Net"]()
    model(np.zeros((1, 28, 28, 1), np.float32))
    model.save(folder / "mine.keras")
    kernel, bias = model.get_weights()
    keras.saving.get_custom_objects().clear()
    return folder / "mine.keras", code, kernel, bias


@pytest.fixture(scope="module")
def exported(brought, tmp_path_factory):
    artifacts = tmp_path_factory.mktemp("artifacts")
    path, code, *_ = brought
    small = ("data.train_limit=200", "data.test_limit=100")
    place = ("--artifacts", artifacts, "export.formats=[onnx, tflite_float32]", *small)
    told = ("--pixels", "0..1", "--logits", "--trust", "--code", code)
    with children_here():
        done = call_here("export", "--model", path, "--data", "idx", *told, *place)
    keras.saving.get_custom_objects().clear()
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (artifacts / "runs").iterdir()
    return run, place, done.stdout


def test_a_model_from_a_file_goes_all_the_way(exported, brought):
    run, _, said = exported
    stages = [stage["stage"] for stage in json.loads((run / "run.json").read_text())["stages"]]
    assert stages == ["ingest", "train", "evaluate", "export", "verify"]
    assert "took mine.keras: 500 parameters, validation accuracy" in said
    verdict = json.loads((run / "verify" / "verdict.json").read_text())
    assert {row["name"]: row["agreement"] for row in verdict["formats"]} == {
        "onnx": 1.0,
        "tflite_float32": 1.0,
    }
    assert "mine.keras" in (run / "evaluate" / "report.html").read_text()


def test_its_answers_are_those_of_its_weights_worked_out_by_hand(exported, brought):
    from pipeline.data.tfrecords import read_split

    run, *_ = exported
    _, _, kernel, bias = brought
    images = read_split(run / "ingest", "test").images / 255
    pooled = images.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49)
    powers = np.exp(pooled @ kernel + bias)
    expected = powers / powers.sum(axis=1, keepdims=True)
    found = np.load(run / "evaluate" / "probabilities.npy")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_second_call_has_nothing_to_do_and_one_without_trust_is_refused(exported, brought):
    _, place, _ = exported
    path, code, *_ = brought
    told = ("export", "--model", path, "--pixels", "0..1", "--logits", *place)
    assert "Nothing changed" in call(*told, "--trust", "--code", code).stdout
    done = call_here(*told)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error  {path}: holds shop>Net, which can run any code")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["train.model_file=m.h5"], r"m.h5 is no .keras file; where the model was made"),
        (["train.model_file=saved_model"], r"saved_model is no .keras file"),
        (["train.trust_model_file=true"], r"trust_model_file and model_code need a model_file"),
        (["train.model_file=m.keras", "train.model_code=m.py"], r"model_code is run; if you trust"),
        (["train.model_file=m.keras", "train.pixel_range=[1, 0]"], r"pixel_range is \[1.0, 0.0\]"),
        (
            [
                "train.model_file=m.keras",
                "train.trust_model_file=true",
                "train.model_code=code.txt",
            ],
            r"code.txt is no .py file",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_runs(overrides, said):
    with pytest.raises(ConfigError, match=said):
        load_config(MNIST, overrides)


def test_with_a_model_file_nothing_is_searched_or_built():
    config = load_config(MNIST, ["train.model_file=m.keras", "tune.enabled=true"])
    names = [stage.name for stage in graph.stages_of(config)]
    assert names == ["ingest", "train", "evaluate", "export", "verify"]
    assert TRAIN.plug_ins(config) == ()


def test_the_bytes_of_the_model_and_its_code_count_and_their_place_does_not(tmp_path):
    def key(folder, model=b"model", code=b"code"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "m.keras").write_bytes(model)
        (tmp_path / folder / "m.py").write_bytes(code)
        settings = {
            "train.model_file": str(tmp_path / folder / "m.keras"),
            "train.trust_model_file": True,
            "train.model_code": str(tmp_path / folder / "m.py"),
        }
        values = ingredients(load_config(MNIST, as_overrides(settings)), TRAIN, {"ingest": "a"})
        return values, key_of(values)

    before, first = key("first")
    assert key("second")[1] == first
    after, other = key("first", model=b"MODEL")
    assert other != first != key("first", code=b"CODE")[1]
    assert changes(before, after) == ["the files that it reads changed"]


def test_a_model_file_that_is_not_there_is_said_before_anything_runs(tmp_path):
    config = load_config(MNIST, as_overrides({"train.model_file": str(tmp_path / "m.keras")}))
    with pytest.raises(DataError, match=r"m.keras: cannot be read \(No such file"):
        ingredients(config, TRAIN, {"ingest": "a"})


def test_settings_become_overrides_whatever_characters_they_hold():
    values = {"train.model_file": "a b: 'c' #\"d\".keras", "train.gives": None}
    assert override_layer(as_overrides(values)).values == {
        "train": {"model_file": "a b: 'c' #\"d\".keras"}
    }


def test_a_range_is_read_as_it_is_typed():
    assert range_of("-1..1") == (-1, 1)
    assert range_of("0..0.5") == (0, 0.5)
    for text in ("1", "0-1", "a..b", ".."):
        with pytest.raises(ConfigError, match=r"is no range; expected LOW..HIGH"):
            range_of(text)
