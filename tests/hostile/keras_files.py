"""Files that are brought as models and try to read, write or run something besides."""

import io
import json
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import keras
import numpy as np
import tensorflow as tf
from keras.src.utils.python_utils import func_dump

from tests.hostile.canary import HostileFile

L = keras.layers
ACTIVATION = '"activation": "relu"'
NEVER = ", which Keras never writes"
RUNS = "which can run any code"


@cache
def good() -> dict[str, bytes]:
    """The members of a small model's file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.keras"
        keras.Sequential([keras.Input((4,)), L.Dense(2, activation="relu")]).save(path)
        with zipfile.ZipFile(path) as file:
            return {name: file.read(name) for name in file.namelist()}


def written(place, members, *more, name="mine.keras", pack=zipfile.ZIP_STORED):
    path = place.folder / name
    with zipfile.ZipFile(path, "w", pack) as file:
        for member, content in (*members.items(), *more):
            file.writestr(member, content)
    return path


def unsafe(path):
    return keras.saving.load_model(path, safe_mode=False)(np.ones((1, 4), np.float32))


def with_config(place, old, new):
    text = good()["config.json"].decode()
    assert old in text
    return written(place, {**good(), "config.json": text.replace(old, new)})


def with_activation(value):
    """`value` gives, for the canary, what stands in the place of the activation."""
    return lambda place: with_config(
        place, ACTIVATION, f'"activation": {json.dumps(value(place.canary))}'
    )


def with_layer(layer):
    """`layer` gives, for a place, the config of a layer behind the others."""

    def make(place):
        config = json.loads(good()["config.json"])
        config["config"]["layers"].append(layer(place))
        return written(place, {**good(), "config.json": json.dumps(config)})

    return make


def writing(canary):
    """A function that makes a file where none may be."""
    return eval(f"lambda x: (open({str(canary.folder / 'ran')!r}, 'w').close(), x)[1]")


def stored_lambda(place):
    layer = L.Lambda(writing(place.canary), output_shape=(2,))
    return keras.saving.serialize_keras_object(layer)


def stored_function(canary):
    return {"class_name": "__lambda__", "config": {"value": func_dump(writing(canary))}}


def inside(outer):
    def layer(place):
        wrapper = keras.saving.serialize_keras_object(outer(L.Dense(2)))
        wrapper["config"]["layer"] = stored_lambda(place)
        return wrapper

    return layer


def nested(place):
    model = json.loads(good()["config.json"])
    model["config"]["layers"].append(stored_lambda(place))
    return model


def of_class(module, class_name, /, **config):
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def function(module, name):
    return lambda canary: {"module": module, "class_name": "function", "config": name}


def saved_model_layer(module="keras.layers", name="TFSMLayer"):
    def layer(place):
        made, target = tf.Module(), str(place.canary.folder / "ran")

        @tf.function(input_signature=[tf.TensorSpec((None, 2))])
        def serve(x):
            with tf.control_dependencies([tf.io.write_file(target, "x")]):
                return tf.identity(x)

        made.serve = serve
        folder = str(place.folder / "served")
        tf.saved_model.save(made, folder, signatures={"serve": serve})
        return of_class(module, name, filepath=folder, call_endpoint="serve", name="served")

    return layer


def looked_up(kind):
    def layer(place):
        return of_class(
            "keras.layers", kind, name="l", dtype="string", vocabulary=str(place.canary.secret)
        )

    return layer


def own_module(place):
    """A class of a module that lies about: importing it makes the file."""
    code = f"open({str(place.canary.folder / 'ran')!r}, 'w').close()\nclass Evil: pass\n"
    (place.folder / "evil_module.py").write_text(code)
    return of_class("evil_module", "Evil")


def weights(fill):
    def make(place):
        stream = io.BytesIO(good()["model.weights.h5"])
        with h5py.File(stream, "r+") as file:
            fill(file, str(place.canary.secret))
        return written(place, {**good(), "model.weights.h5": stream.getvalue()})

    return make


def external_link(file, secret):
    file["layers/link"] = h5py.ExternalLink(secret, "/x")


def external_storage(file, secret):
    file.create_dataset("layers/raw", (64,), "f4", external=[(secret, 0, 256)])


def virtual(file, secret):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource(secret, "x", (3,))
    file.create_virtual_dataset("layers/virtual", layout)


def huge(file, secret):
    file.create_dataset("layers/huge", (1 << 32,), "f4", chunks=(1 << 20,), compression="gzip")


def reads_weights(path):
    copy = path.with_name("weights.h5")
    with zipfile.ZipFile(path) as file:
        copy.write_bytes(file.read("model.weights.h5"))
    with suppress(KeyError, OSError), h5py.File(copy) as file:
        members = [file[f"layers/{name}"] for name in file["layers"]]
        return [item[:1] for item in members if isinstance(item, h5py.Dataset)]


L2 = '"kernel_regularizer": null'
KINDS = {
    "a Lambda": HostileFile(with_layer(stored_lambda), f"holds Lambda, {RUNS}", unsafe),
    "a Lambda for an activation": HostileFile(
        with_activation(stored_function),
        f"holds Lambda, {RUNS}",
        unsafe,
    ),
    "a Lambda for a regularizer": HostileFile(
        lambda p: with_config(
            p, L2, f'"kernel_regularizer": {json.dumps(stored_function(p.canary))}'
        ),
        f"holds Lambda, {RUNS}",
    ),
    "a Lambda in a model inside": HostileFile(with_layer(nested), f"holds Lambda, {RUNS}"),
    "a Lambda in TimeDistributed": HostileFile(
        with_layer(inside(L.TimeDistributed)), f"holds Lambda, {RUNS}"
    ),
    "a SavedModel as a layer": HostileFile(
        with_layer(saved_model_layer()), f"holds TFSMLayer, {RUNS}", unsafe
    ),
    "a SavedModel as a layer by another name": HostileFile(
        with_layer(saved_model_layer("keras", "layers.TFSMLayer")), f"holds .*TFSMLayer, {RUNS}"
    ),
    "a module of PyTorch": HostileFile(
        with_layer(lambda p: of_class("keras.layers", "TorchModuleWrapper", module="gASVAAAA")),
        f"holds TorchModuleWrapper, {RUNS}",
    ),
    "a function of JAX": HostileFile(
        with_layer(lambda p: of_class("keras.layers", "JaxLayer")), f"holds JaxLayer, {RUNS}"
    ),
    "os.system": HostileFile(with_activation(function("os", "system")), f"holds system, {RUNS}"),
    "__import__": HostileFile(
        with_activation(function("builtins", "__import__")), f"holds __import__, {RUNS}"
    ),
    "a download": HostileFile(
        with_activation(function("keras.utils", "get_file")), f"holds get_file, {RUNS}"
    ),
    "a class of a module beside it": HostileFile(with_layer(own_module), f"holds Evil, {RUNS}"),
    "a registered class": HostileFile(
        with_layer(lambda p: {**of_class("keras.layers", "ReLU"), "registered_name": "a>Evil"}),
        f"holds a>Evil, {RUNS}",
    ),
    "words from a file": HostileFile(
        with_layer(looked_up("StringLookup")),
        "reads .*secret.bin when it is loaded",
    ),
    "text from a file": HostileFile(
        with_layer(looked_up("TextVectorization")), "reads .*secret.bin when it is loaded"
    ),
    "weights behind an external link": HostileFile(
        weights(external_link), "has weights that are a link", reads_weights
    ),
    "weights stored in another file": HostileFile(
        weights(external_storage), "has weights in another file", reads_weights
    ),
    "weights that are virtual": HostileFile(
        weights(virtual), "has weights in another file", reads_weights
    ),
    "weights of 16 GB": HostileFile(weights(huge), "declares weights of 17,179,869"),
}
