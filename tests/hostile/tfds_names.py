"""Data sets of TensorFlow Datasets that must be refused."""

from pipeline.sources import idx
from tests.hostile.row import Hostile


def named(dataset, *options):
    def make(folder):
        place = [f"data.data_dir={folder}", f"data.dataset={dataset!r}"]
        return ["data.source=tfds", *place, *options]

    return make


def damaged(folder):
    """MNIST's own archives, but the first of them damaged."""
    for path in idx.MNIST.glob("*.gz"):
        content = path.read_bytes()
        is_first = path.name.startswith("train-images")
        (folder / path.name).write_bytes(content[: len(content) // (2 if is_first else 1)])
    made = folder / "made"
    made.mkdir()
    return ["data.source=tfds", "data.dataset=mnist", f"data.data_dir={made}", *manual(folder)]


def manual(folder):
    return [f"data.manual_dir={folder}"]


KINDS = {
    "an unknown name": Hostile(named("mnits"), "data.dataset: 'mnits'", "Did you mean 'mnist'?"),
    "a path for a name": Hostile(named("../../etc/passwd"), "data.dataset: ", "Write it as name"),
    "a name without end": Hostile(named("a" * 5000), "data.dataset: 'aaaa", "tensorflow.org"),
    "a name with a line break": Hostile(named("mnist\nb"), r"data.dataset: 'mnist\nb'", "name"),
    "no name": Hostile(named(""), "data.dataset: ''", "name"),
    "a missing folder": Hostile(
        named("mnist", *manual("/nowhere")), "/nowhere: no such folder", "data.manual_dir"
    ),
    "a damaged archive": Hostile(damaged, "data.dataset: mnist could not", "data.manual_dir"),
    "no network": Hostile(named("fashion_mnist"), "fashion_mnist could not be", "data.manual_dir"),
}
