import os
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from pipeline.core.errors import DataError
from pipeline.data.images.decoding import Decoding
from pipeline.data.sources import image_folder
from pipeline.data.sources.image_folder import Options
from pipeline.workflow.keys import outside_version
from tests.data.sources.drawing import with_test_drawn


def put(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)


@pytest.fixture
def classes(tmp_path):
    """Ten cats and five dogs, no splits."""
    root = tmp_path / "pets"
    put(root, *(f"cat/{n}.png" for n in range(10)), *(f"dog/{n}.jpg" for n in range(5)))
    return root


@pytest.fixture
def splits(tmp_path):
    root = tmp_path / "pets"
    for split, count in (("train", 4), ("val", 2), ("test", 3)):
        put(root, *(f"{split}/{name}/{n}.png" for name in ("cat", "dog") for n in range(count)))
    return root


def load(root, **options):
    return with_test_drawn(image_folder.load(Options(folder=root, **options)))


def refusal(root, **options):
    with pytest.raises(DataError) as caught:
        load(root, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(root))
    return message.removeprefix(str(root))


def of(files):
    return sorted(zip(files.names, files.labels.tolist(), strict=True))


def test_folders_are_classes_in_order_of_their_names(classes):
    put(classes, "Ant/1.png", "Ant/2.png", "élan/1.png", "élan/2.png")
    data = load(classes)
    assert data.classes == ("Ant", "cat", "dog", "élan")
    assert data.origin == "image folder pets"
    found = of(data.train) + of(data.test)
    assert len(found) == 19
    assert all(name.startswith(f"{data.classes[label]}/") for name, label in found)


def test_the_test_split_is_drawn_from_each_class_by_its_own_seed(classes):
    data, again, other = (load(classes, split_seed=seed) for seed in (0, 0, 1))
    assert np.bincount(data.test.labels).tolist() == [2, 1]
    assert np.bincount(data.train.labels).tolist() == [8, 4]
    assert set(data.train.names).isdisjoint(data.test.names)
    assert data.test.names == again.test.names != other.test.names
    assert np.bincount(load(classes, test_fraction=0.4).test.labels).tolist() == [4, 2]


def test_folders_of_splits_are_found_and_kept(splits):
    data = load(splits)
    assert data.classes == ("cat", "dog")
    assert of(data.test) == [
        (f"test/{name}/{n}.png", label) for label, name in enumerate(data.classes) for n in range(3)
    ]
    assert [len(part) for part in (data.train, data.validation, data.test)] == [8, 4, 6]


@pytest.mark.parametrize("name", ["validation", "valid", "Val", "VALIDATION"])
def test_usual_names_of_splits_are_known_in_any_case(splits, name):
    (splits / "val").rename(splits / name)
    (splits / "train").rename(splits / "Train")
    assert load(splits).validation.names[0] == f"{name}/cat/0.png"


def test_other_names_of_splits_are_given(splits):
    (splits / "train").rename(splits / "a")
    (splits / "test").rename(splits / "b")
    (splits / "val").rename(splits / "c")
    data = load(splits, train_split="a", test_split="b")
    assert [len(part) for part in (data.train, data.test)] == [8, 6]
    assert data.validation is None


def test_a_test_split_is_drawn_from_training_only_when_asked_for(splits):
    (splits / "test").rename(splits / "more")
    assert "Set data.test_split to its name, or data.test_fraction=0.2" in refusal(splits)
    data = load(splits, test_fraction=0.25)
    assert [len(part) for part in (data.train, data.test)] == [6, 2]
    assert all(name.startswith("train/") for name in data.test.names)


def test_pictures_are_found_below_their_class_and_other_files_are_not(classes):
    put(classes, "cat/deep/er/x.WEBP", "cat/y.BMP", "cat/.hidden.png", "cat/.cache/z.png")
    for name in ("Thumbs.db", "notes.txt", ".DS_Store"):
        (classes / "cat" / name).write_bytes(b"x")
    (classes / ".git").mkdir()
    data = load(classes)
    names = {*data.train.names, *data.test.names}
    assert {"cat/deep/er/x.WEBP", "cat/y.BMP"} <= names
    assert len(names) == 17


def test_pictures_of_other_formats_are_listed_so_that_they_are_refused_by_name(classes):
    for name in ("a.gif", "b.HEIC", "c.tif"):
        (classes / "dog" / name).write_bytes(b"x")
    data = load(classes)
    assert {"dog/a.gif", "dog/b.HEIC", "dog/c.tif"} <= {*data.train.names, *data.test.names}


