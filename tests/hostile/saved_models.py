"""SavedModels that reach for files or run Python when they are loaded or asked."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests.hostile.canary import HostileFile

SHAPE = (None, 2, 2, 1)
BEYOND = "has operators that reach beyond their numbers "


@cache
def plain() -> saved_model_pb2.SavedModel:
    with TemporaryDirectory() as folder:
        save(Path(folder), probabilities)
        return saved_model_pb2.SavedModel.FromString((Path(folder) / "saved_model.pb").read_bytes())


def probabilities(image):
    return tf.zeros((tf.shape(image)[0], 4))


def save(folder, answer):
    made = tf.Module()
    signature = [tf.TensorSpec(SHAPE, tf.float32, name="image")]
    made.f = tf.function(lambda image: {"probabilities": answer(image)}, input_signature=signature)
    tf.saved_model.save(made, str(folder), signatures={"serving_default": made.f})


def doing(act):
    """A SavedModel that does something with the canary on the way to each answer."""

    def make(place):
        def answer(image):
            with tf.control_dependencies([act(place.canary)]):
                return tf.identity(probabilities(image))

        save(place.folder / "saved_model" / "1", answer)
        return place.folder / "saved_model"

    return make


def using(number):
    """A SavedModel whose answers rest on a number that the canary gives."""

    def make(place):
        save(
            place.folder / "saved_model" / "1",
            lambda image: probabilities(image) + 0 * tf.cast(number(place.canary), tf.float32),
        )
        return place.folder / "saved_model"

    return make


def table(canary):
    """A table of the words of a file."""
    made = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
    return tf.raw_ops.InitializeTableFromTextFileV2(
        table_handle=made, filename=str(canary.secret), key_index=-2, value_index=-1
    )


def python(canary):
    return tf.py_function(lambda: canary.secret.read_bytes()[:0], [], tf.string)


def mapped(canary):
    return tf.raw_ops.ImmutableConst(
        dtype=tf.float32, shape=[4], memory_region_name=str(canary.secret)
    )


def changed(change):
    """A SavedModel whose protobuf is changed by hand."""

    def make(place):
        folder = place.folder / "saved_model" / "1"
        save(folder, probabilities)
        model = saved_model_pb2.SavedModel()
        model.CopyFrom(plain())
        change(model.meta_graphs[0], folder, place.canary)
        (folder / "saved_model.pb").write_bytes(model.SerializeToString())
        return folder.parent

    return make


def saver_of(meta):
    node = meta.saver_def.restore_op_name
    (found,) = [n for n in meta.graph_def.node if n.name == node]
    return found.attr["f"].func.name


def with_writing_saver(meta, folder, canary):
    for function in meta.graph_def.library.function:
        if function.signature.name == saver_of(meta):
            function.node_def.add(name="evil", op="WriteFile")


def with_callable_saver(meta, folder, canary):
    meta.object_graph_def.concrete_functions[saver_of(meta)].SetInParent()


def with_answering_saver(meta, folder, canary):
    name = meta.saver_def.restore_op_name
    meta.signature_def["serving_default"].outputs["probabilities"].name = f"{name}:0"


def of_tensorflow_1(meta, folder, canary):
    meta.ClearField("object_graph_def")


def with_asset(meta, folder, canary):
    asset = meta.asset_file_def.add(filename="../../../canary/secret.bin")
    asset.tensor_info.name = "Const:0"


def with_linked_weights(meta, folder, canary):
    path = next((folder / "variables").glob("*.data-*"))
    path.unlink()
    path.symlink_to(canary.secret)


def with_second_graph(meta, folder, canary):
    (folder / "saved_model.pbtxt").write_text("meta_graphs {}")


def serves(path):
    model = tf.saved_model.load(path / "1")
    return model.signatures["serving_default"](image=np.ones((1, *SHAPE[1:]), np.float32))


KINDS = {
    "writes a file": HostileFile(
        doing(lambda c: tf.io.write_file(str(c.folder / "ran"), "x")),
        rf"{BEYOND}\(WriteFile", serves,
    ),
    "reads a file": HostileFile(
        using(lambda c: tf.strings.length(tf.io.read_file(str(c.secret)))),
        rf"{BEYOND}\(ReadFile", serves,
    ),
    "prints into a file": HostileFile(
        doing(lambda c: tf.print("x", output_stream=f"file://{c.folder}/ran")),
        rf"{BEYOND}\(PrintV2", serves,
    ),
    "runs Python": HostileFile(doing(python), rf"{BEYOND}\(EagerPyFunc", serves),
    "maps a file": HostileFile(using(mapped), rf"{BEYOND}\(ImmutableConst", serves),
    "looks for files": HostileFile(
        doing(lambda c: tf.io.matching_files(f"{c.folder}/*")), rf"{BEYOND}\(MatchingFiles"
    ),
    "reads a checkpoint": HostileFile(
        doing(lambda c: tf.raw_ops.RestoreV2(
            prefix=str(c.secret), tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
        )[0]),
        rf"{BEYOND}\(RestoreV2",
    ),
    "reads words into a table": HostileFile(doing(table), rf"{BEYOND}\(HashTableV2, Init", serves),
    "reads lines of a file": HostileFile(
        doing(lambda c: tf.data.TextLineDataset([str(c.secret)]).reduce(
            np.int64(0), lambda n, _: n + 1
        )),
        rf"{BEYOND}\(.*TextLineDataset", serves,
    ),
    "ends the process": HostileFile(
        doing(lambda c: tf.raw_ops.Abort(error_msg="x")), rf"{BEYOND}\(Abort"
    ),
    "writes when it is restored": HostileFile(
        changed(with_writing_saver), rf"{BEYOND}\(WriteFile"
    ),
    "offers its restoring": HostileFile(changed(with_callable_saver), "has operators that load"),
    "answers by restoring": HostileFile(changed(with_answering_saver), "has operators that load"),
    "runs at its start": HostileFile(changed(of_tensorflow_1), "is not a SavedModel of TensorFlow"),
    "brings a file that climbs out": HostileFile(changed(with_asset), "reads the file ../../.."),
    "has weights behind a link": HostileFile(
        changed(with_linked_weights), "has a link or a device inside"
    ),
    "has a second graph": HostileFile(changed(with_second_graph), "has a second graph"),
}  # fmt: skip
