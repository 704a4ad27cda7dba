import contextlib
import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.data.sources import idx

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def encode(values, magic=None):
    head = magic or 0x800 + values.ndim
    return struct.pack(f">{1 + values.ndim}I", head, *values.shape) + values.tobytes()


@pytest.fixture
def folder(tmp_path):
    images = np.arange(6 * 3 * 2, dtype=np.uint8).reshape(6, 3, 2)
    labels = np.array([2, 0, 1, 2, 0, 1], np.uint8)
    for name, part in zip(NAMES, (images[:4], labels[:4], images[4:], labels[4:]), strict=True):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(encode(part)))
    return tmp_path


def load(folder, **options):
    return idx.load(idx.Options(folder=folder, **options))


def rewrite(folder, name, content):
    (folder / f"{name}.gz").write_bytes(content)


def test_the_embedded_mnist_is_read_whole():
    data = idx.load(idx.Options())
    assert data.train.images.shape == (60000, 28, 28, 1)
    assert data.test.images.shape == (10000, 28, 28, 1)
    assert data.train.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert np.bincount(data.test.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert data.train.images.mean() == pytest.approx(0.1307 * 255, abs=0.02)
    assert data.classes == tuple("0123456789")


def test_pixels_and_labels_keep_their_places(folder):
    data = load(folder)
    assert data.train.images.shape == (4, 3, 2, 1)
    assert data.train.images[1, :, :, 0].tolist() == [[6, 7], [8, 9], [10, 11]]
    assert data.test.labels.tolist() == [0, 1]
    assert data.train.labels.dtype == np.int64
    assert data.classes == ("0", "1", "2")


def test_files_without_gz_are_read_too(folder):
    for name in NAMES:
        packed = folder / f"{name}.gz"
        (folder / name).write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    assert load(folder).train.labels.tolist() == [2, 0, 1, 2]


def test_an_unpacked_file_that_kept_its_gz_name_is_read(folder):
    packed = folder / f"{NAMES[0]}.gz"
    packed.write_bytes(gzip.decompress(packed.read_bytes()))
    assert load(folder).train.images.shape == (4, 3, 2, 1)


def test_class_names_come_from_the_options(folder):
    assert load(folder, classes=("cat", "dog", "hen")).classes == ("cat", "dog", "hen")


def test_a_missing_file_is_named_with_the_remedy(folder):
    (folder / f"{NAMES[3]}.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz: no such file.*data\.folder"):
        idx.Options(folder=folder).outside_files()


@pytest.mark.parametrize(("inside", "is_told"), [("cats", True), (".hidden", False)])
def test_a_folder_of_folders_leads_to_the_config_for_photos(tmp_path, inside, is_told):
    (tmp_path / inside).mkdir()
    with pytest.raises(DataError) as caught:
        idx.Options(folder=tmp_path).outside_files()
    assert ("It holds folders: for photos use -c configs/photos" in str(caught.value)) is is_told


def test_a_truncated_archive_is_refused(folder):
    whole = (folder / f"{NAMES[0]}.gz").read_bytes()
    rewrite(folder, NAMES[0], whole[:-12])
    with pytest.raises(DataError, match=r"train-images.*damaged archive.*Download it again"):
        load(folder)


def test_a_changed_byte_in_an_archive_is_refused(folder):
    whole = bytearray(gzip.compress(encode(np.zeros((4, 3, 2), np.uint8)), compresslevel=0))
    whole[-12] ^= 1
    rewrite(folder, NAMES[0], bytes(whole))
    with pytest.raises(DataError, match="damaged archive"):
        load(folder)


@pytest.mark.parametrize("content", [b"", b"\x00\x00", b"\x89PNG\r\n\x1a\n" * 9])
def test_a_foreign_file_is_refused(folder, content):
    rewrite(folder, NAMES[0], content)
    with pytest.raises(DataError, match=r"begins with 0x\w*, expected IDX images"):
        load(folder)


def test_labels_given_as_images_are_called_so(folder):
    with pytest.raises(DataError, match="a file of IDX labels, expected IDX images"):
        load(folder, train_images=f"{NAMES[1]}.gz")


def test_a_file_that_ends_inside_its_header_is_refused(folder):
    rewrite(folder, NAMES[0], encode(np.zeros((4, 3, 2), np.uint8))[:11])
    with pytest.raises(DataError, match="ends inside its header"):
        load(folder)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(("change", "message"), [(-1, "ends after 23"), (1, "holds more")])
def test_a_size_other_than_the_declared_one_is_refused(folder, pack, change, message):
    content = encode(np.zeros((4, 3, 2), np.uint8))
    content = content[:change] if change < 0 else content + b"\0"
    rewrite(folder, NAMES[0], pack(content))
    with pytest.raises(DataError, match=rf"declares 4×3×2 = 24 bytes but .*{message}"):
        load(folder)


def test_giant_declared_dimensions_claim_no_memory(folder):
    declared = struct.pack(">4I", 0x803, 2**12, 2**10, 2**10)
    rewrite(folder, NAMES[0], gzip.compress(declared + bytes(9)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="ends after 9"):
            load(folder)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_a_long_archive_is_unpacked_no_further_than_declared(folder, monkeypatch):
    bomb = gzip.compress(struct.pack(">4I", 0x803, 1, 1, 1) + bytes(2**26))
    rewrite(folder, NAMES[0], bomb)
    sizes = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(
        gzip.GzipFile, "read", lambda self, size=-1: sizes.append(size) or read(self, size)
    )
    with pytest.raises(DataError, match="holds more"):
        load(folder)
    assert all(0 <= size <= 12 for size in sizes)


def test_unequal_counts_of_images_and_labels_are_refused(folder):
    rewrite(folder, NAMES[1], encode(np.zeros(3, np.uint8)))
    with pytest.raises(DataError, match=r"train-labels.*3 labels for the 4 images of train-images"):
        load(folder)


def test_files_without_any_image_are_read_as_empty(folder):
    rewrite(folder, NAMES[0], encode(np.zeros((0, 3, 2), np.uint8)))
    rewrite(folder, NAMES[1], encode(np.zeros(0, np.uint8)))
    assert len(load(folder).train) == 0


def test_the_origin_names_the_folder_and_not_its_place(folder, monkeypatch):
    assert load(folder).origin == f"IDX files from the folder {folder.name}"
    monkeypatch.chdir(folder)
    assert load(Path()).origin == f"IDX files from the folder {folder.name}"


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        (NAMES[1], [0, 0, 1, 3], r"train-labels.*label 3 at position 3, expected 0\.\.2"),
        (NAMES[3], [4, 0], r"t10k-labels.*label 4 at position 0, expected 0\.\.2"),
    ],
)
def test_a_label_without_a_name_is_told_with_its_file(folder, name, labels, message):
    rewrite(folder, name, encode(np.array(labels, np.uint8)))
    with pytest.raises(DataError, match=message):
        load(folder, classes=("cat", "dog", "hen"))


