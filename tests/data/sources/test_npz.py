import contextlib
import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.core.errors import DataError
from pipeline.data.images.types import DrawnTest
from pipeline.data.sources import npz

IMAGES = np.arange(6 * 3 * 2, dtype=np.uint8).reshape(6, 3, 2)
LABELS = np.array([2, 0, 1, 2, 0, 1])
KERAS = {
    "x_train": IMAGES[:4], "y_train": LABELS[:4], "x_test": IMAGES[4:], "y_test": LABELS[4:],
}  # fmt: skip


def saved(folder, **changes):
    """A file in the layout of keras.datasets, but for `changes`; None leaves an array out."""
    arrays = {name: values for name, values in (KERAS | changes).items() if values is not None}
    np.savez_compressed(folder / "data.npz", **arrays)
    return folder / "data.npz"


def packed(folder, members):
    """A file whose members are given as bytes, in pairs, so that names may stand twice."""
    with zipfile.ZipFile(folder / "data.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return folder / "data.npz"


def encoded(values):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values, allow_pickle=True)
    return buffer.getvalue()


def header(text, version=b"\x01\x00"):
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text.encode()


def members(**changes):
    return [(f"{name}.npy", changes.get(name, encoded(KERAS[name]))) for name in KERAS]


def load(path, **options):
    return npz.load(npz.Options(file=path, **options))


def refusal(path, **options):
    with pytest.raises(DataError) as caught:
        load(path, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_keras_datasets_file_is_read_by_its_names(tmp_path):
    data = load(saved(tmp_path))
    assert data.train.images.shape == (4, 3, 2, 1)
    assert data.train.images[1, :, :, 0].tolist() == [[6, 7], [8, 9], [10, 11]]
    assert data.test.labels.tolist() == [0, 1]
    assert data.train.labels.dtype == np.int64
    assert data.classes == ("0", "1", "2")
    assert data.origin == "NumPy file data.npz"
    assert data.validation is None


def test_a_medmnist_file_keeps_its_own_validation_split(tmp_path):
    colours = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)
    labels = np.array([[0], [1], [0], [1], [1]], np.uint8)
    parts = {"train": slice(0, 2), "val": slice(2, 4), "test": slice(4, 5)}
    arrays = {f"{name}_images": colours[part] for name, part in parts.items()}
    arrays |= {f"{name}_labels": labels[part] for name, part in parts.items()}
    np.savez(tmp_path / "data.npz", **arrays)
    data = load(tmp_path / "data.npz", classes=("benign", "malignant"))
    assert np.array_equal(data.validation.images, colours[2:4])
    assert data.validation.labels.tolist() == [0, 1]
    assert np.array_equal(data.train.images, colours[:2])
    assert data.test.labels.tolist() == [1]
    assert data.classes == ("benign", "malignant")


def test_arrays_of_other_names_are_named_in_the_options(tmp_path):
    np.savez(tmp_path / "a.npz", a=IMAGES, b=LABELS, c=IMAGES[:1], d=LABELS[:1])
    names = npz.Arrays(train_images="a", train_labels="b", test_images="c", test_labels="d")
    data = load(tmp_path / "a.npz", arrays=names)
    assert (len(data.train), len(data.test)) == (6, 1)


@pytest.mark.parametrize(
    ("images", "labels"), [("X", "y"), ("x", "y"), ("images", "labels"), ("data", "target")]
)
def test_images_that_are_not_split_are_found_by_usual_names(tmp_path, images, labels):
    np.savez(tmp_path / "a.npz", **{images: IMAGES, labels: LABELS, "feature_names": ["a"]})
    data = load(tmp_path / "a.npz", test_fraction=0.5, split_seed=3)
    assert np.array_equal(data.train.images[..., 0], IMAGES)
    assert data.test == DrawnTest(0.5, 3)
    assert f"no test arrays beside '{images}' and '{labels}'" in refusal(tmp_path / "a.npz")


