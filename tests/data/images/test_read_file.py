import os

import numpy as np
import pytest
from PIL import Image

from pipeline.data.images import read_file
from pipeline.data.images.decoding import Decoding, RefusedFileError
from pipeline.data.images.read_file import read

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "photos"
    place.mkdir()
    Image.fromarray(PIXELS).save(place / "good.png")
    return place


def refusal(folder, name):
    with pytest.raises(RefusedFileError) as caught:
        read(str(folder), name, Decoding())
    return caught.value.kind, caught.value.reason


def test_a_file_becomes_pixels_and_the_size_that_it_had(folder):
    found = read(str(folder), "good.png", Decoding(image_size=(5, 5)))
    assert found.pixels.shape == (5, 5, 3)
    assert found.file_size == (2, 3)
    np.testing.assert_array_equal(read(str(folder), "good.png", Decoding()).pixels, PIXELS)


def test_the_size_is_that_of_the_upright_picture(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(folder / "turned.png", exif=exif)
    assert read(str(folder), "turned.png", Decoding()).file_size == (3, 2)


def test_an_empty_file_is_told(folder):
    (folder / "none.png").touch()
    assert refusal(folder, "none.png") == ("empty", "has no bytes; copy it again")


def test_a_file_beyond_the_bound_is_not_read(folder, monkeypatch):
    monkeypatch.setattr(read_file, "MOST_BYTES", 20)
    kind, reason = refusal(folder, "good.png")
    assert kind == "too_large"
    assert reason.endswith("bytes, expected at most 20; scale it down")


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_that_grows_or_shrinks_meanwhile_is_told(folder, monkeypatch, change):
    size = (folder / "good.png").stat().st_size
    monkeypatch.setattr(read_file, "_checked_size", lambda _: size + change)
    assert refusal(folder, "good.png") == ("unreadable", "changed while it was read; run again")


def test_a_giant_file_costs_nothing(folder):
    with (folder / "giant.png").open("wb") as file:
        file.truncate(2**40)
    assert refusal(folder, "giant.png")[0] == "too_large"


def test_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "pipe.png")
    assert refusal(folder, "pipe.png") == (
        "unreadable", "is no regular file; put a picture in its place"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone.png", "cannot be read (No such file or directory); check the file"),
        ("folder.png", "is a folder; put a picture in its place"),
        ("good.png/x.png", "cannot be read (Not a directory); check the file"),
        ("a\0.png", "has a NUL byte in its name; rename it"),
        ("x" * 300 + ".png", "cannot be read (File name too long); check the file"),
        ("loop.png", "cannot be read (Too many levels of symbolic links); check the file"),
        ("caf\udce9.png", "has a name that is not UTF-8; rename it"),
    ],
)
def test_what_cannot_be_read_says_why(folder, name, words):
    (folder / "folder.png").mkdir()
    (folder / "loop.png").symlink_to(folder / "loop.png")
    assert refusal(folder, name) == ("unreadable", words)


def test_what_the_user_may_not_read_says_so(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert refusal(folder, "good.png")[1] == "cannot be read (Permission denied); check the file"


def test_a_link_within_the_folder_is_followed(folder):
    (folder / "link.png").symlink_to("good.png")
    np.testing.assert_array_equal(read(str(folder), "link.png", Decoding()).pixels, PIXELS)


def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "alias").symlink_to(folder)
    assert read(str(tmp_path / "alias"), "good.png", Decoding()).file_size == (2, 3)


@pytest.mark.parametrize("name", ["link.png", "way/secret.png", "../secret.png"])
def test_no_way_leads_out_of_the_folder(folder, tmp_path, name):
    outside = tmp_path / "secret.png"
    Image.fromarray(PIXELS).save(outside)
    (folder / "link.png").symlink_to(outside)
    (folder / "way").symlink_to(tmp_path)
    kind, reason = refusal(folder, name)
    assert kind == "unreadable"
    assert reason == "leads out of the data folder; copy the file into it"


def test_a_folder_whose_name_begins_alike_is_outside(folder, tmp_path):
    other = tmp_path / "photos2"
    other.mkdir()
    Image.fromarray(PIXELS).save(other / "a.png")
    assert refusal(folder, "../photos2/a.png")[0] == "unreadable"


def test_a_suffix_that_says_otherwise_is_refused(folder):
    (folder / "good.png").rename(folder / "good.JPG")
    assert refusal(folder, "good.JPG") == ("wrong_extension", "is a PNG; rename it to .png")


def test_a_refusal_survives_the_way_between_processes():
    import pickle

    refused = pickle.loads(pickle.dumps(RefusedFileError("empty", "has no bytes")))
    assert (refused.kind, refused.reason) == ("empty", "has no bytes")
