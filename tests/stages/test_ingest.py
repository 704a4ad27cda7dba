import gzip
import json
import struct

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from pipeline.config.data_checks import ChecksSection
from pipeline.config.schema import AugmentationSection, ExportSection, ModelSection, PipelineConfig
from pipeline.core.errors import DataError
from pipeline.core.progress import LogProgress
from pipeline.core.terminal import create_console
from pipeline.data import dataset_json, files_csv
from pipeline.data.images import read_file
from pipeline.data.sources import idx, image_folder, npz
from pipeline.data.tfrecords import read_split
from pipeline.stages import ingest
from pipeline.workflow.stage import StageContext


def run(folder, data=None, seed=0, console=None):
    folder.mkdir(exist_ok=True)
    config = PipelineConfig(
        name="test",
        seed=seed,
        data=data or idx.Options(),
        augmentation=AugmentationSection(rotation_degrees=10),
        model=ModelSection(preset="compact_cnn"),
        export=ExportSection(formats=("onnx",)),
    )
    progress = LogProgress(console or Console(quiet=True))
    return ingest.run(StageContext(config, {}, folder, folder, progress))


def write_idx(folder, name, values):
    head = struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape)
    (folder / f"{name}.gz").write_bytes(gzip.compress(head + values.tobytes()))


@pytest.fixture
def small(tmp_path):
    """Two classes, 8 training and 2 test images; two training images are equal, one is in test."""
    images = np.zeros((10, 4, 4), np.uint8)
    images[:, :3, :3] = np.arange(0, 200, 20)[:, None, None]
    images[5] = images[3]
    images[9] = images[0]
    labels = np.array([0, 1] * 5, np.uint8)
    write_idx(tmp_path, "train-images-idx3-ubyte", images[:8])
    write_idx(tmp_path, "train-labels-idx1-ubyte", labels[:8])
    write_idx(tmp_path, "t10k-images-idx3-ubyte", images[8:])
    write_idx(tmp_path, "t10k-labels-idx1-ubyte", labels[8:])
    return tmp_path


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mnist")
    return folder, run(folder)


def test_mnist_is_summed_up_in_one_line(mnist):
    assert mnist[1].summary == (
        "55,000 training, 5,000 validation and 10,000 test images of 28×28×1 in 10 classes: "
        "0 (5,429/494/980), 1 (6,180/562/1,135), 2 (5,462/496/1,032) and 7 more"
    )
    assert mnist[1].metrics["train_images"] == 55000


def test_mnist_is_described(mnist):
    described = dataset_json.read(mnist[0])
    assert described.image_shape == (28, 28, 1)
    assert [described.size(split) for split in ("train", "validation", "test")] == [
        55000, 5000, 10000,
    ]  # fmt: skip
    assert described.counts["test"][1] == 1135
    assert described.source_sha256["test_labels"].startswith("f7ae60f92e00ec6d")
    counts = np.bincount(read_split(mnist[0], "train").images.ravel())
    values = np.arange(len(counts))
    mean = np.average(values, weights=counts)
    variance = np.average((values - mean) ** 2, weights=counts)
    assert described.pixel_mean[0] == pytest.approx(mean, rel=1e-9)
    assert described.pixel_deviation[0] == pytest.approx(variance**0.5, rel=1e-9)


def test_mnist_training_and_validation_part_the_training_images(mnist):
    parts = [read_split(mnist[0], split) for split in ("train", "validation")]
    found = sorted(image.tobytes() for part in parts for image in part.images)
    assert found == sorted(image.tobytes() for image in idx.load(idx.Options()).train.images)


def test_the_test_split_is_untouched(mnist):
    original, found = idx.load(idx.Options()).test, read_split(mnist[0], "test")
    np.testing.assert_array_equal(found.images, original.images)
    np.testing.assert_array_equal(found.labels, original.labels)


def test_a_preview_is_drawn(mnist):
    with Image.open(mnist[0] / "preview.png") as picture:
        assert picture.height > picture.width > 700


def test_limits_keep_the_share_of_each_class(tmp_path):
    run(tmp_path, idx.Options(train_limit=1200, test_limit=100))
    described = dataset_json.read(tmp_path)
    assert described.size("train") == 1100
    assert described.size("validation") == 100
    assert described.counts["test"] == (10, 11, 10, 10, 10, 9, 10, 10, 10, 10)


