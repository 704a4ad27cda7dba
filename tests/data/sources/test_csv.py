import contextlib
import gzip
import tracemalloc
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.core.errors import DataError
from pipeline.data.sources import csv
from tests.data.sources.drawing import with_test_drawn

TABLE = "label,p0,p1,p2,p3\n7,0,1,2,3\n9,4,5,6,255\n7,8,9,10,11\n9,12,13,14,15\n"


def write(folder, content, name="train.csv"):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def load(path, **options):
    if "test_file" not in options:
        options.setdefault("test_fraction", 0.5)
    return with_test_drawn(csv.load(csv.Options(train_file=path, **options)))


def both(folder, content, **options):
    """The training split of a table that is its own test table."""
    path = write(folder, content)
    return load(path, test_file=path, **options)


def refusal(folder, content, **options):
    path = write(folder, content)
    with pytest.raises(DataError) as caught:
        load(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_pixels_and_labels_keep_their_places(tmp_path):
    data = both(tmp_path, TABLE)
    assert data.train.images.shape == (4, 2, 2, 1)
    assert data.train.images.dtype == np.uint8
    assert data.train.images[1, :, :, 0].tolist() == [[4, 5], [6, 255]]
    assert data.train.labels.tolist() == [0, 1, 0, 1]
    assert data.train.labels.dtype == np.int64
    assert data.classes == ("7", "9")


def test_the_label_column_may_stand_anywhere(tmp_path):
    content = "a1,a2,kind,a3,a4\n1,2,cat,3,4\n5,6,ant,7,8\n"
    data = both(tmp_path, content, label_column="kind")
    assert data.train.images[0, :, :, 0].tolist() == [[1, 2], [3, 4]]
    assert data.classes == ("ant", "cat")
    assert data.train.labels.tolist() == [1, 0]


def test_three_times_a_square_is_read_as_colour_channel_by_channel(tmp_path):
    names = ",".join(f"p{index}" for index in range(12))
    values = ",".join(str(index) for index in range(12))
    image = both(tmp_path, f"label,{names}\nx,{values}\ny,{values}\n").train.images[0]
    assert image.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


def test_the_shape_may_be_given(tmp_path):
    data = both(tmp_path, TABLE, image_shape=(1, 4, 1))
    assert data.train.images[0, 0, :, 0].tolist() == [0, 1, 2, 3]


def test_classes_that_are_numbers_are_sorted_as_numbers(tmp_path):
    assert both(tmp_path, "label,p\n10,1\n9,2\n-1,3\n").classes == ("-1", "9", "10")


def test_a_packed_table_is_the_same_table(tmp_path):
    path = write(tmp_path, gzip.compress(TABLE.encode()), "a.csv.gz")
    data = load(path, test_file=path)
    assert data.train.images.ravel().tolist() == [*range(7), 255, *range(8, 16)]


def test_without_a_header_columns_are_numbers_and_labels_stand_first(tmp_path):
    rows = TABLE.partition("\n")[2]
    data = both(tmp_path, rows, header=False)
    assert data.train.images.ravel().tolist() == [*range(7), 255, *range(8, 16)]
    assert data.classes == ("7", "9")
    last = "".join(f"{line.partition(',')[2]},{line[0]}\n" for line in rows.split())
    data = both(tmp_path, last, header=False, label_column="5")
    assert data.train.images.ravel().tolist() == [*range(7), 255, *range(8, 16)]
    assert data.train.labels.tolist() == [0, 1, 0, 1]


LAST = "Labels are read from column 1, the first; if they stand last, set data.label_column=5."


@pytest.mark.parametrize(
    ("rows", "options", "found"),
    [
        ("0,1,2,3,7\n0,1,2,3,9\n0,4,5,6,7\n", {}, "'0' is the label of every row. "),
        ("0,1,2,3,7\n0,1,2,3,9\n5,4,5,6,7\n", {}, "line 3: the only image of class '5', exp"),
        ("0,1,2,3,7\n0.5,1,2,3,9\n", {}, "line 2: the label is '0.5', expected whole numbers"),
        ("0,1,2,3,7\n", {"classes": ("a", "b"), "label_column": "5"}, "line 1: label '7', expect"),
        ("3,1,2,3,7\n", {"classes": ("a", "b")}, "line 1: label '3', expected a name of"),
    ],
)
def test_labels_that_may_stand_last_are_told_with_the_setting(tmp_path, rows, options, found):
    told = refusal(tmp_path, rows, header=False, **options)
    assert told.startswith(found)
    assert told.endswith(LAST) == ("label_column" not in options)


def test_a_column_may_be_named_by_its_number(tmp_path):
    found = csv.Options.model_validate(
        {"train_file": tmp_path, "test_fraction": 0.5, "header": False, "label_column": 65}
    )
    assert found.label_column == "65"
    with pytest.raises(ValidationError):
        csv.Options(train_file=tmp_path, test_fraction=0.5, label_column=True)


@pytest.mark.parametrize("content", [TABLE.partition("\n")[2], "5,5,0,7,0\n5,1,2,3,4\n"])
def test_values_in_place_of_a_header_are_told_with_the_setting(tmp_path, content):
    assert "data.header=false" in refusal(tmp_path, content)


def test_all_pixels_of_an_image_may_stand_in_one_column(tmp_path):
    content = "emotion,pixels,Usage\n3,0 1 2 255,Training\n4,4 5  6 7,PublicTest\n"
    data = both(tmp_path, content, label_column="emotion", pixels_column="pixels")
    assert data.train.images[..., 0].tolist() == [[[0, 1], [2, 255]], [[4, 5], [6, 7]]]
    assert data.classes == ("3", "4")
    wide = {"label_column": "emotion", "pixels_column": "pixels", "image_shape": (1, 4, 1)}
    assert both(tmp_path, content, **wide).train.images.shape == (2, 1, 4, 1)
    assert refusal(tmp_path, content.replace("5  6", "5 x"), **wide).startswith(
        "line 3: 'x' in column 'pixels[2]', expected a whole number"
    )


def test_an_image_of_224_by_224_pixels_fits_one_column(tmp_path):
    image = " ".join(["200"] * 224 * 224)  # 200,703 characters; the csv module stops at 131,072
    data = both(tmp_path, f"label,pixels\na,{image}\nb,{image}\n", pixels_column="pixels")
    assert data.train.images.shape == (2, 224, 224, 1)
    assert data.train.images.min() == 200


USAGES = ["Training", "PublicTest", "PrivateTest"], ["train", "val", "test"]


@pytest.mark.parametrize("usages", USAGES)
@pytest.mark.parametrize("is_one_column", [True, False])
def test_a_column_may_tell_the_split_of_each_row(tmp_path, usages, is_one_column):
    train, validation, test = usages
    rows = [(1, 10, test), (0, 20, train), (1, 30, validation), (1, 40, train)]
    content = "emotion,pixels,Usage\n" + "".join(f"{e},{p},{u}\n" for e, p, u in rows)
    named = {"pixels_column": "pixels"} if is_one_column else {}
    asked = csv.Options(
        train_file=write(tmp_path, content), label_column="emotion", split_column="Usage", **named
    )
    data = csv.load(asked)
    found = [(part.images.ravel().tolist(), part.labels.tolist()) for part in (
        data.train, data.validation, data.test
    )]  # fmt: skip
    assert found == [([20, 40], [0, 1]), ([30], [1]), ([10], [1])]
    assert data.train.name(1) == "image 3"


@pytest.mark.parametrize(
    ("rows", "column", "message"),
    [
        ("a,1,train\nb,2,Usage\n", "u", "line 3: 'Usage' is no split, expected train, validation"),
        ("a,1,train\nb,2,val\n", "u", "no row is of split 'test' by column 'u'. Add some, or"),
        ("a,1,train\nb,2,test\n", "v", "line 1: no column 'v' beside the labels; there are 'p', "),
    ],
)
def test_a_column_that_tells_no_splits_is_refused(tmp_path, rows, column, message):
    asked = csv.Options(train_file=write(tmp_path, "label,p,u\n" + rows), split_column=column)
    with pytest.raises(DataError) as caught:
        csv.load(asked)
    assert str(caught.value).startswith(f"{asked.train_file}: {message}")


def test_columns_of_marks_are_labels(tmp_path):
    content = "dog,p0,ant,p1,cat,p2,p3\n0,1,0,2,1.0,3,4\n1,5,0,6,0.0,7,8\n"
    data = both(tmp_path, content, label_columns=("cat", "ant", "dog"))
    assert data.classes == ("cat", "ant", "dog")
    assert data.train.labels.tolist() == [0, 2]
    assert data.train.images.reshape(2, 4).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize(
    "given", [{"label_columns": ("a",)}, {"label_columns": ("a", "b"), "label_column": "c"}]
)
def test_columns_of_marks_are_several_and_stand_alone(tmp_path, given):
    with pytest.raises(ValidationError, match=r"two columns or more|one of the two"):
        csv.Options(train_file=tmp_path, test_fraction=0.5, **given)


def test_a_row_goes_on_behind_a_line_break_in_quotes(tmp_path):
    content = 'label,"p\n0",p1\ncat,"1",2\n"a ""\nb\n""",3,"4"\ncat,5,6\n'
    data = both(tmp_path, content, image_shape=(1, 2, 1), classes=("cat", 'a "\nb\n"'))
    assert data.train.images.ravel().tolist() == [1, 2, 3, 4, 5, 6]
    assert data.train.labels.tolist() == [0, 1, 0]
    wrong = refusal(tmp_path, content.replace("5,6", "5,x"), image_shape=(1, 2, 1))
    assert wrong.startswith("line 7: 'x'")


@pytest.mark.parametrize("labels", [("dog", "cat", "dog"), ("1", "0", "1")])
def test_given_classes_are_meant_by_name_or_by_position(tmp_path, labels):
    content = "label,p\n" + "".join(f"{label},1\n" for label in labels)
    data = both(tmp_path, content, classes=("cat", "dog"))
    assert data.train.labels.tolist() == [1, 0, 1]
    assert data.classes == ("cat", "dog")


def test_names_that_are_numbers_come_before_positions(tmp_path):
    data = both(tmp_path, "label,p\n1,1\n2,2\n", classes=("2", "1"))
    assert data.train.labels.tolist() == [1, 0]


def test_both_tables_share_their_classes(tmp_path):
    train, test = write(tmp_path, "label,p\nb,1\nc,2\n"), write(tmp_path, "label,p\na,3\n", "t.csv")
    data = load(train, test_file=test)
    assert data.classes == ("a", "b", "c")
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([1, 2], [0])
    assert data.origin == "CSV table train.csv and t.csv"


def test_the_test_split_is_drawn_from_each_class_and_parts_the_table(tmp_path):
    rows = "".join(f"{'ab'[row % 4 == 0]},{row}\n" for row in range(40))
    path = write(tmp_path, f"label,p\n{rows}")
    data, again, other = (load(path, test_fraction=0.2, split_seed=seed) for seed in (1, 1, 2))
    assert np.bincount(data.test.labels).tolist() == [6, 2]
    pixels = np.concatenate([data.train.images, data.test.images]).ravel()
    assert sorted(pixels.tolist()) == list(range(40))
    assert np.array_equal(data.test.images, again.test.images)
    assert not np.array_equal(data.test.images, other.test.images)


def test_a_class_of_one_image_cannot_be_drawn_from(tmp_path):
    found = refusal(tmp_path, "label,p\na,1\na,2\nb,3\n")
    assert found.startswith("line 4: the only image of class 'b', expected 2 or more")


@pytest.mark.parametrize("options", [{}, {"test_fraction": 0.5, "test_file": Path("t.csv")}])
def test_test_images_come_from_one_place(options):
    with pytest.raises(
        ValidationError,
        match=r"one of data.test_file, data.test_fraction and .*such as data.test_fraction=0.2",
    ):
        csv.Options(train_file=Path("train.csv"), **options)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + TABLE.encode(),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace("\n", "\n\n").encode(),
        TABLE.rstrip().encode(),
        TABLE.replace("label", '"label"').replace("7", '"7"').encode(),
    ],
    ids=["byte order mark", "windows lines", "blank lines", "no last line end", "quotes"],
)
def test_what_spreadsheets_add_is_read_as_the_same_table(tmp_path, content):
    data = both(tmp_path, content)
    assert data.train.images.ravel().tolist() == [*range(7), 255, *range(8, 16)]
    assert data.classes == ("7", "9")


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_named_in_the_options(tmp_path, delimiter):
    content = TABLE.replace(",", delimiter)
    assert both(tmp_path, content, delimiter=delimiter).train.labels.tolist() == [0, 1, 0, 1]
    assert "Set data.delimiter" in refusal(tmp_path, content)


