"""IDX files that must be refused."""

import gzip
import os
import struct
from functools import partial

import numpy as np

from tests.hostile.row import Hostile, deflated_zeros

IMAGES = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"
GIANT = 2**32 - 1
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def header(magic, *shape):
    return struct.pack(f">{1 + len(shape)}I", magic, *shape)


def images(count, height=4, width=4):
    pixels = np.arange(count * height * width, dtype=np.uint32).astype(np.uint8)
    return header(0x803, count, height, width) + pixels.tobytes()


def labels(*values):
    return header(0x801, len(values)) + bytes(values)


def write(folder, *options, **changes):
    """Four good files but for `changes`: bytes, or a function that makes something else."""
    contents = {
        IMAGES: images(6), LABELS: labels(0, 1, 2, 0, 1, 2),
        TEST_IMAGES: images(3), TEST_LABELS: labels(0, 1, 2),
    }  # fmt: skip
    for name, content in contents.items():
        made = changes.get(name.replace("-", "_"), content)
        if callable(made):
            made(folder / name)
        else:
            (folder / name).write_bytes(made)
    return ["data.source=idx", f"data.folder={folder}", *options]


def changed(content, name=IMAGES):
    return partial(write, **{name.replace("-", "_"): content})


def bomb(head):
    """4 GB of zeros behind a header, in 4 MB."""
    return GZIP_HEAD + deflated_zeros(2**32, head) + bytes(8)


def looped(path):
    path.symlink_to(path.name)


def unreadable(path):
    path.symlink_to("/proc/self/mem")


def optioned(*options):
    return lambda folder: write(folder, *options)


PACKED = gzip.compress(images(6))

KINDS = {
    "a picture": Hostile(changed(b"\x89PNG\r\n\x1a\n" * 9), f"{IMAGES}: ", "Name the right file"),
    "another type of value": Hostile(
        changed(header(0xD03, 6, 4, 4) + bytes(6 * 64)), "0x00000d03", "Name the right file"
    ),
    "labels for images": Hostile(
        changed(labels(1, 2)), f"{IMAGES}: a file of IDX labels", "Name the right file"
    ),
    "an empty file": Hostile(changed(b""), f"{IMAGES}: ", "Name the right file"),
    "half a header": Hostile(
        changed(images(6)[:11]), f"{IMAGES}: ends inside its header", "Download it again"
    ),
    "fewer pixels than declared": Hostile(
        changed(images(6)[:-1]), f"{IMAGES}: declares 6×4×4", "Download it again"
    ),
    "more pixels than declared": Hostile(
        changed(images(6) + b"\0"), f"{IMAGES}: declares 6×4×4", "Download it again"
    ),
    "more labels than images": Hostile(
        changed(labels(*[0, 1] * 4), LABELS), f"{LABELS}: 8 labels for the 6", "Take both files"
    ),
    "giant dimensions": Hostile(
        changed(header(0x803, GIANT, GIANT, GIANT) + bytes(9)),
        f"{IMAGES}: declares 4294967295×4294967295×4294967295",
        "data.size_limit_bytes",
    ),
    "a bomb behind giant dimensions": Hostile(
        changed(bomb(header(0x803, GIANT, 28, 28))), f"{IMAGES}: ", "data.size_limit_bytes"
    ),
    "a bomb behind small dimensions": Hostile(
        changed(bomb(header(0x803, 6, 4, 4))), f"{IMAGES}: declares 6×4×4", "Download it again"
    ),
    "a bomb of labels": Hostile(
        changed(bomb(header(0x801, GIANT)), LABELS),
        f"{LABELS}: 4,294,967,295 labels for the 6 images",
        "Take both files",
    ),
    "half an archive": Hostile(
        changed(PACKED[:-30]), f"{IMAGES}: damaged archive", "Download it again"
    ),
    "an archive with other content": Hostile(
        changed(PACKED[:-8] + bytes(8)), f"{IMAGES}: damaged archive", "Download it again"
    ),
    "rubbish behind an archive": Hostile(
        changed(PACKED + b"rubbish"), f"{IMAGES}: damaged archive", "Download it again"
    ),
    "a folder for a file": Hostile(changed(lambda p: p.mkdir()), f"{IMAGES}", "data.folder"),
    "a pipe that nobody fills": Hostile(changed(os.mkfifo), f"{IMAGES}", "data.folder"),
    "a link to itself": Hostile(changed(looped), f"{IMAGES}", "data.folder"),
    "a file that cannot be read": Hostile(
        changed(unreadable), f"{IMAGES}: cannot be read (Input/output error)", "Check the file"
    ),
    "a name without end": Hostile(
        optioned(f"data.train_images={'a' * 5000}"), "aaa: cannot be", "Correct its path"
    ),
    "a name with NUL": Hostile(optioned('data.train_images="a\\0b"'), r"a\x00b", "data.folder"),
    "no image": Hostile(
        partial(write, train_images_idx3_ubyte=images(0), train_labels_idx1_ubyte=labels()),
        "number of classes is 0",
        "Add images",
    ),
    "images without pixels": Hostile(
        changed(images(6, 0, 4)), "training split has no pixels", "Add images"
    ),
    "test images of another shape": Hostile(
        changed(images(3, 5, 4), TEST_IMAGES), "test images 5×4×1", "Take all splits"
    ),
    "one class": Hostile(
        changed(labels(*[0] * 6), LABELS), "number of classes is 1", "Add images of another class"
    ),
    "a class without images": Hostile(
        changed(labels(*[0, 2] * 3), LABELS), "class '1' (label 1)", "Add some"
    ),
    "fewer class names than labels": Hostile(
        optioned("data.classes=[a, b]"), f"{LABELS}: label 2 at position 2", "data.classes"
    ),
    "a class name with a line break": Hostile(
        optioned('data.classes=["a", "b\\nc", "d"]'), r"'b\nc'", "Rename the class"
    ),
    "a class name with an escape": Hostile(
        optioned('data.classes=["a", "b\\x1b[31m", "d"]'), r"\x1b[31m", "Rename the class"
    ),
    "one name for two classes": Hostile(
        optioned("data.classes=[a, b, a]"), "labels 0 and 2 have one class name", "Rename one"
    ),
}
