"""Tables of pixels that must be refused."""

import json
from functools import partial

from tests.hostile.row import Hostile

TABLE = "label,p0,p1,p2,p3\n7,0,1,2,3\n9,4,5,6,255\n7,8,9,10,11\n9,12,13,14,15\n"
BROKEN = 'data.classes=["a", "b\\nc"]'
OPTIONS = ("data.source=csv", "data.test_fraction=0.5")


def write(folder, content, name="train.csv", options=()):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [*OPTIONS, f"data.train_file={json.dumps(str(path), ensure_ascii=False)}", *options]


def table(content, where, remedy, *options):
    return Hostile(partial(write, content=content, options=options), f"train.csv: {where}", remedy)


def value(text):
    """The table with a value that is no pixel on its third line."""
    where = f"line 3: '{text}' in column 'p1', expected a whole number 0..255"
    return table(TABLE.replace("9,4,5", f"9,4,{text}"), where, "Correct the value")


def linked(target):
    def make(folder):
        (folder / "train.csv").symlink_to(target)
        return [*OPTIONS, f"data.train_file={folder / 'train.csv'}"]

    return make


def header_of(columns):
    return "label" + "".join(f",p{column}" for column in range(columns)) + "\n"


KINDS = {
    "a ragged row": table(TABLE + "7,1\n", "line 6: 2 values, expected 5", "Correct the row"),
    "a row too long": table(TABLE + "7" + ",1" * 5, "line 6: 6 values", "Correct the row"),
    "a NUL byte": table(TABLE.replace("9,4", "9,\0"), "line 3: holds a NUL", "CSV in UTF-8"),
    "not a number": value("nan"),
    "a fraction": value("0.5"),
    "a negative number": value("-1"),
    "a number too large": value("256"),
    "no value": value(""),
    "a number of 1,000 digits": table(
        TABLE.replace("255", "9" * 1000), "line 3: '9999", "Correct the value"
    ),
    "no label": table(TABLE.replace("9,4", ",4"), "line 3: has no label", "drop the row"),
    "a label of no class": table(
        TABLE, "line 2: label '7'", "add its class", "data.classes=[cat, dog]"
    ),
    "no header": table(TABLE.partition("\n")[2], "line 1: no column 'label'", "data.label_column"),
    "a web page": Hostile(
        partial(write, content="<!DOCTYPE html>\n<html>\n"),
        "train.csv: is a web page",
        "Download it again",
    ),
    "a header alone": table(header_of(4), "has no row", "Add images"),
    "an empty file": table("", "is empty", "Expected a header"),
    "a million columns": table(header_of(10**6), "line 1: longer than", "as files"),
    "a line of 32 MB": table(TABLE + "7" * 2**25, "line 6: longer than", "as files"),
    "a header of many columns named twice at its end": table(
        header_of(130_000).rstrip() + ",p129999\n", "line 1: two columns", "Rename or drop one"
    ),
    "a program": table(
        b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 9, "line 1: holds a NUL", "CSV in UTF-8"
    ),
    "UTF-16": table(TABLE.encode("utf-16"), "line 1: holds a NUL byte", "CSV in UTF-8"),
    "Latin-1": table("label,p0\né,1\n".encode("latin-1"), "line 2: is no UTF-8", "CSV in UTF-8"),
    "two columns of one name": table(
        TABLE.replace("p2", "p1"), "line 1: two columns named 'p1'", "Rename or drop one"
    ),
    "a column without a name": table(
        "," + TABLE.replace("\n", "\n1,").rstrip("1,"), "line 1: column 1", "row numbers"
    ),
    "columns out of order": table(
        TABLE.replace("p2", "p9"), "line 1: pixel column 'p3'", "Sort the columns"
    ),
    "a line break in quotes": table(
        TABLE.replace("9,4", '"9\n",4'), "line 3: cannot be read", "Correct the line"
    ),
    "another delimiter": table(TABLE.replace(",", ";"), "line 1: one column", "data.delimiter"),
    "pixels that fill no square": table("label,a,b\nx,1,2\n", "line 1: 2 pixel", "image_shape"),
    "a shape that does not fit": table(
        TABLE,
        "line 1: 4 pixel columns, expected 28×28×1",
        "data.image_shape",
        "data.image_shape=[28, 28, 1]",
    ),
    "one class": table(
        header_of(4) + "7,1,2,3,4\n" * 4, "the number of classes is 1", "Add images"
    ),
    "as many classes as rows": table(
        header_of(1) + "".join(f"{row},1\n" for row in range(20_000)),
        "line 2: the only image of class '0'",
        "Add images",
    ),
    "a class name with a line break": Hostile(
        partial(write, content="label,p0\n0,1\n1,2\n0,3\n1,4\n", options=[BROKEN]),
        r"label 1 has the class name 'b\nc'",
        "Rename the class",
    ),
    "a class name of 100,000 letters": table(
        TABLE.replace("7,", "b" * 10**5 + ","), "label 1 has a class name of 100,000", "Rename"
    ),
    "a name with a line break": Hostile(
        partial(write, content="", name="a\nb.csv"), r"a\nb.csv: is empty", "Expected a header"
    ),
    "a name with colours and an emoji": Hostile(
        partial(write, content="", name="\x1b[31m:bomb:\N{BOMB}[bold].csv"),
        "\\x1b[31m:bomb:\N{BOMB}[bold].csv: is empty",
        "Expected a header",
    ),
    "a folder": Hostile(linked("."), "train.csv: ", "data.train_file"),
    "a device without end": Hostile(linked("/dev/zero"), "train.csv: ", "data.train_file"),
    "a link to itself": Hostile(linked("train.csv"), "train.csv: ", "data.train_file"),
    "a file that cannot be read": Hostile(
        linked("/proc/self/mem"), "train.csv: cannot be read (Input/output", "Check the file"
    ),
}