@pytest.mark.parametrize(
    "value", ["", " ", "nan", "-1", "256", "1e3", "1.0", "0x1", "٣", "9" * 999]
)
def test_a_value_that_is_no_pixel_is_named_with_its_line_and_column(tmp_path, value):
    found = refusal(tmp_path, TABLE.replace("5,6", f"5,{value}"))
    assert found.startswith("line 3: '")
    assert "in column 'p2', expected a whole number 0..255. " in found
    assert "orrect the value." in found
    assert ("data.pixel_range" in found) == (value in {"-1", "256", "1e3", "1.0"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty. Expected a header"),
        ("\n\n", "is empty. Expected a header"),
        ("label,p\n", "has no row after its header"),
        ("label,p\na,1\nb,2,3\n", "line 3: 3 values, expected 2 as in the header"),
        ("label,p\na,1\nb\n", "line 3: 1 values, expected 2"),
        ("label,p\n,1\n", "line 2: has no label"),
        ("label,p\na,1\n'b\0',2\n", "line 3: holds a NUL byte"),
        ('label,p\na,1\n"b,2\n', "line 3: cannot be read (unexpected end of data)"),
        ('label,p\na,1\n"b"c,2\n', "line 3: cannot be read (',' expected after '\"')"),
        ('label,p\n"a\nb",1\n', r"line 2: the only image of class 'a\nb'"),
        (f"label,p\na,{'1' * 200_000}\n", "line 2: '111111111111...1111111111111' in col"),
        (b"label,p\n\xe9t\xe9,1\n", "line 2: is no UTF-8 text"),
        (TABLE.encode("utf-16"), "line 1: holds a NUL byte"),
        ("label,p,p\na,1,2\n", "line 1: two columns named 'p'"),
        ("a,0,0,7,0\nb,1,2,3,4\n", "line 1: holds values, expected a header: the names of"),
        (",label,p\n0,a,1\n", "line 1: column 1 has no name"),
        ("label,p,q\na,1,2\n", "line 1: 2 pixel columns, expected a square of 1 or 3"),
        ("label,p1,p2,p10,p3\na,1,2,3,4\n", "line 1: pixel column 'p3' stands out of order"),
        ("p0,p1,p2,p3\n1,2,3,4\n", "line 1: no column 'label'; the header begins with 'p0', 'p1'"),
        ("5,0,1,2,3\n5,0,1,2,3\n", "line 1: no column 'label'; the header begins with '5', '0'"),
        ("\x1b[31mlabel,p\na,1\n", r"line 1: no column 'label'; the header begins with '\x1b[31m"),
    ],
)  # fmt: skip
def test_a_damaged_table_is_refused_with_its_line(tmp_path, content, message):
    assert refusal(tmp_path, content).startswith(message)