def test_given_classes_have_that_order(classes):
    data = load(classes, classes=("dog", "cat"))
    assert data.classes == ("dog", "cat")
    assert {name[:3]: label for name, label in of(data.train)} == {"cat": 1, "dog": 0}


def test_the_options_say_how_files_are_decoded(classes):
    data = load(classes, color_mode="grayscale", image_size=(8, 9), fit="crop", alpha="white")
    assert data.train.decoding == Decoding("grayscale", (8, 9), "crop", "white")


def test_a_fit_without_a_size_is_refused():
    with pytest.raises(
        ValidationError, match=r"data.fit=crop needs a size, such as data.image_size='\[64, 64\]'"
    ):
        Options(folder=Path("x"), fit="crop")


def test_a_missing_folder_is_named_with_the_remedy(tmp_path):
    assert refusal(tmp_path / "no") == ": no such folder. Put it there, or set data.folder."


def test_an_empty_folder_is_told(tmp_path):
    assert ": holds no class folders, expected 2 or more" in refusal(tmp_path)


def test_one_class_is_told(tmp_path):
    put(tmp_path, "cat/1.png")
    assert ": holds one class folder ('cat'), expected 2 or more" in refusal(tmp_path)


def test_class_folders_further_down_are_named_with_the_setting(tmp_path):
    put(tmp_path, "pets/Cat/1.png", "pets/Dog/1.png", "__MACOSX/pets/._1.png")
    assert refusal(tmp_path) == (
        ": holds one class folder ('pets'), expected 2 or more with pictures in them. If the "
        f"classes are 'Cat', 'Dog' below, set data.folder={tmp_path}/pets; else put the pictures "
        "of each class into a folder of its name."
    )


def test_a_setting_with_a_space_is_quoted(tmp_path):
    put(tmp_path, "my pets/Cat/1.png", "my pets/Dog/1.png")
    assert f"below, set 'data.folder={tmp_path}/my pets'; else" in refusal(tmp_path)


def test_splits_may_lie_further_down(tmp_path):
    put(tmp_path, *(f"{s}/{s}/{c}/1.png" for s in ("train", "test") for c in ("cat", "dog")))
    assert "/train: holds one class folder ('train')" in refusal(tmp_path)
    assert "set data.train_split=train/train; else" in refusal(tmp_path)
    data = load(tmp_path, train_split="train/train", test_split="test/test")
    assert data.train.names == ("train/train/cat/1.png", "train/train/dog/1.png")
    assert data.test.names == ("test/test/cat/1.png", "test/test/dog/1.png")
    for path in ("train/no", "../x", "train/../train", "/train", "train/"):
        assert f"has no folder '{path}'" in refusal(tmp_path, train_split=path)


def test_pictures_beside_the_classes_are_refused(classes):
    put(classes, "loose.jpg")
    assert refusal(classes).startswith(": the picture 'loose.jpg' lies beside the class folders")


def test_unlabelled_test_pictures_are_refused(splits):
    put(splits, "test/1.png")
    assert refusal(splits).startswith("/test: the picture '1.png' lies beside the class folders")


def test_a_class_without_pictures_is_told_with_what_lies_there(classes):
    (classes / "cow").mkdir()
    (classes / "cow" / "a.mp4").touch()
    assert refusal(classes).startswith(
        ": class 'cow' has no picture (png, jpg, jpeg, bmp or webp), though other files such as "
        "'cow/a.mp4'. Put some"
    )


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_folder_that_is_no_class_of_training_is_refused(splits, split):
    put(splits, f"{split}/cow/1.png")
    assert refusal(splits).startswith(
        f"/{split}: the folder 'cow' is none of the classes 'cat', 'dog'"
    )


def test_given_classes_without_a_folder_and_folders_without_a_class_are_refused(classes):
    message = refusal(classes, classes=("cat", "dog", "cow"))
    assert (
        message == ": has no folder for the class 'cow', only 'cat', 'dog'. Correct data.classes."
    )
    put(classes, "cow/1.png")
    assert ": the folder 'cow' is none of the classes" in refusal(classes, classes=("cat", "dog"))


