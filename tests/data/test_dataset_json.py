import json

from pipeline.data import dataset_json

DESCRIBED = dataset_json.Description(
    image_shape=(28, 20, 1),
    classes=("Bär", "cat"),
    counts={"train": (3, 4), "validation": (1, 1), "test": (2, 5)},
    pixel_mean=(33.25,),
    pixel_deviation=(78.5,),
    origin="a test",
    source_sha256={"images.gz": "00ff"},
    cleaning={"duplicates_dropped": 2},
)


def test_what_is_written_is_read_back_equal(tmp_path):
    dataset_json.write(tmp_path, DESCRIBED)
    assert dataset_json.read(tmp_path) == DESCRIBED


def test_the_file_is_readable_json(tmp_path):
    dataset_json.write(tmp_path, DESCRIBED)
    text = (tmp_path / "dataset.json").read_text(encoding="utf-8")
    assert json.loads(text)["counts"]["test"] == [2, 5]
    assert "Bär" in text


def test_sizes_are_sums_over_classes():
    assert [DESCRIBED.size(split) for split in ("train", "validation", "test")] == [7, 2, 7]
    assert DESCRIBED.num_classes == 2