@pytest.mark.parametrize("names", ["X_{} y_{}", "{}_images {}_labels", "{}_x {}_y", "X_{} Y_{}"])
@pytest.mark.parametrize("validation", [None, "val", "valid"])
def test_splits_are_found_by_usual_names(tmp_path, names, validation):
    images, labels = names.split()
    splits = ["train", "test", *([validation] if validation else [])]
    arrays = {images.format(s): IMAGES[n:] for n, s in enumerate(splits)}
    np.savez(
        tmp_path / "a.npz", **arrays, **{labels.format(s): LABELS[n:] for n, s in enumerate(splits)}
    )
    data = load(tmp_path / "a.npz")
    assert (len(data.train), len(data.test)) == (6, 5)
    assert data.validation is None if validation is None else len(data.validation) == 4
    assert "Leave data.test_fraction out" in refusal(tmp_path / "a.npz", test_fraction=0.5)


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
@pytest.mark.parametrize("train", ["x_train y_train", "X y"])
def test_a_validation_split_is_kept_where_the_test_split_is_drawn(tmp_path, train, validation):
    images, labels = train.split()
    others = {f"x_{validation}": IMAGES[:2], f"y_{validation}": LABELS[:2]}
    np.savez(tmp_path / "a.npz", **{images: IMAGES, labels: LABELS}, **others)
    data = load(tmp_path / "a.npz", test_fraction=0.5)
    assert (data.test, len(data.train), len(data.validation)) == (DrawnTest(0.5, 0), 6, 2)


def test_splits_that_are_named_alike_belong_together(tmp_path):
    path = saved(tmp_path, train_images=IMAGES[:1], train_labels=LABELS[:1])
    assert (len(load(path).train), len(load(path).test)) == (4, 2)


def test_boolean_images_are_zeros_and_ones(tmp_path):
    marks = IMAGES % 2 == 0
    path = saved(tmp_path, x_train=marks[:4], x_test=marks[4:])
    assert load(path).train.images[0, 0].ravel().tolist() == [1, 0]
    assert load(path, pixel_range=(0, 1)).train.images[0, 0].ravel().tolist() == [255, 0]


def test_as_many_classes_as_columns_of_marks(tmp_path):
    labels = np.array([1, 0, 1, 0])
    path = saved(tmp_path, y_train=np.eye(3)[labels], y_test=np.eye(3)[labels[:2]])
    assert load(path).classes == ("0", "1", "2")
    assert "has 3 columns, one a class, and data.classes names 2" in refusal(
        path, classes=("no", "yes")
    )


def test_byte_labels_that_are_no_utf_8_are_told(tmp_path):
    texts = np.array(["caf\u00e9".encode("latin-1"), b"tea"])[LABELS % 2]
    path = saved(tmp_path, y_train=texts[:4], y_test=texts[4:])
    message = "array 'y_train' holds the bytes b'caf\\xe9', expected texts in UTF-8. Save"
    assert refusal(path).startswith(message)


def test_the_shape_of_rows_is_refused_for_images(tmp_path):
    path = saved(tmp_path)
    assert load(path, image_shape=(3, 2, 1)).train.images.shape == (4, 3, 2, 1)
    assert refusal(path, image_shape=(2, 3, 1)).startswith(
        "array 'x_train' is 4×3×2, and data.image_shape says 2×3×1. That is for rows of pixels"
    )
    for shape in ((-3, -2, 1), (3, 1, 2)):
        with pytest.raises(ValidationError, match="image_shape"):
            npz.Options(file=path, image_shape=shape)


def test_labels_may_be_rows_of_marks_whole_fractions_or_texts(tmp_path):
    for marks in (np.eye(3)[LABELS[:4]], LABELS[:4].astype(float), LABELS[:4, None].astype("f4")):
        data = load(saved(tmp_path, y_train=marks))
        assert data.train.labels.tolist() == LABELS[:4].tolist()
    texts = np.array(["ant", "bee", "caf\u00e9"])[LABELS]
    for kind in ("U", "S"):
        encoded_texts = np.char.encode(texts, "utf-8") if kind == "S" else texts
        data = load(saved(tmp_path, y_train=encoded_texts[:4], y_test=encoded_texts[4:, None]))
        assert data.classes == ("ant", "bee", "caf\u00e9")
        assert data.train.labels.tolist() == LABELS[:4].tolist()
        assert data.test.labels.tolist() == LABELS[4:].tolist()


def test_rows_of_pixels_become_squares_or_the_shape_that_is_said(tmp_path):
    rows = np.arange(24, dtype=np.uint8).reshape(2, 12)
    np.savez(tmp_path / "a.npz", X=rows, y=[0, 1])
    assert load(tmp_path / "a.npz", test_fraction=0.5).train.images.shape == (2, 2, 2, 3)
    data = load(tmp_path / "a.npz", test_fraction=0.5, image_shape=(3, 4, 1))
    assert data.train.images[1, :, :, 0].tolist() == rows[1].reshape(3, 4).tolist()


def test_test_images_without_labels_are_refused():
    with pytest.raises(ValidationError, match="give both test_images and test_labels, or neither"):
        npz.Arrays(train_images="a", train_labels="b", test_images="c")


