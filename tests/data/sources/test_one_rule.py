"""What holds for images of every source alike: what pixels run from and to, and class names."""

import csv
import gzip

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from pipeline.config.loading import load_config
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.plugins import ROOT
from pipeline.core.progress import LogProgress
from pipeline.data import ingest
from pipeline.data.images.types import LabelledImages, SourceData
from pipeline.data.sources import tfds
from pipeline.data.sources._class_names import classes_of, find_twins, in_order
from pipeline.data.sources._pixel_range import as_bytes, fitting_range, white_of_scale
from tests.data.sources.test_idx import NAMES, encode

COUNT = 48


def in_idx(folder, images, labels):
    parts = (images, labels.astype(np.uint8), images[::4], labels[::4].astype(np.uint8))
    for name, part in zip(NAMES, parts, strict=True):
        (folder / name).write_bytes(encode(part))
    return ["data.source=idx", f"data.folder={folder}"]


def in_npz(folder, images, labels):
    np.savez(folder / "a.npz", X=images, y=labels)
    return ["data.source=npz", f"data.file={folder / 'a.npz'}", "data.test_fraction=0.25"]


def in_csv(folder, images, labels):
    with gzip.open(folder / "a.csv.gz", "wt", newline="") as file:
        rows = np.column_stack([labels, images.reshape(len(images), -1)])
        csv.writer(file).writerows([["label", *(f"p{n}" for n in range(64))], *rows])
    return ["data.source=csv", f"data.train_file={folder / 'a.csv.gz'}", "data.test_fraction=0.25"]


def in_one_column(folder, images, labels):
    with (folder / "fer.csv").open("w", newline="") as file:
        rows = [[n, " ".join(map(str, i.ravel()))] for n, i in zip(labels, images, strict=True)]
        csv.writer(file).writerows([["label", "pixels"], *rows])
    table = ["data.source=csv", f"data.train_file={folder / 'fer.csv'}", "data.test_fraction=0.25"]
    return [*table, "data.pixels_column=pixels"]


def in_folders(folder, images, labels):
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / str(label) / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return ["data.source=image_folder", f"data.folder={folder}", "data.color_mode=grayscale"]


def in_table_of_paths(folder, images, labels):
    in_folders(folder, images, labels)
    rows = "".join(f"{label}/{n},{label}\n" for n, label in enumerate(labels))
    (folder / "all.csv").write_text(rows)
    table = ["data.source=csv", f"data.train_file={folder / 'all.csv'}", "data.test_fraction=0.25"]
    columns = ["data.header=false", "data.path_column=1", "data.label_column=2"]
    return [*table, *columns, "data.path_suffix=.png", "data.color_mode=grayscale"]


ARRAYS = (in_idx, in_npz, in_csv, in_one_column)
FILES = (in_folders, in_table_of_paths)


def inspect(tmp_path, typed):
    smoke = ROOT / "configs" / "smoke.yaml"
    limits = ["data.train_limit=null", "data.test_limit=null", "data.checks.drop_leaks=false"]
    config = load_config(smoke, [*limits, *typed])
    (tmp_path / ".scratch").mkdir(exist_ok=True)
    scratch, quiet = tmp_path / ".scratch", LogProgress(Console(quiet=True))
    return ingest.inspect(config, scratch, quiet).material


def pixels_of(inspected):
    parts = [part.images for part in inspected.prepared.splits.values()]
    return {batch.images.tobytes() for part in parts for batch in part.batches(1)}


def images_to(white, seed=0):
    """Each has black and white in it."""
    images = np.random.default_rng(seed).integers(0, white + 1, (COUNT, 8, 8)).astype(np.uint8)
    images[:, 0, 0], images[:, 0, 1] = white, 0
    return images


@pytest.mark.parametrize("white", [1, 15, 16, 63, 100])
@pytest.mark.parametrize("put", [*ARRAYS, *FILES])
def test_pixels_of_another_scale_are_refused_with_the_setting_that_scales(tmp_path, put, white):
    typed = put(tmp_path, images_to(white), np.arange(COUNT) % 2)
    with pytest.raises(DataError) as caught:
        inspect(tmp_path, typed)
    assert f"training split has pixels from 0 to {white}, expected 0..255. " in str(caught.value)
    remedy = "with 255 for white" if put in FILES else f"data.pixel_range=[0, {white}]"
    assert remedy in str(caught.value)


