"""What a user brings in place of a `.keras` file is called what it is, with a way that works."""

import json
import re
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest

from export.keras_files import load
from pipeline.config.train.model_kinds import explanation
from pipeline.core.errors import ConfigError


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def follow(words, folder, monkeypatch):
    """Does what the line says in code, in the folder, and gives the weights that came of it."""
    monkeypatch.chdir(folder)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    for code in re.findall(r"(?:keras\.models|model)\.\w+\(.*?\)(?:\.\w+\(.*?\))?", words):
        exec(code, {"keras": keras, "model": model})
    return load.load(folder / "model.keras").get_weights()[0]


def test_an_hdf5_model_of_keras_3_is_loaded_and_saved(model, tmp_path, monkeypatch):
    model.save(tmp_path / "m.h5")
    words = explanation(tmp_path / "m.h5")
    assert "m.h5 is an HDF5 file; in Python, keras.models.load_model(" in words
    np.testing.assert_array_equal(follow(words, tmp_path, monkeypatch), model.get_weights()[0])


def legacy_weights(path):
    """As Keras 2 wrote them before 2.13, and with save_format='h5' later."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"layer_names": ["dense"], "keras_version": "2.12.0"})
        group = file.create_group("dense")
        group.attrs["weight_names"] = ["dense/kernel:0", "dense/bias:0"]
        group["dense/kernel:0"], group["dense/bias:0"] = np.ones((4, 3)), np.zeros(3)


@pytest.mark.parametrize(
    ("name", "is_old", "rename"),
    [
        ("w.weights.h5", False, ""),
        ("w.h5", False, "rename it to w.weights.h5; "),
        ("w.h5", True, ""),
        ("w.weights.h5", True, "rename it to w.h5; "),
        ("w.hdf5", True, "rename it to w.h5; "),
    ],
)
def test_weights_alone_need_the_code_of_the_model(
    model, tmp_path, monkeypatch, name, is_old, rename
):
    model.set_weights([np.ones((4, 3)), np.zeros(3)])
    if is_old:
        legacy_weights(tmp_path / name)
    else:
        model.save_weights(tmp_path / "w.weights.h5")
        (tmp_path / "w.weights.h5").rename(tmp_path / name)
    words = explanation(tmp_path / name)
    start = f"{tmp_path / name} is an HDF5 file of weights without layers; {rename}make the same"
    assert words.startswith(start)
    if rename:
        (tmp_path / name).rename(tmp_path / re.search(r"to (\S+);", rename)[1])
    np.testing.assert_array_equal(follow(words, tmp_path, monkeypatch), np.ones((4, 3)))


def test_of_keras_2_the_weights_are_read_and_not_the_layers(model, tmp_path, monkeypatch):
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        file.attrs["keras_version"] = "2.15.0"
    words = explanation(tmp_path / "m.h5")
    assert "m.h5 is an HDF5 file of Keras 2; make the same model by its code in Keras 3" in words
    np.testing.assert_array_equal(follow(words, tmp_path, monkeypatch), model.get_weights()[0])


def test_an_hdf5_file_named_keras_is_renamed_first(model, tmp_path, monkeypatch):
    model.save(tmp_path / "m.h5")
    (tmp_path / "m.h5").rename(tmp_path / "m.keras")
    with pytest.raises(ConfigError, match=r"m.keras is an HDF5 file; rename it to m.h5; in Python"):
        load.load(tmp_path / "m.keras")
    words = explanation(shutil.copy(tmp_path / "m.keras", tmp_path / "m.h5"))
    np.testing.assert_array_equal(follow(words, tmp_path, monkeypatch), model.get_weights()[0])


def test_a_keras_file_of_keras_2_is_called_so(model, tmp_path, monkeypatch):
    path = tmp_path / "old.keras"
    model.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as new, zipfile.ZipFile(path, "w") as old:
        for name in new.namelist():
            said = {"keras_version": "2.15.0"}
            old.writestr(name, json.dumps(said) if name == "metadata.json" else new.read(name))
    with pytest.raises(ConfigError, match=r"was written by Keras 2.15.0, as Keras 2") as caught:
        load.load(path)
    found = follow(str(caught.value), tmp_path, monkeypatch)
    np.testing.assert_array_equal(found, model.get_weights()[0])


def test_an_unpacked_file_is_loaded_as_a_folder(model, tmp_path, monkeypatch):
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as file:
        file.extractall(tmp_path / "m")
    words = explanation(tmp_path / "m")
    assert "m is an unpacked .keras file; in Python, keras.models.load_model(" in words
    np.testing.assert_array_equal(follow(words, tmp_path, monkeypatch), model.get_weights()[0])


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["saved_model.pb", "keras_metadata.pb"], r"is a SavedModel of Keras 2; with tf_keras"),
        (["checkpoint"], r"is a checkpoint of TensorFlow, without layers; restore it"),
        (["saved_model.pb"], r"is a SavedModel for serving, without layers; bring what it was"),
        ([], r"is no .keras file; where the model was made, save it with model.save\("),
    ],
)
def test_a_folder_is_told_by_what_lies_in_it(tmp_path, files, said):
    for name in files:
        (tmp_path / name).write_bytes(b"")
    assert re.search(said, explanation(tmp_path))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("m.onnx", "is no model of Keras; bring the Keras model that it was made from"),
        ("m.PT", "is no model of Keras"),
        ("m.ckpt", "is a checkpoint of TensorFlow, without layers"),
        ("c.index", "is a checkpoint of TensorFlow"),
        ("gone.h5", "is no .keras file"),
        ("notes.txt", "is no .keras file"),
    ],
)
def test_a_file_is_told_by_its_name(tmp_path, name, said):
    assert said in explanation(tmp_path / name)


def test_what_is_no_hdf5_within_is_not_taken_for_it(tmp_path):
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    assert re.search(
        r"m.h5 is no whole HDF5 file \(.+\); copy it again", explanation(tmp_path / "m.h5")
    )
