"""Writes the standard metadata of a TFLite file, which Android's task library reads.

`ModelMetadata` of https://github.com/tensorflow/tflite-support, metadata_schema.fbs. A field is
named by its slot: its place in the table as the schema lists it; a union takes two.
"""

import zipfile
from collections.abc import Mapping
from io import BytesIO

import flatbuffers
from flatbuffers.number_types import Float32Flags, Uint8Flags, Uint32Flags

from export.formats.contract import LABELS_FILE_NAME, Contract, labels_text

ENTRY = "TFLITE_METADATA"
IDENTIFIER = b"M001"
PARSER_VERSION = "1.0.0"  # the schema's first, which has all fields below
TENSOR_AXIS_LABELS = 2
FEATURE_PROPERTIES, IMAGE_PROPERTIES = 1, 2
NORMALIZATION_OPTIONS = 1
READABLE = 0o644
COLOUR = {"rgb": 1, "grey": 2}


def model_metadata(contract: Contract) -> bytes:
    """The content of the entry: one image in, one vector of probabilities with its labels out."""
    writer = _Writer()
    subgraph = writer.table(
        {
            2: writer.vector_of(_image(writer, contract)),
            3: writer.vector_of(_probabilities(writer, contract)),
        }
    )
    height, width, _ = contract.input.shape
    about = f"{len(contract.output.labels)} labels, images of {width} x {height} pixels"
    model = writer.table(
        {
            0: writer.CreateString("Image classifier"),
            1: writer.CreateString(about),
            2: writer.CreateString(contract.model_key),
            3: writer.vector_of(subgraph),
            7: writer.CreateString(PARSER_VERSION),
        }
    )
    writer.Finish(model, IDENTIFIER)
    return bytes(writer.Output())


def _image(writer: "_Writer", contract: Contract) -> int:
    """Its normalisation has mean 0 and deviation 1: the pixels are to be left as they are."""
    height, width, _ = contract.input.shape
    size = writer.table(sizes={0: width, 1: height})
    colour = writer.table({1: size}, kinds={0: COLOUR[contract.input.colour]})
    normalization = writer.table({0: writer.floats(0.0), 1: writer.floats(1.0)})
    unit = writer.table({1: normalization}, kinds={0: NORMALIZATION_OPTIONS})
    least, most = contract.input.value_range
    return writer.table(
        {
            0: writer.CreateString(contract.input.name),
            3: writer.table({1: colour}, kinds={0: IMAGE_PROPERTIES}),
            4: writer.vector_of(unit),
            5: _stats(writer, least, most),
        }
    )


def _probabilities(writer: "_Writer", contract: Contract) -> int:
    labels = writer.table({0: writer.CreateString(LABELS_FILE_NAME)}, kinds={2: TENSOR_AXIS_LABELS})
    return writer.table(
        {
            0: writer.CreateString(contract.output.name),
            3: writer.table({1: writer.table()}, kinds={0: FEATURE_PROPERTIES}),
            5: _stats(writer, 0, 1),
            6: writer.vector_of(labels),
        }
    )


def _stats(writer: "_Writer", least: float, most: float) -> int:
    return writer.table({0: writer.floats(most), 1: writer.floats(least)})


class _Writer(flatbuffers.Builder):
    """A FlatBuffers builder with tables by slot; offsets are what it calls places of objects."""

    def table(
        self,
        offsets: Mapping[int, int] | None = None,
        *,
        kinds: Mapping[int, int] | None = None,
        sizes: Mapping[int, int] | None = None,
    ) -> int:
        """Writes a table of objects written before, of enum values and of unsigned numbers."""
        offsets, kinds, sizes = offsets or {}, kinds or {}, sizes or {}
        self.StartObject(1 + max((*offsets, *kinds, *sizes), default=-1))
        for slot, offset in offsets.items():
            self.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, number in sizes.items():
            self.PrependSlot(Uint32Flags, slot, number, 0)
        for slot, kind in kinds.items():
            self.PrependSlot(Uint8Flags, slot, kind, 0)
        return int(self.EndObject())

    def vector_of(self, offset: int) -> int:
        """Writes a vector of one object."""
        self.StartVector(4, 1, 4)
        self.PrependUOffsetTRelative(offset)
        return int(self.EndVector())

    def floats(self, value: float) -> int:
        """Writes a vector of one number."""
        self.StartVector(4, 1, 4)
        self.Prepend(Float32Flags, value)
        return int(self.EndVector())


def with_labels(model: bytes, contract: Contract) -> bytes:
    """Appends `labels.txt` as an archive: a TFLite file ends where its FlatBuffer says.

    Stored, as the task library does not inflate, and without the time of day.
    """
    file, entry = BytesIO(model), zipfile.ZipInfo(LABELS_FILE_NAME)
    entry.external_attr = READABLE << 16
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(entry, labels_text(contract.output.labels))
    return file.getvalue()


def attached_labels(model: bytes) -> bytes | None:
    """The content of `labels.txt` at the end of a file; none if there is none."""
    if not zipfile.is_zipfile(BytesIO(model)):
        return None
    with zipfile.ZipFile(BytesIO(model)) as archive:
        if LABELS_FILE_NAME not in archive.namelist():
            return None
        return archive.read(LABELS_FILE_NAME)