@pytest.mark.parametrize("white", [1, 15])
@pytest.mark.parametrize("put", ARRAYS)
def test_pixels_are_scaled_from_the_range_that_is_said(tmp_path, put, white):
    images = images_to(white)
    typed = put(tmp_path, images, np.arange(COUNT) % 2)
    found = pixels_of(inspect(tmp_path, [*typed, f"data.pixel_range=[0, {white}]"]))
    assert found == {(image * (255 // white)).tobytes() for image in images}


@pytest.mark.parametrize("put", [*ARRAYS, *FILES])
def test_images_that_are_said_to_be_so_dark_stay_as_they_are(tmp_path, put):
    images = images_to(15)
    typed = put(tmp_path, images, np.arange(COUNT) % 2)
    found = pixels_of(inspect(tmp_path, [*typed, "data.pixel_range=[0, 255]"]))
    assert found == {image.tobytes() for image in images}


@pytest.mark.parametrize("put", FILES)
def test_pictures_take_no_other_range(tmp_path, put):
    typed = put(tmp_path, images_to(1), np.arange(COUNT) % 2)
    with pytest.raises(ConfigError, match=r"the pixels of picture files are 0\.\.255"):
        inspect(tmp_path, [*typed, "data.pixel_range=[0, 1]"])


def test_dark_images_are_no_other_scale():
    generator = np.random.default_rng(0)
    night = np.clip(generator.gamma(2, 5, (500, 20, 20)), 0, 255).astype(np.uint8).max(axis=(1, 2))
    assert 31 < night.max() < 150
    assert white_of_scale(night) is None
    few_reach_it = np.array([63] * 24 + [40] * 76, np.uint8)
    assert white_of_scale(few_reach_it) is None
    assert white_of_scale(np.array([63] * 25 + [40] * 75, np.uint8)) == 63
    assert white_of_scale(np.array([63] * 9, np.uint8)) is None
    assert white_of_scale(np.array([65] * 100, np.uint8)) is None
    assert white_of_scale(np.array([17, 3], np.uint8)) is None
    assert white_of_scale(np.array([16, 3], np.uint8)) == 16
    assert white_of_scale(np.zeros(100, np.uint8)) is None


def test_a_range_is_scaled_by_hand_worked_values():
    values = np.array([[-1.0, 0.0, 0.5, 1.0]])
    assert as_bytes("a", values, (-1, 1)).tolist() == [[0, 128, 191, 255]]  # 127.5, 191.25
    sixteen_bits = np.array([[0, 257, 65535]], np.uint16)
    assert as_bytes("a", sixteen_bits, (0, 65535)).tolist() == [[0, 1, 255]]


@pytest.mark.parametrize("pixel_range", [None, (0, 1)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_told_with_its_first_image_and_no_range(value, pixel_range):
    images = np.array([[0.0], [-3.5], [value], [value]])
    with pytest.raises(DataError) as caught:
        as_bytes("a.npz", images, pixel_range)
    assert str(caught.value) == (
        f"a.npz has the value {value} in image 2, the first of such, expected numbers. "
        "Mend that image or leave it out, and save the file again."
    )


@pytest.mark.parametrize(
    ("lowest", "highest", "fitting"),
    [
        (0, 1, (0, 1)),
        (0.1, 0.3, (0, 1)),
        (-1, 1, (-1, 1)),
        (-0.98, 0.4, (-1, 1)),
        (-0.5, 0.5, (-0.5, 0.5)),
        (-128, 127, (-128, 127)),
        (0, 255, (0, 255)),
        (0.5, 99.5, (0.5, 99.5)),
        (0.25, 255.25, (0.25, 255.25)),
        (0, 300, (0, 300)),
        (2, 4095, (0, 4095)),
        (0, 65535, (0, 65535)),
        (0, 40000, (0, 65535)),
        (-30000, 30000, (-32768, 32767)),
        (-2.117904, 2.6400001049, (-2.11791, 2.64001)),
        (7.5, 7.5, (0, 7.5)),
        (-7, -7, (-7, 0)),
    ],
)
def test_the_range_that_is_proposed_holds_the_values_and_is_a_usual_one(lowest, highest, fitting):
    assert fitting_range(lowest, highest) == fitting


ENDS = [(-1, 1), (0, 65535), (0.25, 255.25), (-2.5, 2.75)]


@pytest.mark.parametrize(("low", "high"), ENDS)
@pytest.mark.parametrize("put", [in_npz, in_csv, in_one_column])
def test_the_remedy_for_a_wrong_range_is_the_range_that_fits(tmp_path, put, low, high):
    images = low + images_to(255) / 255 * (high - low)
    typed = put(tmp_path, images, np.arange(COUNT) % 2)
    setting = f"data.pixel_range=[{low}, {high}]"
    for said in ([], ["data.pixel_range=[0, 0.125]"]):
        with pytest.raises(DataError) as caught:
            inspect(tmp_path, [*typed, *said])
        assert f"values run from {low} to {high}: set '{setting}', or correct" in str(caught.value)
    found = pixels_of(inspect(tmp_path, [*typed, setting]))
    assert found == {image.tobytes() for image in images_to(255)}


def text_labels_in_npz(folder, images, texts):
    return in_npz(folder, images, np.array(texts))


TEXTS = (in_csv, in_one_column, text_labels_in_npz, in_folders, in_table_of_paths)
PLACES = {
    in_csv: "line 4: the label",
    in_one_column: "line 4: the label",
    text_labels_in_npz: "the label at position 2",
    in_folders: "the name of a folder",
    in_table_of_paths: "line 3: the label",
}
"""Where the third text stands."""


@pytest.mark.parametrize("put", TEXTS)
@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("cat", "Cat", "differ in case, spaces or coding alone"),
        ("ice cream", "icecream", "differ in case, spaces or coding alone"),
        ("caf\u00e9", "cafe\u0301", "differ in case, spaces or coding alone"),
        ("cat", "c\u200bat", "differ in case, spaces or coding alone"),
        ("1", "01", "are one number"),
    ],
)
def test_two_spellings_of_one_class_are_refused(tmp_path, put, one, other, said):
    texts = [one, other, "dog"] * (COUNT // 3)
    typed = put(tmp_path, images_to(255), texts)
    with pytest.raises(DataError, match=said) as caught:
        inspect(tmp_path, typed)
    assert "name all classes in data.classes" in str(caught.value)
    found = inspect(tmp_path, [*typed, f"data.classes=['{one}', '{other}', dog]"])
    assert found.gathered.classes == (one, other, "dog")


def test_two_spellings_of_one_class_of_tensorflow_datasets_are_refused(tmp_path, monkeypatch):
    part = LabelledImages(images_to(255)[..., None], np.arange(COUNT) % 2)
    monkeypatch.setattr(tfds, "load", lambda _: SourceData(part, part, ("a", "A"), "somewhere"))
    typed = ["data.source=tfds", "data.dataset=mnist"]
    with pytest.raises(DataError, match="somewhere: the classes 'a' and 'A' differ in case"):
        inspect(tmp_path, typed)
    assert inspect(tmp_path, [*typed, "data.classes=[a, A]"]).gathered.classes == ("a", "A")


@pytest.mark.parametrize("put", TEXTS)
def test_classes_that_are_numbers_stand_in_their_order(tmp_path, put):
    texts = ["10", "9", "2", "-1"] * (COUNT // 4)
    found = inspect(tmp_path, put(tmp_path, images_to(255), texts))
    assert found.gathered.classes == ("-1", "2", "9", "10")


@pytest.mark.parametrize("put", TEXTS)
@pytest.mark.parametrize("missing", ["nan", "NaN", "None", "<NA>", "NA", "null"])
def test_a_label_that_is_missing_is_no_class_unless_it_is_named(tmp_path, put, missing):
    texts = ["cat", "dog", missing] * (COUNT // 3)
    typed = put(tmp_path, images_to(255), texts)
    with pytest.raises(DataError) as caught:
        inspect(tmp_path, typed)
    assert f"{PLACES[put]} is {missing!r}, which stands for a label that is" in str(caught.value)
    found = inspect(tmp_path, [*typed, f"data.classes=[cat, dog, '{missing}']"])
    assert found.gathered.classes == ("cat", "dog", missing)


@pytest.mark.parametrize("put", TEXTS)
def test_labels_that_are_measured_are_no_classes_unless_they_are_named(tmp_path, put):
    texts = ["1", "2.0", "0.5"] * (COUNT // 3)
    typed = put(tmp_path, images_to(255), texts)
    with pytest.raises(DataError) as caught:
        inspect(tmp_path, typed)
    assert f"{PLACES[put]} is '0.5', expected whole numbers or names. " in str(caught.value)
    found = inspect(tmp_path, [*typed, "data.classes=['0.5', '1', '2.0']"])
    assert found.gathered.classes == ("0.5", "1", "2.0")
    (tmp_path / "names").mkdir()
    names = put(tmp_path / "names", images_to(255), ["0.5", "1.5", "a"] * (COUNT // 3))
    assert inspect(tmp_path, names).gathered.classes == ("0.5", "1.5", "a")


@pytest.mark.parametrize("values", [[0, 0.5], [0, np.nan]])
def test_numbers_in_npz_that_are_no_classes_are_told_with_their_place(tmp_path, values):
    typed = in_npz(tmp_path, images_to(255), np.array(values * (COUNT // 2)))
    with pytest.raises(DataError, match=f"label {values[1]} at position 1, expected whole numbers"):
        inspect(tmp_path, typed)
    objects = np.array(["cat", None, 1.5] * (COUNT // 3), object).astype("str")
    typed = in_npz(tmp_path, images_to(255), objects)
    with pytest.raises(DataError, match="the label at position 1 is 'None', which stands for"):
        inspect(tmp_path, typed)


@pytest.mark.parametrize("put", [in_csv, in_one_column, text_labels_in_npz, in_table_of_paths])
def test_whole_numbers_written_as_fractions_are_the_numbers(tmp_path, put):
    texts = ["10.0", "9e+00", "2.000000000000000000e+00"] * (COUNT // 3)
    found = inspect(tmp_path, put(tmp_path, images_to(255), texts))
    assert found.gathered.classes == ("2", "9", "10")


@pytest.mark.parametrize(
    ("texts", "given", "names", "indices"),
    [
        (("1.0", "1.5"), None, ("1.0", "1.5"), {"1.0": 0, "1.5": 1}),
        (("1.0", "x"), None, ("1.0", "x"), {"1.0": 0, "x": 1}),
        (("0.0", "1.0"), ("cat", "dog"), ("cat", "dog"), {"0.0": 0, "1.0": 1}),
        (("1.0", "2.0"), ("2", "1"), ("2", "1"), {"1.0": 1, "2.0": 0}),
        (("1.0", "2.0"), ("1.0", "2.0"), ("1.0", "2.0"), {"1.0": 0, "2.0": 1}),
        (("cow", "dog"), ("cat", "dog"), ("cat", "dog"), {"dog": 1}),
    ],
)
def test_what_a_text_stands_for(texts, given, names, indices):
    assert classes_of(texts, given) == (names, indices)


def test_order_and_twins_by_hand():
    assert in_order({"b", "10", "9"}) == ("10", "9", "b")
    assert in_order({"-1", "10", "9.5"}) == ("-1", "9.5", "10")
    assert find_twins(["a", "b", "A "]) == ("a", "A ")
    assert find_twins(["a_b", "a b", "a-b", "ab"]) == ("a b", "ab")
    assert find_twins(["2.50", "2.5"]) == ("2.50", "2.5")
    assert find_twins(["1", "2", "v1", "v2"]) is None
