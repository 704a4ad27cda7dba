"""Tables of paths that must be refused."""

from tests.hostile import bad_pictures
from tests.hostile.photos import COUNT, option, put
from tests.hostile.row import Hostile

CATS, DOGS = range(COUNT), range(COUNT, 2 * COUNT)
GOOD = [*(f"cat/{n}.png,cat" for n in CATS), *(f"dog/{n}.png,dog" for n in DOGS)]


def from_table(folder, rows, *options):
    """Good pictures and a table of rows; gives what is typed to read it."""
    put(folder, "cat", "dog")
    table = folder / "all.csv"
    table.write_text("\n".join(["file,label", *rows, ""]), encoding="utf-8")
    return [
        "data.source=csv",
        option("train_file", str(table)),
        "data.path_column=file",
        "data.test_fraction=0.25",
        *options,
    ]


def table(where, remedy, *rows, options=()):
    """The good rows, and then some."""
    return Hostile(
        lambda folder: from_table(folder, [*GOOD, *rows], *options), f"all.csv: {where}", remedy
    )


def only(where, remedy, *rows, options=()):
    return Hostile(lambda folder: from_table(folder, rows, *options), where, remedy)


def outside(path):
    return table(f"line 18: the path '{path}' leads to no file", "Correct it", f"{path},cat")


def bad_rows(folder):
    """Puts each bad picture that a table can name; the rows, and (kind, reason) by file."""
    expected = {
        "cat/gone.png": ("unreadable", "cannot be read (No such file"),
        "cat": ("unreadable", "is a folder"),
        "n" * 300 + ".png": ("unreadable", "cannot be read (File name too long"),
        "cat/0.png/1.png": ("unreadable", "cannot be read (Not a directory"),
        "out/secret.png": ("unreadable", "leads out of the data folder"),
    }
    for number, (name, row) in enumerate(bad_pictures.KINDS.items()):
        if name != "a name that is no text":
            path = folder / f"bad {number}" / row.name
            path.parent.mkdir()
            row.make(path)
            expected[f"bad {number}/{row.name}"] = (row.kind, row.reason)
    (folder / "out").symlink_to(folder.parent / "outside")
    return [f"{name},cat" for name in expected], expected


KINDS = {
    "a path that climbs out": outside("../outside.png"),
    "a path that climbs out on a detour": outside("cat/../../outside.png"),
    "a path from the root": outside("/etc/passwd"),
    "a path to the folder itself": outside("cat/.."),
    "an empty path": table("line 18: names no file", "drop the row", ",cat"),
    "a blank path": table("line 18: names no file", "drop the row", "  ,cat"),
    "a path with NUL": table("line 18: holds a NUL", "CSV in UTF-8", "cat/\0.png,cat"),
    "no label": table("line 18: has no label", "drop the row", "cat/0.png,"),
    "no column of paths": table(
        "line 1: no column 'path'", "Correct data.path_column", options=["data.path_column=path"]
    ),
    "paths for labels": table(
        "line 1: no column 'file' beside", "data.path_column", options=["data.label_column=file"]
    ),
    "no folder of pictures": only(
        "nowhere: no such folder", "set data.image_folder", *GOOD,
        options=["data.image_folder=nowhere"],
    ),
    "no picture where the paths lead": only(
        "all.csv: none of its 16 pictures is there, such as 'cat/no-0.png'", "data.image_folder",
        *(row.replace("/", "/no-") for row in GOOD),
    ),
    "names without their ending": only(
        "all.csv: line 2: 'cat/0' is no file in", "Set data.path_suffix=.png",
        *(row.replace(".png", "") for row in GOOD),
    ),
    "labels that differ in a space": table(
        "line 18: the labels 'cat' and 'cat ' differ", "data.classes", "cat/0.png,cat "
    ),
    "one class": only(
        "CSV table all.csv: the number of classes is 1", "Add images", *GOOD[:COUNT]
    ),
    "a class of missing files": only(
        "all.csv: class 'eel' (label 2) has no training image left: all are refused, such as eel/",
        "Correct them", *GOOD, *(f"eel/{number}.png,eel" for number in range(4)),
    ),
}  # fmt: skip
