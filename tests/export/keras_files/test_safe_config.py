"""What of a config counts as code, by each spelling under which Keras would find it."""

import importlib
import inspect
import json
import pkgutil

import keras
import pytest

from export.keras_files.safe_config import foreign_names, stored_code

L = keras.layers


def of_class(module, name, **more):
    return {"module": module, "class_name": name, "config": {}, **more}


def of_function(module, name):
    return of_class(module, "function") | {"config": name}


def test_all_kinds_of_parts_that_keras_writes_are_its_own():
    image = keras.Input((4, 4, 3))
    scaled = keras.ops.clip(L.Rescaling(1 / 255)(image) * 2 - 1, -1, 1)[:, :3]
    block = keras.Sequential([L.Conv2D(3, 1, activation=L.LeakyReLU(0.1)), L.BatchNormalization()])
    hidden = L.Dense(
        3,
        activation=keras.ops.silu,
        kernel_regularizer="l2",
        bias_constraint="non_neg",
        kernel_initializer=keras.initializers.HeNormal(1),
        dtype="mixed_float16",
    )
    model = keras.Model(image, hidden(keras.ops.mean(block(scaled), (1, 2))))
    config = json.loads(model.to_json())
    assert (foreign_names(config), stored_code(config)) == ([], [])
    for module, name in (
        ("builtins", "relu"),
        ("keras.ops", "sigmoid"),
        ("keras.src.ops.nn", "elu"),
    ):
        assert foreign_names(of_function(module, name)) == []


def test_layers_that_are_defined_among_the_applications_of_keras_are_its_own():
    folder = importlib.import_module("keras.src.applications")
    modules = [
        importlib.import_module(f"{folder.__name__}.{module.name}")
        for module in pkgutil.iter_modules(folder.__path__)
        if not module.name.endswith("_test")
    ]
    layers = {
        (module.__name__, name)
        for module in modules
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__
    }
    assert {name for _, name in layers} >= {"LayerScale", "CustomScaleLayer"}
    assert foreign_names([of_class(*layer) for layer in layers]) == []


@pytest.mark.parametrize("name", ["TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper"])
@pytest.mark.parametrize(
    ("module", "prefix"),
    [
        ("keras.layers", ""),
        ("keras", "layers."),
        ("keras", ""),
        ("keras.src", "layers."),
        ("keras.src.export.tfsm_layer", ""),
        ("keras.layers", "src."),
        (None, "layers."),
        (None, ""),
    ],
)
def test_layers_that_run_code_count_as_code_by_every_spelling(module, prefix, name):
    assert stored_code([{"layers": of_class(module, prefix + name)}]) == [name]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras", "layers.Dense"),
        ("keras", "src.layers.Dense"),
        ("keras", "utils"),
        ("keras", "KerasTensor"),
        ("keras.layers", "src.Dense"),
        ("keras.layers", "deserialize"),
        ("keras.layers", ""),
        ("keras.saving", "KerasFileEditor"),
        ("keras.applications", "ResNet50"),
        ("keras.src.applications.imagenet_utils", "LayerScales"),
        ("kerasx.layers", "Dense"),
        ("", "Dense"),
        (3, "Dense"),
        ("keras.layers", "__typespec__"),
        ("keras.layers", ["Dense"]),
        (["keras.layers"], "Dense"),
        (None, "layers.Dense"),
    ],
)
def test_classes_that_keras_does_not_write_so_are_foreign(module, name):
    assert foreign_names(of_class(module, name)) == [str(name)]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras", "utils.set_random_seed"),
        ("keras", "config.set_floatx"),
        ("keras", "ops.relu"),
        ("builtins", "src.utils.get_file"),
        ("builtins", "deserialize"),
        ("keras.activations", "get"),
        ("keras.layers", "deserialize"),
        ("keras.models", "model_from_json"),
        ("keras.random", "shuffle"),
        ("keras.activations", "shop>relu"),
        ("keras.ops", "__import__"),
        (None, "relu"),
        ("keras.ops", ["relu"]),
    ],
)
def test_functions_that_do_not_compute_on_arrays_are_foreign(module, name):
    assert foreign_names(of_function(module, name)) == [str(name)]


def test_a_function_that_would_change_keras_is_not_called_under_the_name_of_an_activation():
    layer = of_class("keras.layers", "Dense")
    layer["config"] = {"activation": of_function("keras", "config.set_floatx")}
    assert foreign_names(layer) == ["config.set_floatx"]
