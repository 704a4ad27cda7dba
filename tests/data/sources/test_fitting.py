"""A file or folder that another source reads is refused with the settings that read it."""

import gzip
import zipfile

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import DataError
from pipeline.data.sources import csv, idx, image_folder, npz
from tests.data.sources.test_idx import encode

ROWS = "label,a,b\n" + "0,1,2\n1,3,4\n" * 3
SOURCES = {
    "csv": lambda path: csv.Options(train_file=path, test_fraction=0.5),
    "npz": lambda path: npz.Options(file=path, test_fraction=0.5),
    "image_folder": lambda path: image_folder.Options(folder=path),
    "idx": lambda path: idx.Options(folder=path),
}


def packed_pictures(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat/1.PNG", b"")


def workbook(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", b"")


FILES = {
    "a b.npz": lambda path: np.savez(path, X=np.zeros((2, 2))),
    "a.zip": packed_pictures,
    "a.xlsx": workbook,
    "a.npy": lambda path: np.save(path, np.zeros(3)),
    "a.csv": lambda path: path.write_text(ROWS),
    "a.tsv.gz": lambda path: path.write_bytes(gzip.compress(ROWS.replace(",", "\t").encode())),
    "a.png": lambda path: Image.new("L", (2, 2)).save(path),
    "a-ubyte.gz": lambda path: path.write_bytes(gzip.compress(encode(np.zeros(3, np.uint8)))),
}
REMEDIES = {
    "a b.npz": "Read it with data.source=npz 'data.file={}'.",
    "a.zip": "Unpack it, and set data.source=image_folder data.folder=… to what comes out.",
    "a.xlsx": "Save its sheet as CSV, and name that file.",
    "a.npy": "It holds one array; save images and labels together with numpy.savez_compressed, and "
    "read that with data.source=npz data.file=…",
    "a.csv": "Read it with data.source=csv data.train_file={} data.test_fraction=0.2.",
    "a.tsv.gz": r"Read it with data.source=csv data.train_file={} data.test_fraction=0.2 "
    "'data.delimiter=\"\\t\"'.",
    "a.png": "Set data.source=image_folder and data.folder to what holds a folder for each class.",
    "a-ubyte.gz": "Read it with data.source=idx data.folder={folder}.",
}
READ_BY = {"a b.npz": "npz", "a.csv": "csv", "a.tsv.gz": "csv"}


def refusal(source, path):
    with pytest.raises(DataError) as caught:
        dict(SOURCES[source](path).outside_files())
    return str(caught.value)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_source_is_refused_with_the_settings_that_read_it(tmp_path, source, name):
    path = tmp_path / name
    FILES[name](path)
    if READ_BY.get(name) == source:
        assert path in SOURCES[source](path).outside_files().values()
        return
    said = refusal(source, path)
    assert said.startswith(f"{path}: is a")
    assert said.endswith(REMEDIES[name].format(path, folder=tmp_path))


@pytest.mark.parametrize("source", ["image_folder", "idx"])
def test_a_damaged_archive_in_place_of_a_folder_is_to_be_unpacked(tmp_path, source):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04" + bytes(99))
    said = refusal(source, tmp_path / "a.zip")
    assert said.endswith("is a zip archive, expected a folder. Unpack it, and set data.folder to "
                         "what comes out.")  # fmt: skip


@pytest.mark.parametrize(("source", "option"), [("csv", "train_file"), ("npz", "file")])
def test_a_folder_in_place_of_a_file_is_called_one(tmp_path, source, option):
    assert refusal(source, tmp_path) == (
        f"{tmp_path}: is a folder, expected a file. Set data.{option} to a file in it; a folder of "
        f"pictures is read with data.source=image_folder data.folder={tmp_path}."
    )


@pytest.mark.parametrize("source", ["image_folder", "idx"])
def test_a_folder_that_holds_a_file_of_another_source_leads_to_it(tmp_path, source):
    FILES["a.csv"](tmp_path / "a.csv")
    said = refusal(source, tmp_path)
    assert said.endswith(REMEDIES["a.csv"].format(tmp_path / "a.csv"))
