"""What is fuzzed: a good file of each kind, and how the program reads one that is not."""

import gzip
import hashlib
import io
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from export.formats import contract
from export.formats.tensors import TensorType
from pipeline.config.loading import load_config
from pipeline.core.errors import PipelineError
from pipeline.core.plugins import ROOT
from pipeline.data.sources import csv, idx, image_folder, npz
from pipeline.training.checkpoint import Checkpoint, State, decode, encode

IMAGES = np.arange(6 * 3 * 2, dtype=np.uint8).reshape(6, 3, 2)
LABELS = np.array([2, 0, 1, 2, 0, 1], np.uint8)
IDX = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
PICTURES = ("a/1.png", "a/2.png", "b/3.png", "b/4.png")
TABLE = "label,p0,p1,p2,p3\n" + "".join(f"{n % 2},{n},0,0,{n}\n" for n in range(6))
PATHS = "file,label\n" + "".join(f"{name},{name[0]}\n" for name in PICTURES)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        content: of a good one.
        read: reads one as the program does; takes the folder of the test and the bytes.
        refuses: what may be raised besides PipelineError.
    """

    content: bytes
    read: Callable[[Path, bytes], object]
    refuses: tuple[type[Exception], ...] = ()

    def refusal(self, folder: Path, content: bytes) -> list[str] | None:
        """What is said of the bytes; None where they are taken."""
        try:
            self.read(folder, content)
        except PipelineError as error:
            return [str(line) for line in error.args]
        except self.refuses as error:
            return [str(error).replace("\n", " ")]
        return None


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def png(value: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), value).save(buffer, "PNG")
    return buffer.getvalue()


def _idx_bytes(values: np.ndarray) -> bytes:
    return (
        struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape) + values.tobytes()
    )


def _read_idx(which: int, packed: bool) -> Callable[[Path, bytes], object]:
    parts = (IMAGES[:4], LABELS[:4], IMAGES[4:], LABELS[4:])

    def read(folder: Path, content: bytes) -> object:
        for name, values in zip(IDX, parts, strict=True):
            if not (folder / f"{name}-ubyte.gz").exists():
                written(folder, f"{name}-ubyte.gz", _idx_bytes(values))
        mine = gzip.compress(content, 1) if packed else content
        written(folder, f"{IDX[which]}-ubyte.gz", mine)
        return idx.load(idx.Options(folder=folder))

    return read


def _npz() -> bytes:
    buffer = io.BytesIO()
    halves = {"x_train": IMAGES[:4], "y_train": LABELS[:4], "x_test": IMAGES[4:]}
    np.savez(buffer, **halves, y_test=LABELS[4:])
    return buffer.getvalue()


def _read_npz(folder: Path, content: bytes) -> object:
    return npz.load(npz.Options(file=written(folder, "data.npz", content)))


def _read_csv(folder: Path, content: bytes) -> object:
    table = written(folder, "data.csv", content)
    return csv.load(csv.Options(train_file=table, test_fraction=0.5))


def _read_paths(folder: Path, content: bytes) -> object:
    for name in PICTURES:
        written(folder, name, png())
    table = written(folder, "data.csv", content)
    options = csv.Options(train_file=table, path_column="file", test_fraction=0.5)
    options.outside_files()
    return csv.load(options)


def _checkpoint() -> bytes:
    states = {
        "network": State(arrays=[np.arange(6, dtype=np.float32).reshape(2, 3)]),
        "best": State({"score": 1 / 3}),
    }
    return encode(Checkpoint("this", "here", 1, 4, states))


def _read_resealed_checkpoint(folder: Path, content: bytes) -> object:
    """With the digest of what is there, so that it is parsed."""
    body = content[:-64]
    return decode(body + hashlib.sha256(body).hexdigest().encode())


def _contract() -> bytes:
    numbers = TensorType("float32", None, None)
    made = contract.Contract(
        contract.image_input((4, 4, 1), "dark"),
        contract.output(["a", "b"]),
        {"onnx": contract.FormatContract("model.onnx", "N", numbers, numbers)},
        "0" * 16,
        "1" * 16,
        {"onnx": "1"},
    )
    return contract.to_json(made).encode()


def _read_contract(folder: Path, content: bytes) -> object:
    written(folder, contract.FILE_NAME, content)
    return contract.read(folder)


def _read_config(folder: Path, content: bytes) -> object:
    return load_config(written(folder, "some.yaml", content), ())


KINDS = {
    "idx images": Kind(_idx_bytes(IMAGES[:4]), _read_idx(0, packed=True)),
    "idx labels": Kind(_idx_bytes(LABELS[:4]), _read_idx(1, packed=True)),
    "idx archive": Kind(gzip.compress(_idx_bytes(IMAGES[:4])), _read_idx(0, packed=False)),
    "npz": Kind(_npz(), _read_npz),
    "csv of pixels": Kind(TABLE.encode(), _read_csv),
    "csv of paths": Kind(PATHS.encode(), _read_paths),
    "config": Kind((ROOT / "configs" / "mnist.yaml").read_bytes(), _read_config),
    "contract": Kind(_contract(), _read_contract),
    "checkpoint": Kind(_checkpoint(), lambda folder, content: decode(content), (ValueError,)),
    "resealed checkpoint": Kind(_checkpoint(), _read_resealed_checkpoint, (ValueError,)),
}


def changed(content: bytes) -> st.SearchStrategy[bytes]:
    """The content with some pieces replaced, or others altogether."""
    changes = st.tuples(st.integers(0, len(content)), st.integers(0, 16), st.binary(max_size=8))

    def apply(pieces: list[tuple[int, int, bytes]]) -> bytes:
        found = content
        for start, length, new in pieces:
            found = found[:start] + new + found[start + length :]
        return found

    several = st.lists(changes, min_size=1, max_size=4).map(apply)
    return (
        several | st.integers(0, len(content)).map(lambda n: content[:n]) | st.binary(max_size=99)
    )


def images_in(folder: Path, files: dict[str, bytes]) -> None:
    """Lists a folder of pictures, as ingest would."""
    options = image_folder.Options(folder=folder, test_fraction=0.5)
    for name, content in files.items():
        with suppress(OSError, ValueError):  # a name that no file can have
            written(folder, name, content)
    with suppress(PipelineError):
        options.outside_files()
        image_folder.load(options)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def paths_in(values: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of each key and list item."""
    pairs = values.items() if isinstance(values, dict) else enumerate(values)
    found = []
    for key, value in pairs:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += paths_in(value, (*path, key))
    return found


def replaced(values: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of plain data with another value at a path."""
    copy = json.loads(json.dumps(values))
    place = copy
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = new
    return copy