def test_the_seed_decides_the_splits(tmp_path):
    options = idx.Options(train_limit=300, test_limit=20)
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        run(folder, options, seed)
    first, same, other = (read_split(folder, "train").images for folder in folders)
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_the_artifact_holds_no_place_of_this_machine(small, tmp_path):
    run(tmp_path / "out", idx.Options(folder=small))
    assert str(tmp_path) not in (tmp_path / "out" / "dataset.json").read_text()


def test_an_image_stands_in_one_split_alone(small, tmp_path):
    result = run(tmp_path / "out", idx.Options(folder=small))
    described = dataset_json.read(tmp_path / "out")
    splits = [read_split(tmp_path / "out", split) for split in ("train", "validation", "test")]
    found = [image.tobytes() for split in splits for image in split.images]
    assert len(splits[2]) == 2
    assert len(set(found)) == 8  # of 10, of which two are equal and one more stands in test
    assert sum(found.count(image) - 1 for image in set(found)) <= 1  # twice within one split
    dropped = sum(described.cleaning.values())
    assert dropped == 10 - len(found)
    words = f"{dropped} image{'s' * (dropped > 1)} dropped as another stands elsewhere"
    assert result.summary.endswith(f"; {words}")
    assert " in 2 classes: 0 (" in result.summary


def test_duplicates_are_dropped_and_counted(small, tmp_path):
    run(tmp_path / "out", idx.Options(folder=small, drop_duplicates=True))
    described = dataset_json.read(tmp_path / "out")
    assert described.cleaning["duplicates_dropped"] == 1
    assert described.size("train") + described.size("validation") == 6


def test_a_median_filter_changes_training_and_validation_and_no_test_image(small, tmp_path):
    out = tmp_path / "out"
    run(out, idx.Options(folder=small, median_filter=3))
    described = dataset_json.read(out)
    learned_from = described.size("train") + described.size("validation")
    assert described.cleaning["training_and_validation_median_filtered"] == learned_from
    # In the filled corner of 3 by 3, its inner pixel has four filled and five empty neighbours.
    for split in ("train", "validation"):
        images = read_split(out, split).images[..., 0]
        assert not images[:, 2, 2].any()
        np.testing.assert_array_equal(images[:, 0, 0], images[:, 2, 1])
    raw = idx.load(idx.Options(folder=small)).test.images
    np.testing.assert_array_equal(read_split(out, "test").images, raw)
    assert raw[0, 2, 2, 0] == 160


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("t10k-labels-idx1-ubyte", np.array([0, 7], np.uint8), "test split: label 7 at position 1"),
        ("t10k-images-idx3-ubyte", np.zeros((2, 5, 4), np.uint8), "but test images 5×4×1"),
    ],
)
def test_bad_images_leave_the_output_empty(small, tmp_path, name, values, message):
    write_idx(small, name, values)
    with pytest.raises(DataError, match=message):
        run(tmp_path / "out", idx.Options(folder=small))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_validation_split_of_the_source_is_kept_whole(tmp_path):
    images = np.arange(8, dtype=np.uint8).repeat(4).reshape(8, 2, 2) * 30
    labels = np.array([0, 1] * 4)
    parts = {"train": slice(0, 4), "val": slice(4, 6), "test": slice(6, 8)}
    arrays = {f"{name}_images": images[part] for name, part in parts.items()}
    arrays |= {f"{name}_labels": labels[part] for name, part in parts.items()}
    np.savez(tmp_path / "data.npz", **arrays)
    run(tmp_path / "out", npz.Options(file=tmp_path / "data.npz", train_limit=2))
    assert np.array_equal(read_split(tmp_path / "out", "validation").images[..., 0], images[4:6])
    trained = read_split(tmp_path / "out", "train").images[..., 0]
    assert len(trained) == 2
    assert np.isin(trained, images[:4]).all()