def test_transposed_images_are_put_upright(folder):
    data = load(folder, transpose=True)
    assert data.train.images.shape == (4, 2, 3, 1)
    assert data.train.images[1, :, :, 0].tolist() == [[6, 8, 10], [7, 9, 11]]
    assert data.test.images[0, :, :, 0].tolist() == [[24, 26, 28], [25, 27, 29]]


def test_labels_that_count_from_one_meet_their_names(folder):
    rewrite(folder, NAMES[1], encode(np.array([3, 1, 2, 3], np.uint8)))
    rewrite(folder, NAMES[3], encode(np.array([1, 2], np.uint8)))
    data = load(folder, first_label=1, classes=("cat", "dog", "hen"))
    named = [data.classes[index] for index in data.train.labels]
    assert named == ["hen", "cat", "dog", "hen"]
    assert data.test.labels.tolist() == [0, 1]
    assert load(folder, first_label=1).classes == ("1", "2", "3")


@pytest.mark.parametrize(("label", "position"), [(0, 1), (4, 3)])
def test_a_label_beside_those_that_count_from_one_is_refused(folder, label, position):
    labels = np.array([3, 1, 2, 3], np.uint8)
    labels[position] = label
    rewrite(folder, NAMES[1], encode(labels))
    expected = (
        rf"train-labels.*label {label} at position {position}, expected 1\.\.3\..*first_label"
    )
    with pytest.raises(DataError, match=expected):
        load(folder, first_label=1, classes=("cat", "dog", "hen"))


