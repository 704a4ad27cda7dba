import multiprocessing
import os
import signal
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from pipeline.core.errors import DataError, StageError
from pipeline.core.progress import LogProgress
from pipeline.data import decode_files
from pipeline.data.decode_files import gather
from pipeline.data.images.decoding import Decoding
from pipeline.data.images.types import ImageFiles, LabelledImages, SourceData

COUNT = 23
QUIET = LogProgress(Console(quiet=True))
IN_MEMORY = LabelledImages(np.zeros((2, 4, 5, 3), np.uint8), np.array([0, 1]))


@pytest.fixture(params=["here", "in processes"])
def anywhere(request, monkeypatch):
    if request.param == "in processes":
        monkeypatch.setattr(decode_files, "FEW_FILES", 3)


@pytest.fixture
def folder(tmp_path):
    """Pictures of one colour: their number."""
    place = tmp_path / "photos"
    place.mkdir()
    for number in range(COUNT):
        Image.new("RGB", (5, 4), (number, 0, 0)).save(place / f"{number:02}.png")
    return place


def files(folder, names=None, **decoding):
    names = tuple(sorted(names or (path.name for path in folder.iterdir())))
    return ImageFiles(str(folder), names, np.arange(len(names)) % 2, Decoding(**decoding))


def gathered(part, tmp_path):
    source = SourceData(part, IN_MEMORY, ("a", "b"), "photos")
    return gather(source, tmp_path, QUIET)


def numbers(split, size=1000):
    return [int(image[0, 0, 0]) for batch in split.batches(size) for image in batch.images]


@pytest.mark.usefixtures("anywhere")
def test_images_labels_and_names_keep_their_order(folder, tmp_path):
    split = gathered(files(folder), tmp_path).splits["train"]
    assert split.image_shape == (4, 5, 3)
    assert numbers(split) == list(range(COUNT))
    assert split.labels.tolist() == [number % 2 for number in range(COUNT)]
    assert [split.name(index) for index in (0, 22)] == ["00.png", "22.png"]
    assert split.file_sizes.tolist() == [[4, 5]] * COUNT


def test_images_in_memory_stay_there(folder, tmp_path):
    assert gathered(files(folder), tmp_path).splits["test"] is IN_MEMORY


def test_a_choice_of_images_is_read_in_its_order(folder, tmp_path):
    split = gathered(files(folder), tmp_path).splits["train"].select(np.array([7, 3, 20, 3]))
    assert numbers(split, size=3) == [7, 3, 20, 3]
    assert split.labels.tolist() == [1, 1, 0, 1]
    assert split.name(2) == "20.png"


@pytest.mark.usefixtures("anywhere")
def test_refused_files_are_left_out_and_told(folder, tmp_path):
    (folder / "04.png").write_bytes(b"")
    (folder / "11.png").write_bytes(b"no picture")
    result = gathered(files(folder, image_size=(4, 5)), tmp_path)
    assert numbers(result.splits["train"]) == [n for n in range(COUNT) if n not in (4, 11)]
    assert [(r.split, r.name, r.label, r.kind) for r in result.refused] == [
        ("train", "04.png", 0, "empty"),
        ("train", "11.png", 1, "undecodable"),
    ]


def test_names_that_would_break_a_line_are_escaped(folder, tmp_path):
    (folder / "00.png").rename(folder / "a\nb.png")
    (folder / "01.png").rename(folder / "caf\udce9.png")
    result = gathered(files(folder), tmp_path)
    assert "'a\\nb.png'" in result.splits["train"].names
    assert [refused.name for refused in result.refused] == ["'caf\\udce9.png'"]


@pytest.mark.usefixtures("anywhere")
def test_pictures_of_other_sizes_are_refused_with_the_remedy(folder, tmp_path):
    Image.new("RGB", (9, 7)).save(folder / "13.png")
    with pytest.raises(DataError) as caught:
        gathered(files(folder), tmp_path)
    assert str(caught.value) == (
        f"{folder}/13.png: is 9×7 pixels, but 00.png is 5×4. Set data.image_size, such as "
        "[64, 64] for height and width."
    )


def test_a_split_of_refused_files_alone_names_the_first(folder, tmp_path):
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"00\.png: has no bytes.*All 23 pictures of the train"):
        gathered(files(folder), tmp_path)


def test_sizes_may_differ_where_one_is_given(folder, tmp_path):
    Image.new("RGB", (9, 7), (13, 0, 0)).save(folder / "13.png")
    split = gathered(files(folder, image_size=(2, 2)), tmp_path).splits["train"]
    assert numbers(split) == list(range(COUNT))
    assert split.file_sizes[13].tolist() == [7, 9]


class _KillsAChild:
    """Kills a decoding process after some files."""

    def __init__(self):
        self.done = 0

    @contextmanager
    def task(self, description, total):
        yield self

    def advance(self, steps=1, note=""):
        self.done += steps
        if self.done == 2:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)


def test_a_killed_process_ends_the_stage_with_a_remedy(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(decode_files, "FEW_FILES", 3)
    names = 100 * [path.name for path in folder.iterdir()]  # more than are read before the kill
    source = SourceData(files(folder, names), IN_MEMORY, ("a", "b"), "photos")
    with pytest.raises(StageError, match=r"was killed.*Close other programs and run again"):
        gather(source, tmp_path, _KillsAChild())
    assert multiprocessing.active_children() == []


def test_a_scratch_file_that_shrank_is_told(folder, tmp_path):
    split = gathered(files(folder), tmp_path).splits["train"]
    os.truncate(split.path, 100)
    with pytest.raises(StageError, match=r"train\.pixels: has changed while it was read"):
        numbers(split)


def test_too_little_memory_is_no_fault_of_the_file(monkeypatch):
    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr(decode_files, "read", exhausted)
    with pytest.raises(StageError, match=r"^a\.png: too little memory to decode it"):
        decode_files.decode_all("folder", ("a.png",), Decoding())