@pytest.mark.parametrize(
    "names", [("seg_train", "seg_test"), ("cat", "test"), ("a", "Training set")]
)
def test_folders_that_look_like_splits_are_not_taken_for_classes(tmp_path, names):
    put(tmp_path, *(f"{name}/{n}.png" for name in names for n in range(3)))
    assert "Set data.train_split to its name; if all are classes" in refusal(tmp_path)
    assert set(load(tmp_path, classes=names).classes) == set(names)


@pytest.mark.parametrize("name", ["trainers", "contest", "valley", "attest", "latest"])
def test_words_that_only_hold_those_letters_are_classes(classes, name):
    put(classes, *(f"{name}/{n}.png" for n in range(3)))
    assert name in load(classes).classes


def test_a_class_may_be_called_train(tmp_path):
    put(tmp_path, *(f"{name}/{n}.png" for name in ("car", "train") for n in range(3)))
    assert "/train: the picture '0.png' lies beside" in refusal(tmp_path, test_fraction=0.3)
    assert load(tmp_path, classes=("car", "train")).classes == ("car", "train")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"test_split": "nope"},
            "has no folder 'nope', only 'test', 'train', 'val'. Correct",
        ),
        ({"train_split": "val"}, "two splits have one folder"),
        ({"test_fraction": 0.2}, "has test images in 'test', and data.test_fraction says to draw"),
    ],
)
def test_options_that_contradict_the_folders_are_refused(splits, options, words):
    assert refusal(splits, **options).startswith(f": {words}")


def test_two_folders_for_one_split_are_refused(splits):
    put(splits, "valid/cat/1.png")
    assert ": 'val', 'valid' may each be the validation split" in refusal(splits)


def test_links_within_the_folder_are_followed_once(classes):
    (classes / "cat" / "again.png").symlink_to("0.png")
    (classes / "cat" / "round").symlink_to(classes / "cat")
    (classes / "cat" / "up").symlink_to(classes)
    put(classes, "dog/more/x.png")
    (classes / "dog" / "alias").symlink_to("more")
    (classes / "dog" / "self.png").symlink_to("self.png")
    names = [*load(classes).train.names, *load(classes).test.names]
    assert "cat/again.png" in names
    assert len([name for name in names if name.startswith("dog/") and name.endswith("x.png")]) == 1
    assert "dog/self.png" in names
    assert not any("round" in name or "up" in name for name in names)


def test_links_that_lead_out_are_listed_to_be_refused_but_not_hashed(classes, tmp_path):
    put(tmp_path, "secret.png")
    (classes / "cat" / "out.png").symlink_to(tmp_path / "secret.png")
    (classes / "cat" / "way").symlink_to("/etc")
    (classes / "cat" / "endless.png").symlink_to("/dev/zero")
    os.mkfifo(classes / "cat" / "pipe.png")
    listed = {*load(classes).train.names, *load(classes).test.names}
    odd = {"cat/out.png", "cat/way", "cat/endless.png", "cat/pipe.png"}
    assert odd <= listed
    files = Options(folder=classes).outside_files()
    assert {name for name in files if files[name] is None} == odd
    assert len(files) == 15 + len(odd)
    before = outside_version(files)
    (classes / "cat" / "way").unlink()
    assert outside_version(Options(folder=classes).outside_files()) != before


def test_a_class_folder_that_leads_out_is_refused(classes, tmp_path):
    put(tmp_path, "cows/1.png", "cows/2.png")
    (classes / "cow").symlink_to(tmp_path / "cows")
    assert refusal(classes).startswith("/cow: is a link that leads out of the data folder")


def test_names_of_any_kind_break_nothing(classes):
    long = "x" * 251 + ".png"
    put(classes, "cat/a\nb.png", "cat/🐈.png", f"cat/{long}", "cat/\x1b[31m.png")
    Image.new("RGB", (4, 4)).save(os.fsencode(classes) + b"/cat/caf\xe9.png", "PNG")
    data = load(classes)
    names = {*data.train.names, *data.test.names}
    assert {"cat/a\nb.png", "cat/🐈.png", f"cat/{long}", "cat/caf\udce9.png"} <= names
    assert outside_version(Options(folder=classes).outside_files())


def test_a_class_whose_name_is_no_text_is_refused(classes):
    (classes / "caf\udce9").mkdir()
    with pytest.raises(DataError, match=r"caf\\udce9': its name is not UTF-8\. Rename the folder"):
        load(classes)


