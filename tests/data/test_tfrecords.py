import numpy as np
import pytest
import tensorflow as tf

from pipeline.core.errors import StageError
from pipeline.data import dataset_json, sharding, tfrecords
from pipeline.data.images.types import LabelledImages


@pytest.fixture
def data():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (10, 5, 4, 3), dtype=np.uint8)
    return LabelledImages(images, generator.integers(0, 3, 10))


def describe(folder, data, count=None):
    counts = {"train": (len(data) if count is None else count,)}
    shape = data.images.shape[1:]
    described = dataset_json.Description(shape, ("a",), counts, (), (), "a test", {}, {})
    dataset_json.write(folder, described)


def test_images_come_back_as_they_were_written(tmp_path, data):
    tfrecords.write_split(tmp_path, "train", data)
    describe(tmp_path, data)
    found = tfrecords.read_split(tmp_path, "train")
    assert found.images.dtype == np.uint8
    assert found.labels.dtype == np.int64
    np.testing.assert_array_equal(found.images, data.images)
    np.testing.assert_array_equal(found.labels, data.labels)


def test_a_large_split_is_written_as_shards_in_order(tmp_path, data, monkeypatch):
    monkeypatch.setattr(sharding, "SHARD_BYTES", 4 * 5 * 4 * 3)
    tfrecords.write_split(tmp_path, "train", data)
    describe(tmp_path, data)
    assert sorted(path.name for path in tmp_path.glob("*.tfrecord")) == [
        f"train-{shard:05d}-of-00003.tfrecord" for shard in range(3)
    ]
    np.testing.assert_array_equal(tfrecords.read_split(tmp_path, "train").images, data.images)


def test_a_record_is_an_example_with_raw_pixels_and_a_label(tmp_path, data):
    tfrecords.write_split(tmp_path, "train", data)
    path = str(tmp_path / "train-00000-of-00001.tfrecord")
    raw = [record.numpy() for record in tf.data.TFRecordDataset(path)]
    feature = tf.train.Example.FromString(raw[7]).features.feature
    assert sorted(feature) == ["image", "label"]
    assert feature["image"].bytes_list.value[0] == data.images[7].tobytes()
    assert list(feature["label"].int64_list.value) == [data.labels[7]]


@pytest.mark.parametrize("count", [9, 11])
def test_another_number_of_records_than_described_is_refused(tmp_path, data, count):
    tfrecords.write_split(tmp_path, "train", data)
    describe(tmp_path, data, count)
    message = rf"do not hold the {count} train images.*--force ingest"
    with pytest.raises(StageError, match=message) as raised:
        tfrecords.read_split(tmp_path, "train")
    assert raised.type is StageError


def test_chosen_images_are_read_from_all_shards(tmp_path, data, monkeypatch):
    monkeypatch.setattr(sharding, "SHARD_BYTES", 4 * 5 * 4 * 3)
    monkeypatch.setattr(tfrecords, "READ_BATCH_SIZE", 3)
    tfrecords.write_split(tmp_path, "train", data)
    describe(tmp_path, data)
    shards = tfrecords.open_split(tmp_path, "train")
    np.testing.assert_array_equal(shards.labels(), data.labels)
    chosen = np.array([0, 2, 3, 9])
    found = shards.read(chosen)
    np.testing.assert_array_equal(found.images, data.images[chosen])
    np.testing.assert_array_equal(found.labels, data.labels[chosen])
    assert len(shards.read(np.array([], np.int64))) == 0


def test_images_are_changed_on_their_way_to_the_shards(tmp_path, data):
    tfrecords.write_split(tmp_path, "train", data, lambda images: 255 - images)
    describe(tmp_path, data)
    np.testing.assert_array_equal(tfrecords.read_split(tmp_path, "train").images, 255 - data.images)


def test_other_splits_are_left_alone(tmp_path, data):
    tfrecords.write_split(tmp_path, "test", data.select(np.arange(5)))
    tfrecords.write_split(tmp_path, "train", data)
    describe(tmp_path, data)
    assert len(tfrecords.read_split(tmp_path, "train")) == 10
