"""What a completed TFLite file carries, read with FlatBuffers' own accessors and by runtimes."""

import subprocess
import sys
import zipfile
from dataclasses import replace

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.schema_py_generated import Model
from flatbuffers.number_types import Float32Flags, Int8Flags, Uint8Flags, Uint32Flags, UOffsetTFlags

from export.formats import contract
from export.formats.format import formats
from export.tflite import metadata
from export.tflite.complete import complete
from export.tflite.flatbuffer import attached, parse
from export.tflite.pack import pack

NAMES = [name for name in formats() if name.startswith("tflite")]


class Table:
    """A FlatBuffers table read by the slots of metadata_schema.fbs, without our own writer."""

    def __init__(self, content, position):
        self._table = flatbuffers.table.Table(content, position)

    @classmethod
    def root(cls, content):
        return cls(content, flatbuffers.encode.Get(UOffsetTFlags.packer_type, content, 0))

    def _at(self, slot):
        return self._table.Offset(4 + 2 * slot)

    def text(self, slot):
        return self._table.String(self._at(slot) + self._table.Pos).decode()

    def number(self, slot, kind=Int8Flags):
        return self._table.Get(kind, self._at(slot) + self._table.Pos)

    def table(self, slot):
        position = self._table.Indirect(self._at(slot) + self._table.Pos)
        return Table(self._table.Bytes, position)

    def floats(self, slot):
        start, count = self._table.Vector(self._at(slot)), self._table.VectorLen(self._at(slot))
        return [self._table.Get(Float32Flags, start + 4 * i) for i in range(count)]

    def only(self, slot):
        """The one table of a vector."""
        assert self._table.VectorLen(self._at(slot)) == 1
        return Table(self._table.Bytes, self._table.Indirect(self._table.Vector(self._at(slot))))


@pytest.fixture(params=["grey", "rgb"])
def promised(request, exported):
    return replace(exported.contract, input=replace(exported.contract.input, colour=request.param))


def test_the_metadata_says_how_to_feed_the_model(promised):
    content = metadata.model_metadata(promised)
    assert content[4:8] == b"M001"
    model = Table.root(content)
    assert (model.text(2), model.text(7)) == (promised.model_key, "1.0.0")
    image = model.only(3).only(2)
    assert image.text(0) == "image"
    kind, properties = image.table(3).number(0, Uint8Flags), image.table(3).table(1)
    assert kind == 2  # ContentProperties.ImageProperties
    assert properties.number(0) == {"rgb": 1, "grey": 2}[promised.input.colour]
    assert [properties.table(1).number(slot, Uint32Flags) for slot in (0, 1)] == [10, 12]
    unit = image.only(4)
    assert unit.number(0, Uint8Flags) == 1  # ProcessUnitOptions.NormalizationOptions
    assert (unit.table(1).floats(0), unit.table(1).floats(1)) == ([0.0], [1.0])
    assert (image.table(5).floats(0), image.table(5).floats(1)) == ([255.0], [0.0])


def test_the_metadata_says_where_the_labels_are(promised):
    given = Table.root(metadata.model_metadata(promised)).only(3).only(3)
    assert given.text(0) == "probabilities"
    assert given.table(3).number(0, Uint8Flags) == 1  # ContentProperties.FeatureProperties
    assert (given.table(5).floats(0), given.table(5).floats(1)) == ([1.0], [0.0])
    assert given.only(6).text(0) == "labels.txt"
    assert given.only(6).number(2) == 2  # AssociatedFileType.TENSOR_AXIS_LABELS


@pytest.mark.parametrize("name", NAMES)
def test_the_labels_are_attached_as_an_archive_and_not_compressed(exported, name):
    with zipfile.ZipFile(exported.path(name)) as archive:
        (entry,) = archive.infolist()
        assert (entry.filename, entry.compress_type) == ("labels.txt", zipfile.ZIP_STORED)
        labels = archive.read("labels.txt").decode("utf-8")
    assert (
        labels == (exported.folder / "labels.txt").read_text("utf-8") == "ein\nzwei\ndrei\nfünf\n"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_the_same_whenever_it_is_completed(exported, name):
    model = pack(parse(exported.path(name).read_bytes()))
    text = contract.to_json(exported.contract)
    assert complete(model, text) == complete(model, text)


@pytest.mark.parametrize("name", NAMES)
def test_weights_start_at_multiples_of_16_bytes(exported, name):
    assert set(data_starts(exported.path(name).read_bytes())) == {0}


def test_the_generated_code_alone_would_not_align_them(exported):
    """So the test above can fail; without this the class that aligns could go."""
    model, builder = parse(exported.path("tflite_float32").read_bytes()), flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    assert set(data_starts(bytes(builder.Output()))) != {0}


def data_starts(content):
    model = Model.GetRootAs(content, 0)
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            table = buffer._tab
            yield table.Vector(table.Offset(4)) % 16


@pytest.mark.parametrize("name", NAMES)
def test_what_is_attached_changes_no_answer_in_litert(exported, name, tmp_path):
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(without_notes(exported.path(name)))
    image = exported.images[:1]
    assert np.array_equal(by_litert(bare, image), by_litert(exported.path(name), image))


def by_litert(path, image):
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(taken["index"], image.astype(taken["dtype"]))
    interpreter.invoke()
    return interpreter.get_tensor(given["index"])


TFLM = """
import sys, numpy
from tflite_micro import runtime
interpreter = runtime.Interpreter.from_file(sys.argv[1])
interpreter.set_input(numpy.load(sys.argv[2]), 0)
interpreter.invoke()
numpy.save(sys.argv[3], interpreter.get_output(0))
"""


@pytest.mark.tflite_micro
def test_tensorflow_lite_micro_reads_the_completed_file(exported, tmp_path):
    """In a process of its own: two copies of TensorFlow Lite in one do not mix."""
    np.save(tmp_path / "image.npy", exported.images[:1])
    path, given = exported.path("tflite_int8"), tmp_path / "given.npy"
    subprocess.run(
        [sys.executable, "-c", TFLM, path, tmp_path / "image.npy", given],
        check=True,
        capture_output=True,
    )
    difference = np.load(given).astype(int) - by_litert(path, exported.images[:1])
    assert np.abs(difference).max() <= 1


def test_contract_metadata_and_labels_take_less_than_3_kb(exported):
    path = exported.path("tflite_int8")
    assert path.stat().st_size - len(without_notes(path)) < 3000


def without_notes(path):
    model = parse(path.read_bytes())
    model.buffers = model.buffers[: 1 + max(t.buffer for t in model.subgraphs[0].tensors)]
    model.metadata = []
    return pack(model)


def test_a_file_without_a_contract_is_told_so(exported):
    bare = parse(without_notes(exported.path("tflite_int8")))
    with pytest.raises(ValueError, match=r"carries no evenkeel\.contract"):
        attached(bare, "evenkeel.contract")


def test_a_file_without_an_archive_has_no_labels(exported):
    assert metadata.attached_labels(without_notes(exported.path("tflite_int8"))) is None