def test_validation_images_without_labels_are_refused():
    names = {"train_images": "a", "train_labels": "b", "test_images": "c", "test_labels": "d"}
    with pytest.raises(ValidationError, match="give both validation_images and validation_labels"):
        npz.Arrays(**names, validation_images="e")


@pytest.mark.parametrize("dtype", ["<u1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_whole_numbers_of_any_type_and_order_become_the_same_pixels(tmp_path, dtype, order):
    data = load(saved(tmp_path, x_train=np.asarray(IMAGES[:4], dtype, order=order)))
    assert data.train.images.dtype == np.uint8
    assert np.array_equal(data.train.images[..., 0], IMAGES[:4])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((4, 3, 2), 0.5), r"value 0.5 in image 0, expected a whole number 0..255"),
        (np.full((4, 3, 2), np.nan), "value nan in image 0"),
        (np.array([0, 0, 0, -1]).repeat(6).reshape(4, 3, 2), "value -1 in image 3"),
        (np.full((4, 3, 2), 256), "value 256 in image 0"),
        (np.zeros((4, 1, 8, 8), np.uint8), "4×1×8×8: channels stand first"),
        (np.zeros((4, 8, 8, 4), np.uint8), "4×8×8×4, expected count×height×width"),
        (np.zeros(4, np.uint8), "is 4, expected count×height×width"),
        (np.zeros((0, 3, 2), np.uint8), "is empty: its shape is (0, 3, 2)"),
        (np.array(["a", "b"]), "values of type '<U1', expected numbers"),
        (np.array([{}, []], object), "Python objects (pickles), expected numbers"),
    ],
)
def test_images_that_are_none_are_refused(tmp_path, values, message):
    path = packed(tmp_path, members(x_train=encoded(values)))
    found = refusal(path)
    assert found.startswith("array 'x_train'")
    assert message in found


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([0, 1, 2, -1]), "label -1 at position 3, expected 0.."),
        (np.array([0, 1, 2, 3]), "label 3 at position 3, expected 0..2"),
        (np.array([0, 1, 2, 2**64 - 1], np.uint64), "label 18446744073709551615 at position 3"),
        (np.array([0, 1, 0.5, 2.5]), "label 0.5 at position 2, expected whole numbers or texts"),
        (
            np.array([[1], [np.nan], [2], [1]]),
            "label nan at position 1, expected whole numbers or texts, for it stands",
        ),
        (np.array([0, 1, np.inf, 1]), "label inf at position 2, expected 0..2"),
        (np.zeros((4, 14), np.int64), "int64 of 4×14, expected integers, one an image"),
        (np.array(3), "expected integers, one an image"),
        (np.array([0, 1, 2]), "3 labels for the 4 images of 'x_train'"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path, values, message):
    found = refusal(saved(tmp_path, y_train=values), classes=("cat", "dog", "hen"))
    assert found.startswith("array 'y_train'")
    assert message in found


def test_a_giant_label_makes_no_giant_list_of_classes(tmp_path):
    assert "expected 0..65535" in refusal(saved(tmp_path, y_train=np.array([0, 1, 2, 2**20])))


def test_a_missing_array_is_named_with_those_there_are(tmp_path):
    path = saved(tmp_path, y_train=None)
    assert "'x_test', 'x_train', 'y_test', expected x_train" in refusal(path)
    names = npz.Arrays(
        train_images="x_train", train_labels="y_train", test_images="x_test", test_labels="labels"
    )
    assert "no array 'labels', only 'x_test'" in refusal(path, arrays=names)


def test_an_array_that_stands_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = packed(tmp_path, [*members(), members()[0]])
    assert "2 arrays have the name 'x_train'" in refusal(path)


def test_a_bomb_is_refused_by_its_declared_size(tmp_path):
    bomb = header("{'descr': '|u1', 'fortran_order': False, 'shape': (64, 1024, 1024), }\n")
    path = packed(tmp_path, members(x_train=bomb + bytes(2**26)))
    assert path.stat().st_size < 2**18
    tracemalloc.start()
    try:
        message = refusal(path, size_limit_bytes=2**25)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert "unpack to 67," in message
    assert "at most 33,554,432. If they are real, raise data.size_limit_bytes" in message


