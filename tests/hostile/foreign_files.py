"""Configs, data, checkpoints and golden folders that try to reach a canary."""

import gzip
import hashlib
import io
import json
import os
import pickle
import tarfile
import zipfile

import numpy as np
import yaml

from pipeline.training.checkpoint import DIGEST_LENGTH, FILE_NAME, VALUES
from tests.hostile.canary import HostileFile
from tests.hostile.npz_files import ARRAYS, encoded, headed


class Makes:
    """Makes a folder when it is unpickled."""

    def __init__(self, canary):
        self._path = str(canary.folder / "ran")

    def __reduce__(self):
        return os.mkdir, (self._path,)


def text(name, content):
    """`content` gives, for a canary, the text of the file."""

    def make(place):
        path = place.folder / name
        path.write_text(content(place.canary))
        return path

    return make


def config(content):
    return text("some.yaml", lambda c: f"data: {content(c)}\n")


def loads_yaml(path):
    with path.open() as file:
        return yaml.load(file, Loader=yaml.UnsafeLoader)


def calling(c):
    return f"!!python/object/apply:os.mkdir [{json.dumps(str(c.folder / 'ran'))}]"


def importing(c):
    """YAML's `module` tag imports; the code that it would find lies beside the file."""
    return "!!python/module:evil_module"


TAGS = r":\d+: tags \(!name\) are not supported"
YAML = {
    "calls a function": HostileFile(config(calling), TAGS, loads_yaml),
    "makes an object": HostileFile(config(lambda c: calling(c).replace("apply", "new")), TAGS),
    "names a function": HostileFile(config(lambda c: "!!python/name:os.system"), TAGS),
    "imports a module": HostileFile(config(importing), TAGS),
    "calls in a key": HostileFile(config(lambda c: f"\n  ? {calling(c)}\n  : x"), TAGS, loads_yaml),
    "calls in a list": HostileFile(config(lambda c: f"[a, {calling(c)}]"), TAGS, loads_yaml),
    "calls under an alias": HostileFile(
        config(lambda c: f"&x {calling(c)}\nmodel: *x"), TAGS, loads_yaml
    ),
    "calls behind a second key": HostileFile(
        config(lambda c: f"a\ndata: {calling(c)}"), TAGS, loads_yaml
    ),
}


def npz(*more, **changes):
    """`changes` give, for a canary, the bytes of an array; `more` are other members."""

    def make(place):
        path = place.folder / "data.npz"
        with zipfile.ZipFile(path, "w") as file:
            for name, values in ARRAYS.items():
                content = changes[name](place.canary) if name in changes else encoded(values)
                file.writestr(f"{name}.npy", content)
            for member in more:
                file.writestr(member(place.canary), b"x")
        return path

    return make


def pickled_array(canary):
    return encoded(np.array([Makes(canary), None], object))


def code_in_header(canary):
    return headed(f"__import__('os').mkdir({str(canary.folder / 'ran')!r})")


def loads_npz(path):
    with np.load(path, allow_pickle=True) as arrays:
        return arrays["x_train"]


def evaluates_header(path):
    """As NumPy itself did before 1.x held headers against a grammar."""
    with zipfile.ZipFile(path) as file:
        return eval(file.read("x_train.npy")[10:-24].decode())


def of_bytes(name, content):
    def make(place):
        path = place.folder / name
        path.write_bytes(content(place.canary))
        return path

    return make


def pickle_of(canary):
    return pickle.dumps(Makes(canary), protocol=4)


def unpickles(path):
    content = path.read_bytes()
    return pickle.loads(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)


def tar(kind, name="ran", compression="w"):
    """An archive of one member in the canary's folder."""

    def content(canary):
        stream = io.BytesIO()
        member = tarfile.TarInfo(f"{'../' * 2}{canary.folder.name}/{name}")
        member.type, member.linkname = kind, str(canary.secret)
        with tarfile.open(fileobj=stream, mode=compression) as file:
            file.addfile(member)
        return stream.getvalue()

    return content


def untars(path):
    inner = path.parent / "in"
    inner.mkdir()
    with tarfile.open(path) as file:
        file.extractall(inner, filter="fully_trusted")


NOT_NPZ = r"no whole \.npz archive "
DATA = {
    ("npz", "pickles for images"): HostileFile(
        npz(x_train=pickled_array), "array 'x_train' holds Python objects", loads_npz
    ),
    ("npz", "a header that is code"): HostileFile(
        npz(x_train=code_in_header), "array 'x_train' has no header", evaluates_header
    ),
    ("npz", "a pickle"): HostileFile(
        of_bytes("data.npz", pickle_of), rf"{NOT_NPZ}\(a pickle", unpickles
    ),
    ("npz", "a tar archive that climbs out"): HostileFile(
        of_bytes("data.npz", tar(tarfile.REGTYPE)), rf"{NOT_NPZ}\(a tar archive", untars
    ),
    ("npz", "a tar archive with a link"): HostileFile(
        of_bytes("data.npz", tar(tarfile.SYMTYPE)), rf"{NOT_NPZ}\(a tar archive", untars
    ),
    ("npz", "a tar archive with a device"): HostileFile(
        of_bytes("data.npz", tar(tarfile.FIFOTYPE)), rf"{NOT_NPZ}\(a tar archive", untars
    ),
    ("idx", "a packed pickle"): HostileFile(
        of_bytes("train-images-idx3-ubyte.gz", lambda c: gzip.compress(pickle_of(c))),
        "a pickle of Python objects, expected IDX", unpickles,
    ),
    ("idx", "a packed tar archive that climbs out"): HostileFile(
        of_bytes("train-images-idx3-ubyte.gz", tar(tarfile.REGTYPE, compression="w:gz")),
        "a tar archive, expected IDX", untars,
    ),
    ("idx", "a packed tar archive with a link"): HostileFile(
        of_bytes("train-images-idx3-ubyte.gz", tar(tarfile.SYMTYPE, compression="w:gz")),
        "a tar archive, expected IDX", untars,
    ),
    ("idx", "a packed tar archive with a device"): HostileFile(
        of_bytes("train-images-idx3-ubyte.gz", tar(tarfile.FIFOTYPE, compression="w:gz")),
        "a tar archive, expected IDX", untars,
    ),
}  # fmt: skip
HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"
POINTER = b"version https://git-lfs\noid sha256:0\nsize 11594722\n"
XML = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'
INSTEAD = {"a web page": HTML, "a pointer of Git LFS": POINTER, "an XML message": XML}


