"""The configs of known data sets: each class has its name, and each image stands upright."""

import gzip
import shutil
import socket
import string
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets
from PIL import Image
from tensorflow_datasets.core.download import DownloadManager

from pipeline.cli import main
from pipeline.config.loading import load_config
from pipeline.core.errors import DataError
from pipeline.core.plugins import ROOT
from pipeline.data.sources import idx, tfds

CONFIGS = ROOT / "configs"
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
KMNIST = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
TRAIN_FILES = [f"data_batch_{number}.bin" for number in range(1, 6)]


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise socket.gaierror("the test has no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(tfds, "DOWNLOAD_RETRIES", 0)


def section(name, *overrides):
    return load_config(CONFIGS / f"{name}.yaml", overrides).data


def names_of_the_library(dataset, data_dir):
    return tensorflow_datasets.builder(dataset, data_dir=data_dir).info.features["label"].names


def write_idx(path, values):
    header = struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes()))


@pytest.fixture
def dry_run(monkeypatch, capsys, tmp_path):
    """Calls the command line with --dry-run; gives its exit code, output and error lines."""
    monkeypatch.setenv("COLUMNS", "400")

    def run(name, *overrides):
        command = ["run_pipeline.py", "-c", str(CONFIGS / f"{name}.yaml"), "--dry-run"]
        place = ["--artifacts", str(tmp_path / "artifacts")]
        monkeypatch.setattr(sys, "argv", [*command, *overrides, *place])
        with pytest.raises(SystemExit) as ended:
            main.main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err.splitlines()

    return run


def test_fashion_mnist_has_the_class_names_of_its_makers(tmp_path):
    assert list(section("fashion_mnist").classes) == names_of_the_library("fashion_mnist", tmp_path)


def test_fashion_mnist_is_read_from_any_folder(tmp_path):
    for path in idx.MNIST.glob("*.gz"):
        shutil.copy(path, tmp_path)
    data = idx.load(section("fashion_mnist", f"data.folder={tmp_path}"))
    assert data.classes[9] == "Ankle boot"
    assert len(data.test) == 10000


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_read_from_the_package_of_debian():
    """The first labels and pixel mean as its README and its users' normalisation have them."""
    data = idx.load(section("fashion_mnist"))
    first = [data.classes[label] for label in data.train.labels[:4]]
    assert first == ["Ankle boot", "T-shirt/top", "T-shirt/top", "Dress"]
    assert np.bincount(data.train.labels).tolist() == [6000] * 10
    assert data.train.images.mean() / 255 == pytest.approx(0.2860, abs=1e-4)


def test_emnist_letters_are_upright_and_named_a_to_z(tmp_path):
    """An L as EMNIST stores it, column after column, with label 12 for the twelfth letter."""
    upright = np.zeros((28, 28), np.uint8)
    upright[4:24, 6] = upright[23, 6:20] = 255
    options = section("emnist_letters", f"data.folder={tmp_path}")
    labels = np.array([12, 1, 26], np.uint8)
    for images_name, labels_name in (
        (options.train_images, options.train_labels),
        (options.test_images, options.test_labels),
    ):
        write_idx(tmp_path / images_name, np.stack([upright.T] * 3))
        write_idx(tmp_path / labels_name, labels)
    data = idx.load(options)
    assert data.classes == tuple(string.ascii_lowercase)
    assert [data.classes[label] for label in data.train.labels] == ["l", "a", "z"]
    assert (data.train.images[0, :, :, 0] == upright).all()
    assert (data.test.images[0, :, :, 0] == upright).all()


def test_kmnist_has_the_class_names_of_its_makers(tmp_path):
    assert names_of_the_library(section("kmnist").dataset, tmp_path) == KMNIST