@pytest.fixture
def photos(tmp_path):
    """Thirty photos of odd sizes in three classes, and four files that are none."""
    generator = np.random.default_rng(0)
    for label, name in enumerate(("ant", "bee", "cat")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            pixels = generator.integers(0, 256, (20 + label, 20 + number, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.jpg")
    (tmp_path / "photos" / "ant" / "empty.png").touch()
    (tmp_path / "photos" / "ant" / "text.jpg").write_text("no picture")
    (tmp_path / "photos" / "bee" / "caf\udce9\n.png").write_bytes(b"x")
    Image.new("RGB", (20, 20)).save(tmp_path / "photos" / "cat" / "misnamed.jpg", "PNG")
    return tmp_path / "photos"


def test_a_folder_of_photos_is_read(photos, tmp_path):
    options = image_folder.Options(
        folder=photos, image_size=(16, 12), fit="crop", test_fraction=0.3, validation_fraction=0.2
    )
    result = run(tmp_path / "out", options)
    described = dataset_json.read(tmp_path / "out")
    assert described.classes == ("ant", "bee", "cat")
    assert (described.fit, described.alpha) == ("crop", "refuse")
    assert "of 16×12×3 in 3 classes" in result.summary
    rows = zip(described.classes, *described.counts.values(), strict=True)
    told = ", ".join(f"{name} ({a}/{b}/{c})" for name, a, b, c in rows)
    assert result.summary.endswith(f": {told}")
    found = {
        split: read_split(tmp_path / "out", split) for split in ("train", "validation", "test")
    }
    assert sum(map(len, found.values())) == 30
    known = {
        read_file.read(str(photos), f"{name}/{n}.jpg", options.decoding()).pixels.tobytes(): label
        for label, name in enumerate(described.classes)
        for n in range(10)
    }
    for split in found.values():
        for image, label in zip(split.images, split.labels, strict=True):
            assert known.pop(image.tobytes()) == label
    assert not known
    assert described.source_sha256 == {}
    assert str(tmp_path) not in (tmp_path / "out" / "dataset.json").read_text()


def test_each_image_is_listed_with_its_file(photos, tmp_path):
    options = image_folder.Options(
        folder=photos, image_size=(16, 12), test_fraction=0.3, validation_fraction=0.2
    )
    out = tmp_path / "out"
    run(out, options)
    for split in ("train", "validation", "test"):
        images, names = read_split(out, split).images, files_csv.read(out, split)
        assert len(names) == len(set(names)) == len(images) > 0
        for image, name in zip(images, names, strict=True):
            decoded = read_file.read(str(photos), name, options.decoding()).pixels
            np.testing.assert_array_equal(image, decoded)
    lines = (out / "files.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "split,index,file"
    assert len(lines) == 1 + 30
    assert lines[1].startswith("train,0,")
    assert lines[-1].startswith("test,")


def test_splits_are_described_in_their_order(small, tmp_path):
    run(tmp_path, idx.Options(folder=small))
    assert list(dataset_json.read(tmp_path).counts) == ["train", "validation", "test"]


def test_arrays_have_no_fit_and_no_files(mnist):
    assert dataset_json.read(mnist[0]).fit is None
    assert files_csv.read(mnist[0], "test") is None


def test_what_the_checks_found_is_published_and_said(small, tmp_path, capsys):
    result = run(tmp_path / "out", idx.Options(folder=small), console=create_console())
    checks = json.loads((tmp_path / "out" / "checks.json").read_text(encoding="utf-8"))
    found = [finding["check"] for finding in checks["findings"]]
    assert {"leakage", "few_images"} <= set(found)
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip().partition(":")[0] for line in lines] == found
    assert (tmp_path / "out" / "duplicates.csv").is_file()
    assert "dropped" in result.summary


def test_a_check_of_level_fail_leaves_the_output_empty(small, tmp_path):
    options = idx.Options(folder=small, checks=ChecksSection(leakage="fail"))
    with pytest.raises(DataError, match=r": leakage: \d training image.* check-data"):
        run(tmp_path / "out", options)
    assert list((tmp_path / "out").iterdir()) == []


def test_mnist_passes_all_checks_in_silence(mnist):
    checks = json.loads((mnist[0] / "checks.json").read_text(encoding="utf-8"))
    assert checks["findings"] == []
    assert checks["statistics"]["test"]["images"] == 10000


def test_a_class_that_is_wholly_in_test_too_ends_with_a_remedy(small, tmp_path):
    images = np.zeros((2, 4, 4), np.uint8)
    images[:, :3, :3] = np.array([20, 60])[:, None, None]
    write_idx(small, "train-images-idx3-ubyte", images[[0, 0, 1, 1]])
    write_idx(small, "train-labels-idx1-ubyte", np.array([0, 0, 1, 1], np.uint8))
    write_idx(small, "t10k-images-idx3-ubyte", images[[1]])
    write_idx(small, "t10k-labels-idx1-ubyte", np.array([1], np.uint8))
    with pytest.raises(DataError, match=r"every image of class '.' is in validation or test too"):
        run(tmp_path / "out", idx.Options(folder=small))
    kept = idx.Options(folder=small, checks=ChecksSection(drop_leaks=False))
    run(tmp_path / "kept", kept)
    assert len(read_split(tmp_path / "kept", "train")) == 2
