"""Data sets of TensorFlow Datasets that must be refused."""

from pipeline.data.sources import idx
from tests.hostile.row import Hostile


def named(dataset, *options):
    def make(folder):
        place = [f"data.data_dir={folder}", f"data.dataset={dataset!r}"]
        return ["data.source=tfds", *place, *options]

    return make


def with_first(change):
    """MNIST's own archives, but for a change to the bytes of the first of them."""

    def make(folder):
        for path in idx.MNIST.glob("*.gz"):
            content, is_first = path.read_bytes(), path.name.startswith("train-images")
            (folder / path.name).write_bytes(change(content) if is_first else content)
        made = folder / "made"
        made.mkdir()
        return ["data.source=tfds", "data.dataset=mnist", f"data.data_dir={made}", *manual(folder)]

    return make


def manual(folder):
    return [f"data.manual_dir={folder}"]


UNPREPARED = "data.dataset: mnist could not be prepared (NonMatchingChecksumError: "
KINDS = {
    "an unknown name": Hostile(named("mnits"), "data.dataset: 'mnits'", "Did you mean 'mnist'?"),
    "a path for a name": Hostile(named("../../etc/passwd"), "data.dataset: ", "Write it as name"),
    "a name without end": Hostile(named("a" * 5000), "data.dataset: 'aaaa", "tensorflow.org"),
    "a name with a line break": Hostile(named("mnist\nb"), r"data.dataset: 'mnist\nb'", "name"),
    "no name": Hostile(named(""), "data.dataset: ''", "name"),
    "a missing folder": Hostile(
        named("mnist", *manual("/nowhere")), "/nowhere: no such folder", "data.manual_dir"
    ),
    "an archive cut short": Hostile(
        with_first(lambda content: content[: len(content) // 2]), UNPREPARED, "data.manual_dir"
    ),
    "an archive with another hash": Hostile(
        with_first(lambda content: content[:-9] + b"x" + content[-8:]),
        UNPREPARED,
        "data.manual_dir",
    ),
    "a web page for an archive": Hostile(
        with_first(lambda content: b"<!DOCTYPE html>"), UNPREPARED, "data.manual_dir"
    ),
    "no network": Hostile(named("fashion_mnist"), "fashion_mnist could not be", "data.manual_dir"),
}