def write_cifar10(folder):
    """The layout of cifar-10-binary.tar.gz: a label, then a red, a green and a blue plane."""
    place = folder / "cifar-10-batches-bin"
    place.mkdir()
    for name in (*TRAIN_FILES, "test_batch.bin"):
        pictures = [bytes([label, *[20 * label] * 1024, *bytes(2048)]) for label in range(10)]
        (place / name).write_bytes(b"".join(pictures))
    (place / "batches.meta.txt").write_text("\n".join([*CIFAR10, "", ""]))


def test_cifar10_brings_its_class_names_with_its_images(tmp_path, monkeypatch):
    write_cifar10(tmp_path)
    monkeypatch.setattr(DownloadManager, "download_and_extract", lambda *_: str(tmp_path))
    options = section("cifar10", f"data.data_dir={tmp_path / 'prepared'}")
    for _ in ("as it is prepared", "as it is read again"):
        data = tfds.load(options)
        assert list(data.classes) == CIFAR10
        assert (data.train.images.shape, len(data.test)) == ((50, 32, 32, 3), 10)
        for image, label in zip(data.train.images, data.train.labels, strict=True):
            assert (image == [20 * label, 0, 0]).all()


@pytest.mark.parametrize(("name", "classes"), [("kmnist", KMNIST), ("cifar10", CIFAR10)])
def test_a_config_without_class_names_tells_them_in_its_comment(name, classes):
    lines = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    words = " ".join(line.removeprefix("# ") for line in lines if line.startswith("#"))
    assert f"{', '.join(classes[:-1])} and {classes[-1]}" in words


@pytest.mark.parametrize("name", ["fashion_mnist", "emnist_letters"])
def test_a_plan_without_the_files_ends_with_what_to_do(name, dry_run, tmp_path):
    code, _, (line,) = dry_run(name, f"data.folder={tmp_path}")
    assert code == 2
    assert "no such file" in line
    assert "name its folder as data.folder" in line


@pytest.mark.parametrize("name", ["kmnist", "cifar10"])
def test_what_is_still_to_be_downloaded_can_be_planned(name, dry_run):
    code, plan, errors = dry_run(name)
    assert (code, errors) == (0, [])
    assert "ingest" in plan


@pytest.mark.parametrize("name", ["kmnist", "cifar10"])
def test_a_plan_without_the_named_archives_ends_with_what_to_do(name, dry_run, tmp_path):
    code, _, (line,) = dry_run(name, f"data.manual_dir={tmp_path / 'none'}")
    assert code == 2
    assert "Put the archives of" in line


@pytest.mark.parametrize("name", ["kmnist", "cifar10"])
def test_a_download_without_a_network_ends_with_what_to_do(name, tmp_path, no_network):
    with pytest.raises(DataError, match=r"could not be prepared .*data\.manual_dir"):
        tfds.load(section(name, f"data.data_dir={tmp_path}"))


def write_photos(folder):
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (90, 70)).save(folder / name / f"{number}.jpg")


def test_photos_are_named_on_the_command_line(dry_run, tmp_path):
    write_photos(tmp_path / "my_photos")
    code, plan, errors = dry_run("photos", f"data.folder={tmp_path / 'my_photos'}")
    assert (code, errors) == (0, [])
    assert "verify" in plan
    code, _, (line,) = dry_run("photos", "data.folder=none")
    assert (code, "none: no such folder" in line) == (2, True)


def test_photos_may_be_named_by_a_table(dry_run, tmp_path):
    write_photos(tmp_path)
    rows = [f"{name}/{number}.jpg,{name}" for name in ("cat", "dog") for number in range(5)]
    table = tmp_path / "all.csv"
    table.write_text("\n".join(["file,class", *rows]))
    code, _, errors = dry_run(
        "photos", "data.source=csv", f"data.train_file={table}", "data.path_column=file",
        "data.label_column=class", "data.test_fraction=0.2", "data.image_size=[64, 64]",
        "data.fit=crop",
    )  # fmt: skip
    assert (code, errors) == (0, [])