def checkpoint(values, array):
    """A checkpoint whose own SHA-256 is right."""

    def content(canary):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            file.comment = bytes(DIGEST_LENGTH)
            file.writestr(VALUES, json.dumps(values))
            file.writestr("network/0.npy", array(canary))
        body = buffer.getvalue()[:-DIGEST_LENGTH]
        return body + hashlib.sha256(body).hexdigest().encode()

    return of_bytes(FILE_NAME, content)


def one(canary):
    return encoded(np.ones(1))


def loads_pickles(path):
    with np.load(path, allow_pickle=True) as arrays:
        return arrays["network/0"]


WHOLE = {
    "fingerprint": "f", "machine": "m", "epoch": 1, "step": 0,
    "states": {"network": [{}, 1]}, "moment": "2026-01-01T00:00:00",
}  # fmt: skip
CHECKPOINTS = {
    "a pickle for weights": HostileFile(
        checkpoint(WHOLE, pickled_array), "Object arrays cannot be loaded", loads_pickles
    ),
    "weights of 8 EB": HostileFile(
        checkpoint(WHOLE, lambda c: headed(
            "{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846975,), }"
        )),
        "it holds no checkpoint|cannot",
    ),
    "values that are a list": HostileFile(checkpoint([], one), "holds no checkpoint"),
    "no moment": HostileFile(
        checkpoint({**WHOLE, "moment": 3}, one), "holds no checkpoint"
    ),
}  # fmt: skip


def golden(change):
    """A golden folder for a model of four pixels and two classes, but for a change."""

    def make(place):
        files = {"inputs/float32.bin": np.ones((2, 2, 2, 1), "<f4").tobytes()}
        files["expected/onnx.bin"] = np.full((2, 2), 0.5, "<f4").tobytes()
        entry = {"tolerance": 1e-5, "runtime": "r"}
        for end, name, shape in (
            ("input", "inputs/float32.bin", [2, 2, 2, 1]), ("output", "expected/onnx.bin", [2, 2])
        ):  # fmt: skip
            path = place.folder / name
            path.parent.mkdir()
            path.write_bytes(files[name])
            digest = hashlib.sha256(files[name]).hexdigest()
            entry[end] = {"file": name, "sha256": digest, "dtype": "float32", "shape": shape}
        listed = {"file": "inputs/float32.bin", "sha256": entry["input"]["sha256"]}
        record = {
            "schema": 1, "model_key": "k", "formats": {"onnx": entry}, "images": [listed, listed]
        }  # fmt: skip
        change(record, place)
        (place.folder / "golden.json").write_text(json.dumps(record))
        return place.folder

    return make


def secret_input(name):
    def change(record, place):
        found = record["formats"]["onnx"]["input"]
        found["file"] = name(place)
        found["sha256"] = hashlib.sha256(place.canary.secret.read_bytes()).hexdigest()

    return change


def linked_input(record, place):
    path = place.folder / "inputs" / "float32.bin"
    path.unlink()
    path.symlink_to(place.canary.secret)


def looped_input(record, place):
    path = place.folder / "inputs" / "float32.bin"
    path.unlink()
    path.symlink_to(path)


def reads_input(folder):
    record = json.loads((folder / "golden.json").read_text())
    return (folder / record["formats"]["onnx"]["input"]["file"]).read_bytes()


def setting(end, key, value):
    return lambda record, place: record["formats"]["onnx"][end].update({key: value})


OUTSIDE = "golden.json: names .* outside of it"
GOLDEN = {
    "a file that climbs out": HostileFile(
        golden(secret_input(lambda p: "../canary/secret.bin")), OUTSIDE, reads_input
    ),
    "a file from the root": HostileFile(
        golden(secret_input(lambda p: str(p.canary.secret))), OUTSIDE, reads_input
    ),
    "a file that is a link": HostileFile(golden(linked_input), OUTSIDE, reads_input),
    "numbers that are objects": HostileFile(
        golden(setting("input", "dtype", "object")), r"formats.onnx.input.dtype: input should be"
    ),
    "a giant shape": HostileFile(
        golden(setting("output", "shape", [2, 10**18])), r"onnx.bin: has 16 bytes, but golden.json"
    ),
    "a negative size": HostileFile(
        golden(setting("output", "shape", [2, -1])), r"output.shape.1: "
    ),
    "answers that are pictures": HostileFile(
        golden(setting("output", "shape", [2, 1, 1, 2])),
        "output.shape: tuple should have at most 2",
    ),
    "a loop of links": HostileFile(golden(looped_input), "float32.bin: missing, though"),
    "no formats": HostileFile(
        golden(lambda r, p: r.pop("formats")), "golden.json: formats: field required"
    ),
    "fewer images": HostileFile(golden(lambda r, p: r["images"].pop()), "for 1 images"),
}