def test_an_unlabelled_test_table_is_refused_with_the_way_out(tmp_path):
    train = write(tmp_path, TABLE)
    test = write(tmp_path, "p0,p1,p2,p3\n1,2,3,4\n", "test.csv")
    with pytest.raises(DataError, match=r"test\.csv: line 1: no column 'label'.*test_fraction"):
        load(train, test_file=test)


@pytest.mark.parametrize("label", ["cow", "2", "-1"])
def test_a_label_without_a_class_is_told_with_its_line(tmp_path, label):
    content = f"label,p\n0,1\n1,1\n{label},2\n"
    assert refusal(tmp_path, content, classes=("cat", "dog")).startswith("line ")


def test_a_shape_that_does_not_fit_is_refused(tmp_path):
    message = refusal(tmp_path, TABLE, image_shape=(28, 28, 1))
    assert message.startswith("line 1: 4 pixel columns, expected 28×28×1")


@pytest.mark.parametrize(
    "content",
    ["label" + "".join(f",p{column}" for column in range(10**6)), "label," + "x" * 2**24],
    ids=["a million columns", "one endless line"],
)
def test_a_line_without_end_claims_no_memory(tmp_path, content):
    tracemalloc.start()
    try:
        path = write(tmp_path, content)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        with pytest.raises(DataError, match=r"line 1: longer than 1,048,576 bytes"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] - before < 2**22
    finally:
        tracemalloc.stop()


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    path = write(tmp_path, TABLE)
    options = csv.Options(train_file=path, test_file=tmp_path / "no.csv")
    with pytest.raises(DataError, match=r"no\.csv: no such file.*data\.test_file"):
        options.outside_files()


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(alphabet='label,p0123\n\r"\0é', max_size=80))
@example("label,\r\n\r\r")
def test_no_bytes_make_anything_but_a_data_error(tmp_path, content):
    with contextlib.suppress(DataError):
        load(write(tmp_path, content))


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=9), st.integers(0, len(TABLE)), st.integers(0, 9))
def test_no_change_to_a_table_makes_anything_but_a_data_error(tmp_path, new, start, length):
    with contextlib.suppress(DataError):
        load(write(tmp_path, TABLE[:start] + new + TABLE[start + length :]))


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=6), st.integers(0, len(TABLE)), st.integers(0, 9))
def test_no_damage_to_the_bytes_of_a_table_makes_anything_but_a_data_error(
    tmp_path, new, start, length
):
    content = TABLE.encode()
    with contextlib.suppress(DataError):
        load(write(tmp_path, content[:start] + new + content[start + length :]))


def test_a_name_that_stands_twice_at_the_end_of_a_long_header_is_found_at_once(tmp_path):
    content = ",".join(["label", *(f"p{column}" for column in range(130_000)), "p129999"])
    started = monotonic()
    assert refusal(tmp_path, content).startswith("line 1: two columns named 'p129999'")
    assert monotonic() - started < 5


@pytest.mark.parametrize(("labels", "is_late"), [("12", True), ("1.0 2.0", True), ("02", False)])
def test_numbers_that_count_from_one_for_given_names_are_told_so(tmp_path, labels, is_late):
    rows = "".join(f"{label},1\n" for label in (labels.split() if " " in labels else labels) * 2)
    said = refusal(tmp_path, f"label,p\n{rows}", classes=("cat", "dog"))
    assert "expected a name of data.classes or 0..1" in said
    assert said.endswith("If the first class is 1, subtract 1 from each label.") == is_late