def test_names_and_bytes_decide_the_version_and_the_place_does_not(classes, tmp_path):
    def version(root):
        return outside_version(Options(folder=root).outside_files())

    before = version(classes)
    moved = classes.rename(tmp_path / "elsewhere")
    assert version(moved) == before
    (moved / "cat" / "0.png").rename(moved / "cat" / "00.png")
    assert version(moved) != before


def test_many_files_are_listed_quickly_and_in_little_memory(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(4000):
            (tmp_path / name / f"{number:06}.jpg").touch()
    start = time.process_time()
    files = Options(folder=tmp_path).outside_files()
    assert time.process_time() - start < 2
    assert len(files) == 8000
    tracemalloc.start()
    try:
        data = load(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()
    assert len(data.train) == 6400


def test_ten_thousand_classes_are_listed(tmp_path):
    for number in range(10_000):
        folder = tmp_path / f"class{number:05}"
        folder.mkdir()
        for name in ("a.png", "b.png"):
            (folder / name).touch()
    data = load(tmp_path)
    assert len(data.classes) == 10_000
    assert np.bincount(data.test.labels).tolist() == [1] * 10_000


def pictures(*folders, count=4):
    return [f"{folder}/{number}.png" for folder in folders for number in range(count)]


CONTAINERS = {
    "the same classes in each": ("a/0", "a/1", "a/2", "b/0", "b/1", "b/2"),
    "a class that one has not": ("a/0", "a/1", "a/2", "b/0", "b/1"),
    "deeper": ("a/images/0", "a/images/1", "b/images/0", "b/images/1"),
    "three, one with a class of its own": ("a/0", "a/1", "b/0", "b/1", "c/0", "c/1", "c/2"),
}


@pytest.mark.parametrize("folders", CONTAINERS.values(), ids=CONTAINERS)
def test_a_folder_one_level_too_high_is_refused_with_the_ways_out(tmp_path, folders):
    put(tmp_path, *pictures(*folders), "a/preview.png")
    found = refusal(tmp_path)
    way, inner = ("/images", "images/") if "a/images/0" in folders else ("", "")
    assert "'a', 'b'" in found
    assert f"folders of the same names recur below them: '{inner}0', '{inner}1'" in found
    assert f"set data.folder={tmp_path}/a{way}, join those of one name, or " in found
    assert f"set data.train_split=a{way} and data.test_split=b{way}; if 'a', 'b'" in found
    outer = tuple(sorted({name[0] for name in folders}))
    assert load(tmp_path, classes=outer).classes == outer
    (tmp_path / "a" / "preview.png").unlink()
    assert load(tmp_path / f"a{way}").classes[:2] == ("0", "1")
    if "c/2" not in folders:
        data = load(tmp_path, train_split=f"a{way}", test_split=f"b{way}")
        assert data.classes[:2] == ("0", "1")


def test_a_split_one_level_too_high_is_refused_by_its_own_setting(tmp_path):
    put(tmp_path, *pictures(*(f"train/{folder}" for folder in ("a/0", "a/1", "b/0", "b/1"))))
    found = refusal(tmp_path, test_fraction=0.25)
    assert found.startswith("/train: 'a', 'b' would be the classes")
    assert "set data.train_split=train/a, or join those of one name; if" in found
    assert load(tmp_path, test_fraction=0.25, train_split="train/a").classes == ("0", "1")


def test_splits_below_the_classes_are_refused_with_the_right_order(tmp_path):
    put(tmp_path, *pictures("cat/train", "cat/test", "dog/train", "dog/test"))
    assert "If these are splits, put them on top, as test/cat; if 'cat', 'dog'" in refusal(tmp_path)


NESTED = {
    "one name for all": ("cat/images", "dog/images"),
    "names of their own": ("cat/tabby", "cat/siamese", "dog/poodle", "dog/boxer"),
    "one name that recurs": ("cat/2023", "cat/2024", "dog/2024", "dog/2025"),
    "pictures in the folders themselves": ("cat", "cat/1", "dog", "dog/1", "cow", "cow/1"),
    "most in folders of their own": ("cat/1", "cat/2", "cat/a", "cat/b", "cat/c", "dog/1", "dog/2"),
    "a class without folders": ("cat/1", "cat/2", "dog/1", "dog/2", "cow"),
}


@pytest.mark.parametrize("folders", NESTED.values(), ids=NESTED)
def test_folders_below_those_of_classes_may_be_of_any_other_names(tmp_path, folders):
    put(tmp_path, *pictures(*folders))
    assert load(tmp_path).classes == tuple(sorted({name.split("/")[0] for name in folders}))
