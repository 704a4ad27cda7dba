"""Folders of pictures that must be refused."""

import os
import shutil
import unicodedata

from PIL import Image

from tests.hostile.photos import PICTURE, from_folder, option, put
from tests.hostile.row import Hostile

SPLITS = [f"{split}/{name}" for split in ("train", "val", "test") for name in ("cat", "dog")]


def folders(where, remedy, *places, options=(), change=lambda folder: None):
    """Good pictures in each of some places, and then a change."""

    def make(folder):
        put(folder, *places)
        change(folder)
        return from_folder(folder, *options)

    return Hostile(make, where, remedy)


def two(where, remedy, change=lambda folder: None, options=()):
    return folders(where, remedy, "cat", "dog", options=options, change=change)


def splits(where, remedy, change=lambda folder: None, options=()):
    return folders(where, remedy, *SPLITS, options=options, change=change)


def elsewhere(folder):
    """A folder outside of the data."""
    put(folder.parent, "outside")
    return folder.parent / "outside"


def emptied(place):
    """Removes the pictures and leaves the folder."""

    def change(folder):
        for path in (folder / place).rglob("*.png"):
            path.unlink()

    return change


def overwritten(place):
    """Leaves a file for each picture, without a picture in it."""

    def change(folder):
        for path in (folder / place).rglob("*.png"):
            path.write_bytes(b"")

    return change


def copied(source, target):
    """The pictures of one place stand in the other too."""

    def change(folder):
        for path in (folder / source).glob("*.png"):
            shutil.copy(path, folder / target / path.name)

    return change


def moved(source, target):
    return lambda folder: (folder / source).rename(folder / target)


def linked(target):
    """Nothing but a link where the data should be."""

    def make(folder):
        (folder / "photos").symlink_to(target)
        return from_folder(folder / "photos")

    return make


def named(name):
    return lambda folder: from_folder(f"{folder}/{name}")