def test_a_member_is_unpacked_no_further_than_the_archive_declares(tmp_path):
    path = packed(tmp_path, members(x_train=encoded(np.zeros((64, 512, 512), np.uint8))))
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(content)
    tracemalloc.start()
    try:
        assert "no whole .npz archive (Bad CRC-32 for file 'x_train.npy')" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_an_archive_that_declares_more_than_it_holds_is_refused(tmp_path):
    head = header("{'descr': '|u1', 'fortran_order': False, 'shape': (4, 30, 20), }\n")
    path = packed(tmp_path, members(x_train=head + bytes(24)))
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (len(head) + 2400).to_bytes(4, "little")
    path.write_bytes(content)
    assert "no whole .npz archive (an array ends too early)" in refusal(path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("(99999999999, 9999999, 28)", "but holds 24."),
        ("(4, 3, 3)", "= 36 bytes, but holds 24"),
        ("(0, 999999999999999999, 999999999999999999)", "= 0 bytes, but holds 24"),
        ("(4, 3, -2)", "no header of a plain array"),
        (f"({'(' * 5000}", "no header of a plain array"),
        ("(4, 3, 2**9)", "no header of a plain array"),
    ],
)
def test_a_header_that_lies_is_refused_before_memory_is_claimed(tmp_path, shape, message):
    head = header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n")
    tracemalloc.start()
    try:
        found = refusal(packed(tmp_path, members(x_train=head + bytes(24))))
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert message in found


@pytest.mark.parametrize("keep", [0, 1, 30, 200, -30, -1])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    assert "no whole .npz archive" in refusal(path)


def test_a_changed_value_is_refused(tmp_path):
    np.savez(tmp_path / "data.npz", **KERAS)
    path = tmp_path / "data.npz"
    path.write_bytes(path.read_bytes().replace(IMAGES[:4].tobytes(), IMAGES[2:].tobytes()))
    assert "no whole .npz archive (Bad CRC-32" in refusal(path)


def test_an_encrypted_member_is_refused(tmp_path):
    content = bytearray(saved(tmp_path).read_bytes())
    for mark, flags_at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags_at] |= 1
    (tmp_path / "data.npz").write_bytes(content)
    assert "no whole .npz archive" in refusal(tmp_path / "data.npz")


def test_validation_images_of_another_shape_are_refused(tmp_path):
    other = {"val_images": IMAGES[:2, :2], "val_labels": LABELS[:2]}
    parts = {"train": slice(0, 4), "test": slice(4, 6)}
    images = {f"{name}_images": IMAGES[part] for name, part in parts.items()}
    labels = {f"{name}_labels": LABELS[part] for name, part in parts.items()}
    np.savez(tmp_path / "data.npz", **images, **labels, **other)
    message = refusal(tmp_path / "data.npz")
    assert "validation images are 2×2×1 but training images 3×2×1" in message


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(DataError, match=r"no\.npz: no such file.*data\.file"):
        npz.Options(file=tmp_path / "no.npz").outside_files()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
@example(b"")
def test_no_bytes_make_anything_but_a_data_error(tmp_path, content):
    (tmp_path / "data.npz").write_bytes(content)
    refusal(tmp_path / "data.npz")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10**4), st.binary(min_size=1, max_size=4)), min_size=1))
def test_no_damage_to_a_file_makes_anything_but_a_data_error(tmp_path, changes):
    np.savez_compressed(tmp_path / "data.npz", **KERAS)
    content = bytearray((tmp_path / "data.npz").read_bytes())
    for at, new in changes:
        start = at % len(content)
        content[start : start + len(new)] = new
    (tmp_path / "data.npz").write_bytes(content)
    with contextlib.suppress(DataError):
        load(tmp_path / "data.npz")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("{}'descr: |u1fO,oals()0123456789_-", max_size=80), st.binary(max_size=2))
@example("{'descr': '|u1', 'fortran_order': False, 'shape': (), }\n", b"\x01\x00")
def test_no_header_makes_anything_but_a_data_error(tmp_path, text, version):
    path = packed(tmp_path, members(x_train=header(text, version) + bytes(24)))
    assert refusal(path).startswith("array 'x_train'")


def test_labels_that_count_from_another_number_are_told_so(tmp_path):
    late = {"y_train": np.array([1, 2, 3, 1]), "y_test": np.array([1, 3])}
    remedy = "If the first class is 1, subtract 1 from each label."
    said = refusal(saved(tmp_path, **late))
    assert said.startswith(f"array 'y_train': labels begin at 1, expected 0. {remedy} If it is not")
    assert refusal(saved(tmp_path, **late), classes=("a", "b", "c")).endswith(remedy)
    mixed = refusal(saved(tmp_path, y_train=np.array([0, 1, 2, 3])), classes=("a", "b", "c"))
    assert mixed.endswith("name its class in data.classes.")
