"""CSV tables that name a file for each image."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from pipeline.core.errors import DataError
from pipeline.data.images.decoding import Decoding
from pipeline.data.sources import csv
from pipeline.workflow.keys import outside_version
from tests.data.sources.drawing import with_test_drawn

ROWS = [("a/1.png", "cat"), ("a/2.png", "dog"), ("b/1.png", "cat"), ("b/2.png", "dog")]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for name, _ in ROWS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name)
    return folder


def write(path, rows, header="file,label"):
    path.write_text("".join(f"{line}\n" for line in [header, *(",".join(row) for row in rows)]))
    return path


def options(table, **given):
    if "test_file" not in given:
        given.setdefault("test_fraction", 0.5)
    return csv.Options(train_file=table, path_column="file", **given)


def refusal(table, **given):
    with pytest.raises(DataError) as caught:
        csv.load(options(table, **given))
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{table}: ")


def test_paths_start_from_the_folder_of_the_table(photos):
    table = write(photos / "all.csv", ROWS)
    data = csv.load(options(table, test_file=table, color_mode="grayscale", image_size=(8, 8)))
    assert data.train.folder == str(photos)
    assert data.train.names == tuple(name for name, _ in ROWS)
    assert data.train.labels.tolist() == [0, 1, 0, 1]
    assert data.train.decoding == Decoding("grayscale", (8, 8))
    assert data.classes == ("cat", "dog")
    assert data.origin == "CSV table all.csv and all.csv"


def test_paths_may_start_from_another_folder_and_columns_stand_anywhere(photos, tmp_path):
    rows = [("cat", "x", "1.png"), ("dog", "y", "2.png")]
    table = write(tmp_path / "table.csv", rows, "label,camera,file")
    data = csv.load(options(table, test_file=table, image_folder=photos / "a"))
    assert data.train.names == ("1.png", "2.png")
    assert data.train.folder == str(photos / "a")


def test_names_may_leave_out_their_ending(photos):
    rows = [(name.removesuffix(".png"), label) for name, label in ROWS]
    table = write(photos / "all.csv", rows)
    assert refusal(table) == (
        f"line 2: 'a/1' is no file in {photos}, but 'a/1.png' is. Set data.path_suffix=.png."
    )
    found = options(table, test_file=table, path_suffix=".png")
    assert csv.load(found).train.names == tuple(name for name, _ in ROWS)
    assert "train_file a/1.png" in found.outside_files()


def test_the_test_split_is_drawn_from_each_class(photos):
    data = with_test_drawn(csv.load(options(write(photos / "all.csv", ROWS))))
    assert (
        np.bincount(data.train.labels).tolist() == np.bincount(data.test.labels).tolist() == [1, 1]
    )
    assert {*data.train.names, *data.test.names} == {name for name, _ in ROWS}


@pytest.mark.parametrize("path", ["a/../b/1.png", "./b//1.png", "{photos}/b/1.png"])
def test_paths_are_brought_to_their_shortest_form(photos, path):
    table = write(photos / "t.csv", [(path.format(photos=photos), "cat"), ("a/2.png", "dog")])
    assert csv.load(options(table, test_file=table)).train.names[0] == "b/1.png"


@pytest.mark.parametrize(
    "path", ["../secret.png", "a/../../x.png", "/etc/passwd", ".", "..", "a/.."]
)
def test_a_path_that_leads_out_is_refused_with_its_line(photos, path):
    table = write(photos / "t.csv", [*ROWS, (path, "cat")])
    found = refusal(table)
    assert found.startswith(f"line 6: the path '{path}' leads to no file in {photos}. Correct it")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name,label\na,b\n", "line 1: no column 'file' beside the labels; there are 'name'."),
        ("file,kind\na,b\n", "line 1: no column 'label'"),
        ("file,label\n", "has no row after its header"),
        ("file,label\na/1.png,cat\n ,dog\n", "line 3: names no file. Write its path"),
        ("file,label\na/1.png,\n", "line 2: has no label"),
        ("file,label\na/1.png\n", "line 2: 1 values, expected 2"),
    ],
)
def test_a_damaged_table_is_refused_with_its_line(photos, content, words):
    table = photos / "t.csv"
    table.write_text(content)
    assert refusal(table).startswith(words)


def test_a_missing_folder_is_named(photos):
    table = write(photos / "t.csv", ROWS)
    with pytest.raises(DataError, match=r"none: no such folder.*data\.image_folder"):
        csv.load(options(table, image_folder=photos / "none"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"image_size": (8, 8)},
            "data.image_size is for tables of paths; name their column in data.path_col",
        ),
        ({"alpha": "white"}, "alpha is for tables of paths"),
        ({"image_folder": Path("x")}, "image_folder is for tables of paths"),
        ({"path_column": "f", "image_shape": (1, 1, 1)}, "image_shape is for tables of pixels"),
    ],
)
def test_options_of_the_other_kind_of_table_are_refused(given, words):
    with pytest.raises(ValidationError, match=words):
        csv.Options(train_file=Path("t.csv"), test_fraction=0.5, **given)


def version(table, **given):
    return outside_version(options(table, **given).outside_files())


def test_the_bytes_of_the_files_count_and_their_place_does_not(photos, tmp_path):
    table = write(photos / "t.csv", ROWS)
    before = version(table)
    moved = photos.rename(tmp_path / "moved")
    assert version(moved / "t.csv") == before
    Image.new("RGB", (4, 4), "red").save(moved / "a" / "1.png")
    assert version(moved / "t.csv") != before


def test_files_of_one_name_in_two_folders_are_kept_apart(photos):
    train = write(photos / "a" / "t.csv", [("1.png", "cat"), ("2.png", "dog")])
    test = write(photos / "b" / "t.csv", [("1.png", "cat"), ("2.png", "dog")])
    files = options(train, test_file=test).outside_files()
    assert {str(path.relative_to(photos)) for path in files.values()} == {
        "a/t.csv", "b/t.csv", "a/1.png", "a/2.png", "b/1.png", "b/2.png"
    }  # fmt: skip


def test_what_is_no_file_within_the_folder_is_listed_but_not_hashed(photos, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"x")
    (photos / "out.png").symlink_to(tmp_path / "secret.png")
    (photos / "way").symlink_to(tmp_path)
    (photos / "in.png").symlink_to("a/1.png")
    os.mkfifo(photos / "pipe.png")
    odd = ["out.png", "way/secret.png", "pipe.png", "gone.png"]
    table = write(photos / "t.csv", [(name, "cat") for name in ["in.png", *odd]])
    assert csv.load(options(table, test_file=table)).train.names == ("in.png", *odd)
    assert set(options(table).outside_files()) == {"train_file", "train_file in.png"}


@pytest.mark.parametrize(
    ("place", "base"),
    [("photos", ""), ("photos/a", "photos"), ("meta/x", "meta"), ("..", "photos")],
)
def test_paths_from_another_folder_lead_to_the_one_that_has_the_first(
    photos, tmp_path, place, base
):
    """A table in `place`, of which the paths start from `base`."""
    home = tmp_path if place == ".." else tmp_path / place
    home.mkdir(parents=True, exist_ok=True)
    if base == "meta":
        photos.rename(tmp_path / "meta" / "photos")
    names = [(f"photos/{name}" if base == "" else name, label) for name, label in ROWS]
    right = tmp_path / "meta" / "photos" if base == "meta" else tmp_path / base
    table = write(home / "t.csv", names)
    assert refusal(table) == (
        f"none of its 4 pictures is there, such as {names[0][0]!r}: paths start from {home}. "
        f"Set data.image_folder={right}."
    )
    assert len(csv.load(options(table, image_folder=right)).train) == 4


def test_paths_that_start_from_no_folder_near_lead_to_the_setting(photos):
    table = write(photos / "t.csv", [(f"lost/{name}", label) for name, label in ROWS])
    said = f"paths start from {photos}. Set data.image_folder to the one that they start from."
    assert refusal(table).endswith(said)


def test_a_table_of_which_one_file_is_there_starts_from_its_folder(photos):
    table = write(photos / "t.csv", [("lost/1.png", "cat"), *ROWS[1:], ("lost/2.png", "cat")])
    assert len(csv.load(options(table)).train) == 5