def deep(folder):
    """Folders in folders, until no path is short enough to lead there."""
    here = os.open(folder / "cat", os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 255, dir_fd=here)
        below = os.open("d" * 255, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def many(count, each):
    """As many classes, with a few pictures of a single pixel each."""

    def make(folder):
        Image.new("RGB", (1, 1)).save(folder.parent / "pixel.png")
        for number in range(count):
            (folder / f"{number:05}").mkdir()
            for copy in range(each):
                os.link(folder.parent / "pixel.png", folder / f"{number:05}" / f"{copy}.png")
        return from_folder(folder)

    return make


def darkened(folder):
    """White is 1, as in many masks."""
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            dark = image.convert("L").point(lambda value: value // 128)
        dark.save(path)


KINDS = {
    "no folder": Hostile(named("nothing"), "nothing: no such folder", "set data.folder"),
    "a file": Hostile(
        lambda folder: (folder / "f").touch() or from_folder(folder / "f"),
        "f: is a file, expected a folder", "Set data.folder",
    ),
    "a link to itself": Hostile(linked("photos"), "photos: no such folder", "set data.folder"),
    "a link to nothing": Hostile(linked("nothing"), "photos: no such folder", "set data.folder"),
    "a name of 5,000 letters": Hostile(
        named("a" * 5000), "aaa: cannot be looked for (File name too long)", "Correct its path"
    ),
    "a name with NUL": Hostile(named("a\0b"), r"a\x00b", "data.folder"),
    "a name with a line break": Hostile(
        named("a\nb\x1b[31m"), r"a\nb\x1b[31m: no such folder", "set data.folder"
    ),
    "an empty folder": folders("input: holds no class folders", "expected 2 or more"),
    "pictures without a class": folders(
        "input: the picture '0.png' lies beside", "into the folders of their classes", "."
    ),
    "one class": folders(
        "input: holds one class folder ('cat')", "Put the pictures of each", "cat"
    ),
    "one class in 'train'": folders(
        "input/train: holds one class folder ('cat')", "Put the pictures", "train/cat", "test/cat"
    ),
    "class folders one level deeper": folders(
        "input: holds one class folder ('pets')", "input/pets; else", "pets/cat", "pets/dog"
    ),
    "class folders two levels deeper, beside what a Mac left": folders(
        "input: holds one class folder ('a')", "data.folder=", "a/b/cat", "a/b/dog", "__MACOSX/a"
    ),
    "class folders one level deeper, in two folders": folders(
        "input: 'a', 'b' would be the classes, but folders of the same names recur below them: ",
        "join those of one name, or set data.train_split=a and data.test_split=b",
        "a/cat", "a/dog", "b/cat", "b/dog",
    ),
    "class folders one level deeper in 'train'": folders(
        "input/train: holds one class folder ('train')", "set data.train_split=train/train",
        "train/train/cat", "train/train/dog", options=["data.test_fraction=0.2"],
    ),
    "pictures whose pixels are 0 and 1": two(
        "image folder input: training split has pixels from 0 to 1, expected 0..255",
        "Save the pictures with 255 for white", darkened,
    ),
    "another range for pictures": two(
        "data: pixel_range: the pixels of picture files are 0..255, not [0.0, 1.0]",
        "save the pictures so", options=["data.pixel_range=[0, 1]"],
    ),
    "10,000 classes of one picture": Hostile(
        many(10_000, 1), "input: class '00000' (label 0) has 1 image to train on", "Add images"
    ),
    "10,000 classes of two pictures": Hostile(
        many(10_000, 2),
        "input: class '00000' (label 0) has 2 images to train on, expected 3",
        "Add images",
    ),
    "a picture beside the classes": two(
        "input: the picture 'x.PNG' lies beside the class", "Move such pictures",
        lambda folder: PICTURE.save(folder / "x.PNG"),
    ),
    "a class without pictures": two(
        "input: class 'dog' has no picture", "Put some into its folder", emptied("dog")
    ),
    "a class of text files": two(
        "input: class 'doc' has no picture (png, jpg, jpeg, bmp or webp), though other files such "
        "as 'doc/a.txt'", "move the folder away",
        lambda folder: (folder / "doc").mkdir() or (folder / "doc" / "a.txt").touch(),
    ),
    "a class of refused files": two(
        "input: class 'dog' (label 1) has no training image left: all are refused, such as "
        "dog/", "which has no bytes; copy it again. Correct them", overwritten("dog"),
    ),
    "refused files alone": two(
        "input/cat/", "are refused; correct them", overwritten(".")
    ),
    "a training split without pictures": splits(
        "input: class 'cat' has no picture", "Put some into its folder", emptied("train")
    ),
    "a training split without a class": splits(
        "input/train: holds no class folders", "Put the pictures",
        lambda folder: shutil.rmtree(folder / "train") or (folder / "train").mkdir(),
    ),
    "a validation split without pictures": splits(
        "input: validation split has no image", "Add", emptied("val")
    ),
    "a test split without pictures": splits(
        "input: test split has no image", "Add", emptied("test")
    ),
    "a test split of refused files": splits(
        "input/test/cat/", "pictures of the test split are refused", overwritten("test")
    ),
    "test pictures without a class": splits(
        "input/test: the picture '0.png' lies beside", "Move such pictures",
        lambda folder: PICTURE.save(folder / "test" / "0.png"),
    ),
    "a class that stands in test alone": splits(
        "input/test: the folder 'cow' is none of the classes 'cat', 'dog'", "add the class",
        lambda folder: put(folder, "test/cow"),
    ),
    "no test split": splits(
        "input: has the folder 'train' of training images, but none for testing",
        "data.test_fraction=0.2", moved("test", "exam"),
    ),
    "no training split": splits(
        "which folder holds the training images is not clear", "Set data.train_split",
        moved("train", "learn"),
    ),
    "a training split by another name": splits(
        "which folder holds the training images is not clear", "Set data.train_split",
        moved("train", "train-2024"),
    ),
    "two training splits": splits(
        "input: 'Train', 'train' may each be the train split", "Set data.train_split",
        lambda folder: put(folder, "Train/cat", "Train/dog"),
    ),
    "one folder for two splits": splits(
        "input: two splits have one folder (train, train", "a folder of its own",
        options=["data.validation_split=train"],
    ),
    "a split that climbs out": splits(
        "input: has no folder '../input/train'", "Correct data.train_split",
        options=["data.train_split=../input/train"],
    ),
    "a test split, and some to draw": splits(
        "input: has test images in 'test', and data.test_fraction", "Leave data.test_fraction out",
        options=["data.test_fraction=0.2"],
    ),
    "a class that stands in two cases": folders(
        "input: the folders 'Dog' and 'dog' differ", "data.classes", "Dog", "cat", "dog"
    ),
    "a class in two codings of one letter": folders(
        "input: the folders ", "data.classes",
        *(unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD")),
    ),
    "a class that a space ends": folders(
        "input: the folders 'dog' and 'dog ' differ", "data.classes", "dog", "dog ", "cat"
    ),
    "data.classes with a class too many": two(
        "input: has no folder for the class 'cow', only 'cat', 'dog'", "Correct data.classes",
        options=[option("classes", ["cat", "cow", "dog"])],
    ),
    "data.classes with a class too few": folders(
        "input: the folder 'eel' is none of the classes 'cat', 'dog'", "add the class",
        "cat", "dog", "eel", options=[option("classes", ["cat", "dog"])],
    ),
    "data.classes with a class twice": two(
        "input: data.classes names 'cat' twice", "Remove one",
        options=[option("classes", ["cat", "cat", "dog"])],
    ),
    "data.classes that climb out": two(
        "input: has no folder for the class '../outside'", "Correct data.classes", elsewhere,
        options=[option("classes", ["cat", "../outside", "dog"])],
    ),
    "a class name with a line break": folders(
        r"label 1 has the class name 'd\nog'", "Rename the class", "cat", "d\nog"
    ),
    "a class name with an escape sequence": folders(
        r"label 0 has the class name '\x1b[2Jcat'", "Rename the class", "\x1b[2Jcat", "dog"
    ),
    "a class name that is a space": folders(
        "label 0 has the class name ' '", "Rename the class", " ", "dog"
    ),
    "a class name that is no text": two(
        r"c\udce9t", "its name is not UTF-8. Rename the folder",
        lambda folder: (folder / "cat").rename(folder / "c\udce9t"),
    ),
    "a class folder that is a link to outside": two(
        "input/cow: is a link that leads out of the data folder", "Copy what it leads to",
        lambda folder: (folder / "cow").symlink_to(elsewhere(folder)),
    ),
    "a class folder that is a link to itself": two(
        "input/cow: is a link that leads nowhere", "or remove it",
        lambda folder: (folder / "cow").symlink_to("cow"),
    ),
    "a class folder that is a link to nothing": two(
        "input/cow: is a link that leads nowhere", "or remove it",
        lambda folder: (folder / "cow").symlink_to("gone"),
    ),
    "a class folder that is a link to too long a name": two(
        "input/cow: is a link that leads nowhere", "or remove it",
        lambda folder: (folder / "cow").symlink_to("a" * 300),
    ),
    "folders too deep to reach": two("input/cat/ddd", "Check the folder", deep),
    "pictures of two sizes": two(
        "input/dog/15.png: is 9×7 pixels, but cat/0.png is 12×12", "Set data.image_size",
        lambda folder: PICTURE.resize((9, 7)).save(folder / "dog" / "15.png"),
    ),
    "training pictures that all stand in test": splits(
        "training split: every image of class 'cat' is in validation or test too",
        "drop_leaks=false",
        lambda folder: [copied(f"train/{n}", f"test/{n}")(folder) for n in ("cat", "dog")],
    ),
    "validation pictures that all stand in test": splits(
        "validation split: every image is in the test split too", "drop_leaks=false",
        lambda folder: [copied(f"val/{n}", f"test/{n}")(folder) for n in ("cat", "dog")],
    ),
}  # fmt: skip
