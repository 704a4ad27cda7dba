"""NumPy archives that must be refused."""

import io
import struct
import warnings
import zipfile
import zlib
from functools import partial

import numpy as np

from tests.hostile.row import Hostile, deflated_zeros

IMAGES = np.arange(6 * 3 * 2, dtype=np.uint8).reshape(6, 3, 2)
LABELS = np.array([2, 0, 1, 2, 0, 1])
ARRAYS = {
    "x_train": IMAGES[:4], "y_train": LABELS[:4], "x_test": IMAGES[4:], "y_test": LABELS[4:],
}  # fmt: skip


def encoded(values):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values, allow_pickle=True)
    return buffer.getvalue()


def headed(text, content=bytes(24)):
    """An array with this header, as text of a Python dictionary."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + content


def shaped(shape, is_fortran=False, kind="|u1"):
    return headed(f"{{'descr': '{kind}', 'fortran_order': {is_fortran}, 'shape': {shape}, }}")


def write(folder, options=(), pack=zipfile.ZIP_DEFLATED, **changes):
    """A good archive but for `changes`: other arrays, or the bytes of a member."""
    path = folder / "data.npz"
    with zipfile.ZipFile(path, "w", pack) as archive:
        for name, values in (ARRAYS | changes).items():
            if values is not None:
                content = values if isinstance(values, bytes) else encoded(values)
                archive.writestr(f"{name}.npy", content)
    return ["data.source=npz", f"data.file={path}", *options]


def raw(folder, content):
    write(folder, pack=zipfile.ZIP_STORED)
    path = folder / "data.npz"
    path.write_bytes(content(path.read_bytes()) if callable(content) else content)
    return ["data.source=npz", f"data.file={path}"]


def directory_says(content, at, format_, value):
    """The archive with another value in the first entry of its directory."""
    entry = content.index(b"PK\x01\x02") + at
    return (
        content[:entry] + struct.pack(format_, value) + content[entry + struct.calcsize(format_) :]
    )


def with_second(content, name="x_train"):
    """The archive with another array of the same name."""
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(f"{name}.npy", encoded(ARRAYS[name]))
    return buffer.getvalue()


def bomb(declared, head=b""):
    """An archive whose first array unpacks to 8 GB, whatever its directory declares."""
    packed = deflated_zeros(2**33, head)
    fields = (0, 8, 0, 0, zlib.crc32(b""), len(packed), declared, 11)
    local = b"PK\x03\x04" + struct.pack("<H4H3I2H", 20, *fields, 0) + b"x_train.npy" + packed
    entry = b"PK\x01\x02" + struct.pack("<2H4H3I5H2I", 20, 20, *fields, *[0] * 6) + b"x_train.npy"
    names = [name for name in ARRAYS if name != "x_train"]
    buffer = io.BytesIO(local + entry + b"PK\x05\x06" + struct.pack(
        "<4H2IH", 0, 0, 1, 1, len(entry), len(local), 0
    ))  # fmt: skip
    with zipfile.ZipFile(buffer, "a") as archive:
        for name in names:
            archive.writestr(f"{name}.npy", encoded(ARRAYS[name]))
    return buffer.getvalue()


def array(name, values, where, remedy, *options):
    make = partial(write, options=options, **{name: values})
    return Hostile(make, f"data.npz: array '{name}'{where}", remedy)


def archive(content, where, remedy):
    return Hostile(partial(raw, content=content), f"data.npz: {where}", remedy)


def scaled(white, kind):
    """Images that each have the white of another scale."""
    images = np.random.default_rng(0).integers(0, white + 1, (60, 4, 4)).astype(kind)
    images[:, 0, 0] = white
    labels = np.arange(60) % 3
    arrays = {
        "x_train": images[:40],
        "y_train": labels[:40],
        "x_test": images[40:],
        "y_test": labels[40:],
    }
    found = f"data.npz: training split has pixels from 0 to {white}, expected 0..255"
    return Hostile(partial(write, **arrays), found, f"data.pixel_range=[0, {white}]")


NO_ZIP = "no whole .npz archive"
AGAIN = "Download it again"
CLASSES = "data.classes=[cat, dog, hen]"
SAVED = "Write it again with numpy.savez"

KINDS = {
    "a pickle": array("x_train", np.array([{}, []], object), " holds Python objects", "Convert it"),
    "a header that is code": array(
        "x_train", headed("__import__('os').abort()"), " has no header", SAVED
    ),
    "a header of 10,000 brackets": array("x_train", headed("(" * 10**4), " has no header", SAVED),
    "a giant shape": array("x_train", shaped("(99999999999, 9999999, 28)"), " declares", SAVED),
    "a giant shape in Fortran's order": array(
        "x_train", shaped("(99999999999, 28, 28)", is_fortran=True), " declares", SAVED
    ),
    "a shape without values": array("x_train", shaped("(0, 999999999999, 28)"), " declares", SAVED),
    "text for pixels": array("x_train", np.array(["a", "b"]), " holds values of type", "Convert"),
    "channels first": array("x_train", np.zeros((4, 3, 8, 8), np.uint8), " is 4×3×8×8", "moveaxis"),
    "four channels": array("x_train", np.zeros((4, 8, 8, 4), np.uint8), " is 4×8×8×4", "Reshape"),
    "pixels from 0 to 1": scaled(1, "u1"),
    "pixels of another type from 0 to 1": scaled(1, "f4"),
    "pixels from 0 to 16": scaled(16, "u1"),
    "pixels from 0 to 63": scaled(63, "i8"),
    "fractions from 0 to 1": array(
        "x_train", np.full((4, 3, 2), 0.5), " has the value 0.5 in image 0", "data.pixel_range"
    ),
    "pixels beyond data.pixel_range": array(
        "x_train",
        np.full((4, 3, 2), 1.5),
        " has the value 1.5 in image 0, expected a number 0..1 as data.pixel_range says",
        "set 'data.pixel_range=[0, 1.5]', or correct the value",
        "data.pixel_range=[0, 1]",
    ),
    "rows of pixels that fill no square": array(
        "x_train", np.zeros((4, 6), np.uint8), " is 4×6, expected count", "data.image_shape"
    ),
    "texts that differ in case": Hostile(
        partial(
            write, y_train=np.array(["cat", "Cat", "dog", "dog"]), y_test=np.array(["cat"] * 2)
        ),
        "data.npz: the classes 'Cat' and 'cat' differ in case",
        "data.classes",
    ),
    "a text of no class": array(
        "y_train",
        np.array(["cat", "dog", "eel", "cat"]),
        " has label 'eel'",
        "add its class",
        "data.classes=[cat, dog]",
    ),
    "texts beside numbers": array(
        "y_test",
        np.array(["0", "1"]),
        " holds texts, and other labels are numbers",
        "Save one kind",
    ),
    "labels in rows of two classes": array(
        "y_train", np.array([[1, 0], [0, 1], [1, 1], [0, 1]]), " is int64 of 4×2", "Save the index"
    ),
    "no test arrays": Hostile(
        partial(write, x_test=None, y_test=None),
        "data.npz: has no test arrays beside 'x_train' and 'y_train'",
        "data.test_fraction=0.2",
    ),
    "a test split, and some to draw": Hostile(
        partial(write, options=["data.test_fraction=0.2"]),
        "data.npz: has test images in 'x_test', and data.test_fraction",
        "Leave data.test_fraction out",
    ),
    "pixels that are no number": array(
        "x_train", np.full((4, 3, 2), np.nan), " has the value nan in image 0", "Mend that image"
    ),
    "pixels that are infinite": array(
        "x_train", np.full((4, 3, 2), np.inf), " has the value inf in image 0", "Mend that image"
    ),
    "a label of no class": array(
        "y_train",
        np.array([0, 1, 2, 3]),
        " has label 3 at position 3",
        "Correct the label",
        CLASSES,
    ),
    "a giant label": array(
        "y_train", np.array([0, 1, 2, 2**40]), " has label 1099511627776", "data.classes"
    ),
    "labels that are fractions": array(
        "y_train", np.array([0.5, 1, 2, 1]), " has label 0.5 at position 0", "Save"
    ),
    "labels for other images": array(
        "y_train", LABELS[:3], " has 3 labels for the 4", "data.arrays"
    ),
    "a missing array": Hostile(
        partial(write, y_train=None), "data.npz: has the arrays", "data.arrays"
    ),
    "an array that is not there": Hostile(
        partial(
            write,
            options=[
                "data.arrays={train_images: a, train_labels: b, test_images: c, test_labels: d}"
            ],
        ),
        "data.npz: has no array 'a'",
        "data.arrays",
    ),
    "an array that stands twice": archive(
        with_second, "2 arrays have the name 'x_train'", "with one"
    ),
    "no zip": archive(b"label,p0\n" * 99, NO_ZIP, AGAIN),
    "an empty file": archive(b"", NO_ZIP, AGAIN),
    "half a zip": archive(lambda c: c[: len(c) // 2], NO_ZIP, AGAIN),
    "a zip without a member": archive(
        b"PK\x05\x06" + bytes(18), "has the arrays none", "data.arrays"
    ),
    "one changed byte": archive(
        lambda c: c.replace(IMAGES[:4].tobytes()[4:9], b"\xff" * 5), NO_ZIP, AGAIN
    ),
    "a size that is too large": archive(
        lambda c: directory_says(c, 24, "<I", 2**31),
        "array 'x_train' declares (4, 3, 2) values of type uint8 = 24 bytes, but holds 2,14",
        SAVED,
    ),
    "a size that is too small": archive(lambda c: directory_says(c, 24, "<I", 9), NO_ZIP, AGAIN),
    "a member packed with LZMA": Hostile(
        partial(write, pack=zipfile.ZIP_LZMA), "data.npz: array 'x_test' is packed", "savez"
    ),
    "a member packed otherwise": archive(
        lambda c: directory_says(c, 10, "<H", 99),
        "array 'x_train' is packed",
        "Write the file again",
    ),
    "a bomb that says so": archive(
        lambda c: bomb(2**32 - 2), "its arrays unpack to", "data.size_limit_bytes"
    ),
    "a bomb that says it is small": archive(lambda c: bomb(152), NO_ZIP, AGAIN),
}
