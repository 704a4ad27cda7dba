import functools
import socket
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets

from pipeline.core.errors import DataError
from pipeline.data.sources import idx, tfds

EXAMPLES = 40


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise socket.gaierror("the test has no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(tfds, "DOWNLOAD_RETRIES", 0)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with `mnist`, made from the embedded archives and cut short to save time."""
    folder = tmp_path_factory.mktemp("tfds")
    short = functools.partial(
        tensorflow_datasets.download.DownloadConfig, max_examples_per_split=EXAMPLES
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", None)
        patch.setattr(tensorflow_datasets.download, "DownloadConfig", short)
        tfds.load(options(folder))
    return folder


def options(data_dir, dataset="mnist", **others):
    others.setdefault("manual_dir", idx.MNIST)
    return tfds.Options(dataset=dataset, data_dir=data_dir, **others)


def test_mnist_is_prepared_from_the_embedded_archives_without_a_network(prepared):
    data = tfds.load(options(prepared))
    original = idx.load(idx.Options())
    known = {image.tobytes(): label for image, label in zip(
        original.train.images, original.train.labels, strict=True
    )}  # fmt: skip
    assert data.train.images.shape == (EXAMPLES, 28, 28, 1)
    assert data.train.images.dtype == np.uint8
    assert data.train.labels.dtype == np.int64
    assert [known[image.tobytes()] for image in data.train.images] == data.train.labels.tolist()
    assert data.classes == tuple("0123456789")
    assert data.origin == "TensorFlow Datasets mnist/3.0.1"


def test_preparing_prints_nothing(tmp_path, capfd, monkeypatch):
    short = functools.partial(tensorflow_datasets.download.DownloadConfig, max_examples_per_split=2)
    monkeypatch.setattr(tensorflow_datasets.download, "DownloadConfig", short)
    tfds.load(options(tmp_path))
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "Generating" not in shown.err
    assert "Dl Size" not in shown.err


def test_images_are_resized_where_a_size_is_given(prepared):
    small = tfds.load(options(prepared, image_size=(14, 7))).train.images
    whole = tfds.load(options(prepared)).train.images
    assert small.shape == (EXAMPLES, 14, 7, 1)
    assert small.mean() == pytest.approx(whole.mean(), rel=0.03)


def builder_of(images):
    """Stands for a builder: one split of these images, all of class 0."""
    records = {"image": np.asarray(images), "label": np.zeros(len(images), np.int64)}
    return SimpleNamespace(
        as_dataset=lambda split: tf.data.Dataset.from_tensor_slices(records), info=None
    )


def resized(images, pixel_range):
    """Each image of 2×2 pixels as the mean of its four."""
    chosen = options(None, image_size=(1, 1), pixel_range=pixel_range)
    return tfds._read(builder_of(images), "train", ("image", "label"), chosen).images


@pytest.mark.parametrize(
    ("pixels", "pixel_range", "level"),
    [
        ([0.0, 0.5, 0.5, 0.0], (0, 1), 64),  # 255 / 4 = 63.75
        ([-1.0, -1.0, 0.0, 0.0], (-1, 1), 64),
        ([-1.0, -1.0, -1.0, -1.0], (-1, 1), 0),
        ([16, 16, 15, 15], (0, 16), 247),  # 15.5 * 255 / 16 = 247.03
        ([0.0, 255.0, 0.0, 1.0], None, 64),
    ],
)
def test_resized_pixels_keep_their_levels(pixels, pixel_range, level):
    image = np.array(pixels, np.float32 if isinstance(pixels[0], float) else np.uint8)
    found = resized(image.reshape(1, 2, 2, 1), pixel_range)
    assert (found.dtype, found.ravel().tolist()) == (np.uint8, [level])


@pytest.mark.parametrize(
    ("pixels", "pixel_range", "value", "remedy"),
    [
        ([0, 0, 1, 5], (0, 1), "5.0", "run from 0 to 5: set 'data.pixel_range=[0, 5]'"),
        ([0, 0.25, 1, 0], None, "0.25", "set 'data.pixel_range=[0, 1]'"),
        ([0, 0.25, -1, 0], None, "0.25", "run from -1 to 0.25: set 'data.pixel_range=[-1, 1]'"),
        ([-3, np.nan], (0, 1), "nan", "Mend that image"),
    ],
)
def test_a_pixel_out_of_range_is_told_before_it_is_resized(pixels, pixel_range, value, remedy):
    good, bad = np.zeros((2, 2, 1), np.float32), np.resize(pixels, (2, 2, 1)).astype(np.float32)
    with pytest.raises(
        DataError, match=f"split 'train' has the value {value} in image 1, "
    ) as caught:
        resized([good, bad], pixel_range)
    assert remedy in str(caught.value)


def test_a_slice_of_a_split_is_read(prepared):
    assert len(tfds.load(options(prepared, train_split="train[:25%]")).train) == EXAMPLES // 4


def test_an_unknown_name_is_refused_with_a_suggestion(tmp_path):
    with pytest.raises(DataError, match=r"'mnits' is not in TensorFlow Datasets.*mean 'mnist'\?"):
        tfds.load(options(tmp_path, "mnits"))


def test_an_unreadable_name_is_refused(tmp_path):
    with pytest.raises(DataError, match="'mnist/a:9' cannot be opened"):
        tfds.load(options(tmp_path, "mnist/a:9"))


def test_an_unknown_split_is_refused_with_those_that_exist(prepared):
    with pytest.raises(DataError, match=r"mnist has no split 'validation'. It has .*test"):
        tfds.load(options(prepared, test_split="validation"))


def test_a_feature_that_is_no_class_is_refused(prepared):
    with pytest.raises(DataError, match=r"data\.label_key: 'image' of mnist is no ClassLabel"):
        tfds.load(options(prepared, label_key="image"))


def test_images_of_different_sizes_need_an_image_size(tmp_path):
    with pytest.raises(DataError, match=r"cats_vs_dogs differ in size. Set data\.image_size"):
        tfds.load(options(tmp_path, "cats_vs_dogs"))


def test_a_network_failure_is_one_line_with_the_remedy(tmp_path):
    with pytest.raises(DataError, match=r"could not be prepared .*data\.manual_dir") as caught:
        tfds.load(options(tmp_path, "fashion_mnist", manual_dir=None))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_outside_files_are_those_of_the_manual_folder(tmp_path):
    names = list(options(tmp_path).outside_files())
    assert names == sorted(path.name for path in Path(idx.MNIST).iterdir())
    assert tfds.Options(dataset="mnist").outside_files() == {}


def test_a_missing_manual_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        options(tmp_path, manual_dir=tmp_path / "nowhere").outside_files()
