"""Reads pictures from folders: `<class>/*`, or `<split>/<class>/*`."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.schema import ClassNames, OutsidePath
from pipeline.core.errors import DataError
from pipeline.core.text import quoted
from pipeline.data.images.types import DrawnTest, ImageFiles, SourceData
from pipeline.data.sources._class_names import find_twins, in_order, refuse_no_classes, twins_error
from pipeline.data.sources._fitting import fitting_beside, no_folder
from pipeline.data.sources._folder_listing import Listing, Place, list_pictures, look_into
from pipeline.data.sources._picture_files import PictureFiles, PictureOptions

USUAL_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}
LIKE_A_SPLIT = re.compile(r"(?i)(.*[\W_])?(train|test|val)(ing|id|idation)?([\W_\d].*)?")
TEST_FRACTION = 0.2
MOST_LOOKED_AT = 8


class Options(PictureOptions):
    """Which folder, and what the folders in it are.

    The pictures of a class may lie in folders below its own; where the same names recur below
    several, `classes` must say that they are no classes. Hidden files and files that are no
    pictures do not count.

    Attributes:
        folder: holds a folder for each class, or for each split one that holds them.
        train_split: the folder of training images, by its path from `folder` on; None finds
            `train` or `training`, in any case, unless `classes` says that it is a class. Without
            it the folders are classes.
        validation_split: likewise for `validation`, `valid` or `val`; without it, some training
            images are drawn.
        test_split: likewise for `test` or `testing`; without it `test_fraction` is drawn.
        test_fraction: share of each class that becomes the test split; 0.2 where there are no
            folders for splits.
        split_seed: draws that share; apart from `seed`, so that all seeds have one test split.
        classes: names of the class folders in label order; where None, sorted as numbers if all
            are, else by code points.
    """

    source: Literal["image_folder"] = "image_folder"
    folder: OutsidePath
    train_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    split_seed: Annotated[int, Field(ge=0)] = 0
    classes: ClassNames | None = None

    def outside_files(self) -> Mapping[str, Path | None]:
        listings = chain.from_iterable(found.values() for found in _list_all(self).values())
        return PictureFiles(
            {
                name: None if name in part.unsound else f"{self.folder}/{name}"
                for part in listings
                for name in part.names
            }
        )


def load(options: Options) -> SourceData:
    """Lists the files; draws the test split where there is no folder for it.

    Raises:
        DataError: the folder is missing or laid out otherwise, or a class is missing.
    """
    listings = _list_all(options)
    classes = tuple(listings["train"])
    splits = {split: _files(options, found, classes) for split, found in listings.items()}
    origin = f"image folder {options.folder.resolve().name}"
    train, validation = splits["train"], splits.get("validation")
    if "test" in splits:
        return SourceData(train, splits["test"], classes, origin, validation)
    drawn = DrawnTest(options.test_fraction or TEST_FRACTION, options.split_seed)
    return SourceData(train, drawn, classes, origin, validation)


def _files(options: Options, found: Mapping[str, Listing], classes: tuple[str, ...]) -> ImageFiles:
    import numpy as np

    listings = [found.get(name, Listing()) for name in classes]
    names = tuple(chain.from_iterable(listing.names for listing in listings))
    labels = np.repeat(np.arange(len(classes)), [len(listing.names) for listing in listings])
    return ImageFiles(str(options.folder), names, labels, options.decoding())


def _list_all(options: Options) -> dict[str, dict[str, Listing]]:
    """The files of each class by split, the classes of training in label order."""
    root = options.folder
    if not root.is_dir():
        raise no_folder(root)
    splits = _find_splits(options, look_into(root))
    places = {split: look_into(root, name) for split, name in splits.items()}
    for place in places.values():
        _refuse_loose(root, place)
    classes = _find_classes(root, places["train"], options.classes)
    listings = {}
    for split, place in places.items():
        _refuse_unknown(root, place, classes)
        here = set(place.folders)
        listings[split] = {
            name: list_pictures(root, f"{place.name}/{name}".lstrip("/"))
            for name in classes
            if name in here
        }
    for name, listing in listings["train"].items():
        if not listing.names:
            other = f", though other files such as {listing.other!r}" if listing.other else ""
            raise DataError(
                f"{root}: class {name!r} has no picture (png, jpg, jpeg, bmp or webp){other}. "
                "Put some into its folder, or move the folder away."
            )
    if options.classes is None:
        _refuse_containers(root, places["train"], listings["train"])
    return listings


def _find_splits(options: Options, top: Place) -> dict[str, str]:
    """The folder of each split that there is; that of training is empty if classes lie on top."""
    found = {}
    for split, usual in USUAL_NAMES.items():
        asked: str | None = getattr(options, f"{split}_split")
        if asked is not None and not _is_below(options.folder, top, asked):
            raise DataError(
                f"{options.folder}: has no folder {asked!r}, only {quoted(top.folders)}. "
                f"Correct data.{split}_split."
            )
        names = [
            n for n in top.folders if n.casefold() in usual and n not in (options.classes or ())
        ]
        if asked is None and len(names) > 1:
            raise DataError(
                f"{options.folder}: {quoted(names)} may each be the {split} split. "
                f"Set data.{split}_split."
            )
        if name := asked or "".join(names):
            found[split] = name
    return _checked_splits(options, top, found) if "train" in found else _no_splits(options, top)


def _is_below(root: Path, top: Place, path: str) -> bool:
    place = top
    for part in path.split("/"):
        if part not in place.folders:
            return False
        place = look_into(root, f"{place.name}/{part}".lstrip("/"))
    return True


def _checked_splits(options: Options, top: Place, found: dict[str, str]) -> dict[str, str]:
    root = options.folder
    if len(set(found.values())) < len(found):
        raise DataError(
            f"{root}: two splits have one folder ({', '.join(found.values())}). Give each split "
            "a folder of its own."
        )
    if "test" not in found and options.test_fraction is None:
        raise DataError(
            f"{root}: has the folder {found['train']!r} of training images, but none for testing. "
            "Set data.test_split to its name, or data.test_fraction=0.2 to draw some of training."
        )
    if "test" in found and options.test_fraction is not None:
        raise DataError(
            f"{root}: has test images in {found['test']!r}, and data.test_fraction says to draw "
            "some. Leave data.test_fraction out, or move the folder away."
        )
    return found


def _no_splits(options: Options, top: Place) -> dict[str, str]:
    """Each folder is a class, if none of them looks as if it were a split."""
    known = options.classes or ()
    doubtful = [n for n in top.folders if n not in known and LIKE_A_SPLIT.fullmatch(n)]
    if options.test_split or options.validation_split or doubtful:
        raise DataError(
            f"{options.folder}: which folder holds the training images is not clear; there are "
            f"{quoted(top.folders)}. Set data.train_split to its name; if all are classes, name "
            "them in data.classes."
        )
    return {"train": ""}


def _find_classes(root: Path, train: Place, given: tuple[str, ...] | None) -> tuple[str, ...]:
    classes, there = given or in_order(train.folders), set(train.folders)
    if missing := [name for name in classes if name not in there]:
        raise DataError(
            f"{root / train.name}: has no folder for the class {missing[0]!r}, only "
            f"{quoted(train.folders)}. Correct data.classes."
        )
    if len(classes) < 2:
        found = f"one class folder ({classes[0]!r})" if classes else "no class folders"
        raise DataError(
            f"{root / train.name}: holds {found}, expected 2 or more with pictures in them. "
            f"{_remedy(root, train)}."
        )
    if given is None:
        named = filter(str.strip, classes)  # others are refused as those of every source
        refuse_no_classes(dict.fromkeys(named, f"{root / train.name}: the name of a folder"))
        if twins := find_twins(classes):
            raise twins_error(str(root / train.name), "folders", twins)
    elif len(set(given)) < len(given):
        twice = next(name for name in given if given.count(name) > 1)
        raise DataError(f"{root}: data.classes names {twice!r} twice. Remove one of the two.")
    return classes


def _refuse_containers(root: Path, train: Place, found: Mapping[str, Listing]) -> None:
    """Refuses folders most of whose pictures lie below in folders that recur, as classes would."""
    start = len(f"{train.name}/".lstrip("/"))
    below = {
        name: Counter(
            picture[start + len(name) + 1 :].rpartition("/")[0] for picture in listing.names
        )
        for name, listing in found.items()
    }
    times = Counter(chain.from_iterable(below.values()))
    recurring = {folder for folder, count in times.items() if folder and count > 1}
    if len(recurring) < 2 or any(
        2 * sum(folders[folder] for folder in recurring & folders.keys()) <= folders.total()
        for folders in below.values()
    ):
        return
    outer, inner = tuple(found), in_order(recurring)
    raise DataError(
        f"{root / train.name}: {quoted(outer, 3)} would be the classes, but folders of the same "
        f"names recur below them: {quoted(inner, 3)}. "
        f"{_remedy_of_containers(root, train, outer, inner)}; if {quoted(outer, 3)} are the "
        "classes, name them in data.classes."
    )


def _remedy_of_containers(
    root: Path, train: Place, outer: Sequence[str], inner: Sequence[str]
) -> str:
    if all(LIKE_A_SPLIT.fullmatch(name) for name in inner):
        return f"If these are splits, put them on top, as {inner[0]}/{outer[0]}"
    way = os.path.commonpath([str(Path(name).parent) for name in inner])
    one, other = (str(Path(name, way)) for name in outer[:2])
    if train.name:
        way = f"set {quote(f'data.train_split={train.name}/{one}')}, or join those of one name"
    else:
        way = (
            f"set {quote(f'data.folder={root / one}')}, join those of one name, or set "
            f"{quote(f'data.train_split={one}')} and {quote(f'data.test_split={other}')}"
        )
    return f"If these are the classes, {way}"


def _remedy(root: Path, train: Place) -> str:
    """Where a single folder leads to several: the setting that takes these."""
    place = train
    while len(place.folders) == 1 and not place.picture:
        place = look_into(root, f"{place.name}/{place.folders[0]}".lstrip("/"))
    if len(place.folders) < 2:
        files = sorted(path.name for path in root.glob("*") if path.is_file())
        if other := fitting_beside(root, files[:MOST_LOOKED_AT], "npz", "csv", "idx"):
            return other.removesuffix(".")
        return "Put the pictures of each class into a folder of its name"
    setting = f"train_split={place.name}" if train.name else f"folder={root / place.name}"
    return (
        f"If the classes are {quoted(place.folders)} below, set {quote(f'data.{setting}')}; "
        "else put the pictures of each class into a folder of its name"
    )


def _refuse_loose(root: Path, place: Place) -> None:
    if place.picture:
        raise DataError(
            f"{root / place.name}: the picture {place.picture!r} lies beside the class folders. "
            "Move such pictures into the folders of their classes; if the folder itself is a "
            "class, name all classes in data.classes."
        )


def _refuse_unknown(root: Path, place: Place, classes: tuple[str, ...]) -> None:
    known = set(classes)
    if unknown := [name for name in place.folders if name not in known]:
        raise DataError(
            f"{root / place.name}: the folder {unknown[0]!r} is none of the classes "
            f"{quoted(classes)}. Move it away, correct its name, or add the class."
        )
