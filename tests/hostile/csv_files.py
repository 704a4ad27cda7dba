"""Tables of pixels that must be refused."""

import gzip
import json
from functools import partial

from tests.hostile.row import Hostile, deflated_zeros

TABLE = "label,p0,p1,p2,p3\n7,0,1,2,3\n9,4,5,6,255\n7,8,9,10,11\n9,12,13,14,15\n"
BROKEN = 'data.classes=["a", "b\\nc"]'
OPTIONS = ("data.source=csv", "data.test_fraction=0.5")


def write(folder, content, name="train.csv", options=()):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [*OPTIONS, f"data.train_file={json.dumps(str(path), ensure_ascii=False)}", *options]


def table(content, where, remedy, *options):
    return Hostile(partial(write, content=content, options=options), f"train.csv: {where}", remedy)


def value(text, remedy="Correct the value"):
    """The table with a value that is no pixel on its third line."""
    where = f"line 3: '{text}' in column 'p1', expected a whole number 0..255"
    return table(TABLE.replace("9,4,5", f"9,4,{text}"), where, remedy)


def linked(target):
    def make(folder):
        (folder / "train.csv").symlink_to(target)
        return [*OPTIONS, f"data.train_file={folder / 'train.csv'}"]

    return make


def header_of(columns):
    return "label" + "".join(f",p{column}" for column in range(columns)) + "\n"


def scaled(white):
    """A table of as many rows as tell a scale, each with its white in it."""
    rows = (f"{row % 2},{row % 2},{row // 2 % 2},{white},0\n" for row in range(40))
    found = f"training split has pixels from 0 to {white}, expected 0..255"
    content = header_of(4) + "".join(rows)
    return Hostile(partial(write, content=content), found, f"data.pixel_range=[0, {white}]")


def twins(one, other, differ):
    content = header_of(4) + "".join(
        f"{name},1,2,3,{row}\n" for row in range(9) for name in (one, other, "d")
    )
    where = f"line 3: the labels '{one}' and '{other}' {differ}"
    return table(content, where, "data.classes")


def packed(pack, where, remedy):
    make = partial(write, content=pack(TABLE.encode()), name="train.csv.gz")
    return Hostile(make, f"train.csv.gz: {where}", remedy)


def packed_zeros(size_bytes):
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + deflated_zeros(size_bytes)


ONE_HOT = "p0,p1,p2,p3,cat,dog\n" + "1,2,3,200,1,0\n4,5,6,200,0,1\n" * 8
KINDS = {
    "a ragged row": table(TABLE + "7,1\n", "line 6: 2 values, expected 5", "Correct the row"),
    "a row too long": table(TABLE + "7" + ",1" * 5, "line 6: 6 values", "Correct the row"),
    "a NUL byte": table(TABLE.replace("9,4", "9,\0"), "line 3: holds a NUL", "CSV in UTF-8"),
    "not a number": value("nan"),
    "a fraction": value("0.5", "set 'data.pixel_range=[0, 255]', or correct the value"),
    "a negative number": value("-1", "set 'data.pixel_range=[-1, 255]'"),
    "a number too large": value("256", "set 'data.pixel_range=[0, 256]'"),
    "no value": value(""),
    "a number of 1,000 digits": table(
        TABLE.replace("255", "9" * 1000), "line 3: '9999", "Correct the value"
    ),
    "a label that pandas found missing": table(
        TABLE.replace("9,4", "nan,4"), "line 3: the label is 'nan'", "or leave the image out"
    ),
    "labels that are measured": table(
        TABLE.replace("9,4", "7.25,4"), "line 3: the label is '7.25'", "Write the class"
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
    "a class name with a line break in quotes": Hostile(
        partial(write, content=TABLE.replace("\n9,", '\n"9\n",')),
        r"label 1 has the class name '9\n'",
        "Rename the class",
    ),
    "a quote that is closed a megabyte on": table(
        TABLE + '7,"1' + "\n1,2" * 2**18 + '"\n', "line 6: a quote that is not closed", "Close it"
    ),
    "quotes without end": table(TABLE + '7,"' + '",\n"",",' * 200, "line 6: ", "Correct the"),
    "values in place of a header": table(
        TABLE.partition("\n")[2].replace("7,0,1", "7,1,1"),
        "line 1: holds values",
        "data.header=false",
    ),
    "pixels of 0 and 1": scaled(1),
    "pixels of 0 to 16": scaled(16),
    "pixels of 0 to 100": scaled(100),
    "pixels beyond data.pixel_range": table(
        TABLE,
        "line 3: '255' in column 'p3', expected a number 0..16 as data.pixel_range says",
        "set 'data.pixel_range=[0, 255]', or correct the value",
        "data.pixel_range=[0, 16]",
    ),
    "labels that differ in case": twins("cat", "Cat", "differ in case, spaces"),
    "labels that differ in a space": twins("a cat", "acat ", "differ in case, spaces"),
    "labels that are one number": twins("1", "01", "are one number"),
    "all pixels in one column": table(
        "label,pixels,Usage\n" + "1,0 1 2 3,Training\n" * 9,
        "line 1: 2 pixel columns",
        "Set data.pixels_column=pixels",
    ),
    "a row of too few pixels in one column": table(
        "label,pixels\n1,0 1 2 3\n1,0 1 2\n",
        "line 3: 3 pixels in column 'pixels', expected 2×2×1",
        "data.image_shape",
        "data.pixels_column=pixels",
    ),
    "paths in place of pixels": table(
        "label,file\n1,a.png\n2,b.png\n", "line 2: 'a.png'", "Set data.path_column=file"
    ),
    "a column of labels for each class": table(
        ONE_HOT, "line 1: no column 'label'", "data.label_columns=[cat, dog]"
    ),
    "a row of two classes": table(
        ONE_HOT.replace("200,0,1", "200,1,1", 1),
        "line 3: 2 of data.label_columns are 1",
        "Correct the row",
        "data.label_columns=[cat, dog]",
    ),
    "a row of half a class": table(
        ONE_HOT.replace("200,0,1", "200,0,0.5", 1),
        "line 3: '0.5' in a column of data.label_columns",
        "Correct the value",
        "data.label_columns=[cat, dog]",
    ),
    "half a packed table": packed(
        lambda content: gzip.compress(content)[:-12], "damaged archive", "Download it again"
    ),
    "a packed table of zeros without end": packed(
        lambda _: packed_zeros(2**33), "line 1: longer than", "as files"
    ),
    "a packed tar archive": packed(
        lambda _: gzip.compress(b"a" * 257 + b"ustar" + bytes(999)), "is a tar archive", "Unpack it"
    ),
    "a zip archive": table(b"PK\x03\x04" + bytes(99), "is a zip archive", "Unpack it"),
    "more pixels than memory may hold": table(
        TABLE,
        "line 4: the images so far take 12",
        "data.size_limit_bytes",
        "data.size_limit_bytes=10",
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