def test_a_size_beyond_the_limit_is_refused_before_anything_is_read(folder, monkeypatch):
    monkeypatch.setattr(idx, "_read_at_most", None)
    expected = r"declares 4×3×2 = 24 bytes, expected at most 23. .* raise data\.size_limit_bytes"
    with pytest.raises(DataError, match=expected):
        load(folder, size_limit_bytes=23)


def test_a_file_that_vanishes_after_it_was_found_is_told(folder, monkeypatch):
    monkeypatch.setattr(idx, "_find", lambda folder, name: folder / "gone")
    with pytest.raises(DataError, match=r"gone: cannot be read \(No such file.*Check the file"):
        load(folder)


any_change = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
damage = st.tuples(st.integers(0, 60), st.integers(0, 9), st.binary(max_size=6))


@any_change
@given(st.sampled_from(NAMES), st.binary(max_size=60))
@example(NAMES[0], b"\x1f\x8b")
def test_no_bytes_make_anything_but_a_data_error(folder, name, content):
    before = (folder / f"{name}.gz").read_bytes()
    rewrite(folder, name, content)
    with contextlib.suppress(DataError):
        load(folder)
    rewrite(folder, name, before)


@any_change
@given(st.sampled_from(NAMES), st.booleans(), st.booleans(), damage)
def test_no_damage_to_a_file_makes_anything_but_a_data_error(
    folder, name, is_packed, is_before_packing, change
):
    start, length, new = change
    packed = (folder / f"{name}.gz").read_bytes()
    content = packed if is_packed and not is_before_packing else gzip.decompress(packed)
    content = content[:start] + new + content[start + length :]
    rewrite(folder, name, gzip.compress(content) if is_packed and is_before_packing else content)
    with contextlib.suppress(DataError):
        load(folder)
    rewrite(folder, name, packed)


def test_files_of_other_names_are_told_with_the_names_that_are_needed(folder):
    (folder / f"{NAMES[0]}.gz").rename(folder / "train-images_idx3-ubyte.gz")
    with pytest.raises(DataError) as caught:
        load(folder)
    said = str(caught.value)
    assert "there are 't10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz', 'train-im" in said
    assert f"Expected {', '.join(NAMES)}: rename the files, set data.train_images, data" in said


def test_a_folder_that_does_not_exist_is_told(tmp_path):
    with pytest.raises(DataError, match=r"nothing: no such folder\. Put it there"):
        load(tmp_path / "nothing")


def test_labels_that_begin_at_another_number_lead_to_the_setting_for_it(folder):
    for name, labels in ((NAMES[1], [3, 4, 5, 3]), (NAMES[3], [4, 5])):
        rewrite(folder, name, gzip.compress(encode(np.array(labels, np.uint8))))
    with pytest.raises(
        DataError, match=r"labels begin at 3, expected 0\..*set data\.first_label=3"
    ):
        load(folder)
    with pytest.raises(DataError, match=r"the first class is 3, set data\.first_label=3"):
        load(folder, classes=("a", "b", "c"))
    assert load(folder, first_label=3).classes == ("3", "4", "5")


def test_a_split_without_the_first_class_is_no_other_count_of_labels(folder):
    rewrite(folder, NAMES[3], gzip.compress(encode(np.array([1, 2], np.uint8))))
    assert load(folder).test.labels.tolist() == [1, 2]
