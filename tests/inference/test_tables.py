"""predict on a table of pixels: which answers are written, and that none are written by half."""

import gzip
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from export.formats import contract, failures
from export.formats.contract import Contract, ImageInput
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.progress import LogProgress
from pipeline.data.sources import _csv_rows
from pipeline.data.sources._path_table import PathRows
from pipeline.inference import tables as table_prediction
from pipeline.inference.tables import TableAnswers, Tables, predict_table, requested_tables
from pipeline.store import store

PROGRESS = LogProgress(Console(quiet=True))
HEADER = "p0,p1,p2,p3\n"
ROWS = "0,0,255,0\n255,0,0,0\n9,9,9,250\n"


class Artifact:
    """Stands for an export artifact whose answer is the position of the brightest pixel."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        failures.write({}, folder)
        self.batches, self.shape, self.data = [], (2, 2, 1), {"source": "idx"}
        self.trained_colour = None
        monkeypatch.setattr(table_prediction, "answer_function", lambda *_: self.answer)
        monkeypatch.setattr(contract, "read", lambda _: self.promise())
        monkeypatch.setattr(table_prediction, "open_artifact", lambda f: store.Artifact(
            f, {"config": {"data": self.data}}
        ))  # fmt: skip

    def promise(self):
        names = ["first", "second", "the, third", "fourth"]
        one = contract.FormatContract("model.onnx", "N", None, None)
        shape = ImageInput(self.shape, "grey", "dark", trained_colour=self.trained_colour)
        return Contract(shape, contract.output(names), {"onnx": one}, "m", "d", {})

    def answer_rows(self, tables):
        return predict_table(tables, self.folder, "onnx", PROGRESS)

    def answer(self, images):
        assert images.dtype == np.uint8
        assert images.shape[1:] == self.shape
        self.batches.append(len(images))
        return np.eye(4, dtype=np.float32)[images.reshape(len(images), -1).argmax(axis=1)]


@pytest.fixture
def artifact(tmp_path_factory, monkeypatch):
    return Artifact(tmp_path_factory.mktemp("export"), monkeypatch)


@pytest.fixture
def tables(tmp_path):
    (tmp_path / "test.csv").write_text(HEADER + ROWS)
    return Tables(tmp_path / "test.csv", tmp_path / "answers.csv", ("ImageId", "Label"))


def test_a_table_of_grey_pixels_is_answered_by_files_that_take_three_channels(
    artifact, tables, monkeypatch
):
    artifact.shape, artifact.trained_colour = (2, 2, 3), "grey"
    taken = []

    def answer(images):  # `opened` repeats the channel
        taken.append(images)
        return np.eye(4)[[0] * len(images)]

    monkeypatch.setattr(table_prediction, "answer_function", lambda *_: answer)
    assert artifact.answer_rows(tables) == TableAnswers(3)
    assert taken[0].shape == (3, 2, 2, 1)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_each_row_is_answered_under_its_number(artifact, tables):
    assert artifact.answer_rows(tables) == TableAnswers(3)
    written = 'ImageId,Label\n1,"the, third"\n2,first\n3,fourth\n'
    assert tables.answers.read_text() == written
    assert names_in(tables.answers.parent) == ["answers.csv", "test.csv"]


def test_columns_have_the_names_that_were_asked_for(artifact, tables):
    artifact.answer_rows(Tables(tables.rows, tables.answers, ("id", "kind")))
    assert tables.answers.read_text().startswith("id,kind\n1,")


def test_rows_are_asked_about_in_batches_and_numbered_through(artifact, tables, monkeypatch):
    monkeypatch.setattr(table_prediction, "PIXELS_A_BATCH", 8)
    artifact.answer_rows(tables)
    assert artifact.batches == [2, 1]
    assert [line.split(",")[0] for line in tables.answers.read_text().split()[1:4:2]] == ["1", "2"]
    assert tables.answers.read_text().endswith("\n3,fourth\n")


def test_the_delimiter_is_that_of_the_training_table(artifact, tables):
    tables.rows.write_text((HEADER + ROWS).replace(",", ";"))
    with pytest.raises(DataError, match=r"one column, 'p0;p1;p2;p3', when split at ','"):
        artifact.answer_rows(tables)
    artifact.data = {"source": "csv", "delimiter": ";"}
    assert artifact.answer_rows(tables) == TableAnswers(3)


def test_a_table_is_never_in_memory_as_a_whole(artifact, tables, monkeypatch):
    artifact.shape = (28, 28, 1)
    monkeypatch.setattr(table_prediction, "PIXELS_A_BATCH", 100 * 784)
    monkeypatch.setattr(_csv_rows, "PIECE_BYTES", 2**16)
    header = ",".join(f"p{index}" for index in range(784))
    tables.rows.write_text("\n".join([header, *[",".join(["200"] * 784)] * 1_000]))
    tracemalloc.start()
    try:
        assert artifact.answer_rows(tables) == TableAnswers(1_000)
        assert tracemalloc.get_traced_memory()[1] < 600_000 < 1_000 * 784
    finally:
        tracemalloc.stop()
    assert artifact.batches == [100] * 10


def test_labels_in_the_table_are_left_out_and_give_the_accuracy(artifact, tables):
    tables.rows.write_text(
        "p0,p1,label,p2,p3\n0,0,first,255,0\n255,0,first,0,0\n9,9,fourth,9,250\n"
    )
    assert artifact.answer_rows(tables) == TableAnswers(3, 2, 3)
    assert tables.answers.read_text() == 'ImageId,Label\n1,"the, third"\n2,first\n3,fourth\n'


def test_labels_mean_classes_by_the_rule_of_training_tables(artifact, tables):
    tables.rows.write_text("label,p0,p1,p2,p3\n2.0,0,0,255,0\n0,0,0,255,0\n3,9,9,9,250\n")
    assert artifact.answer_rows(tables) == TableAnswers(3, 2, 3)  # places, as pandas writes them
    tables.rows.write_text("label,p0,p1,p2,p3\nfirst,255,0,0,0\n3,9,9,9,250\n")
    with pytest.raises(DataError, match=r"line 3: label '3', expected a class of the model"):
        artifact.answer_rows(tables)  # names and places


@pytest.mark.parametrize("blank", ["", " "])
def test_an_empty_label_does_not_count(artifact, tables, blank):
    rows = f"{blank},0,0,255,0\nfirst,255,0,0,0\nfirst,9,9,9,250\n{blank},9,9,9,250\n"
    tables.rows.write_text("label,p0,p1,p2,p3\n" + rows)
    assert artifact.answer_rows(tables) == TableAnswers(4, 1, 2)
    tables.rows.write_text(f"label,p0,p1,p2,p3\n{blank},0,0,255,0\n")
    assert artifact.answer_rows(tables) == TableAnswers(1)


def test_a_label_that_is_no_class_is_refused_with_its_line(artifact, tables):
    tables.rows.write_text("label,p0,p1,p2,p3\nfirst,0,0,255,0\nfifth,0,0,255,0\n")
    with pytest.raises(DataError, match=r"line 3: label 'fifth', expected a class of the model"):
        artifact.answer_rows(tables)
    assert not tables.answers.exists()


def test_a_table_is_read_as_the_training_images_table_was(artifact, tables):
    artifact.data = {
        "source": "csv", "delimiter": ";", "header": False, "label_column": "1",
        "pixel_range": [0, 1],
    }  # fmt: skip
    tables.rows.write_text("0;0;0.5;0\n1;0;0;0.2\n")
    assert artifact.answer_rows(tables) == TableAnswers(2)
    tables.rows.write_text("second;0;0;0.5;0\nfirst;1;0;0;0.2\n")
    assert artifact.answer_rows(tables) == TableAnswers(2, 1, 2)


def test_all_pixels_may_stand_in_one_column_of_a_packed_table(artifact, tables):
    content = 'label,pixels,Usage\nfirst,0 0 255 0,Test\nfirst,255 0 0 0,"a\nb"\n'
    packed = tables.rows.with_name("t.csv.gz")
    packed.write_bytes(gzip.compress(content.encode()))
    assert artifact.answer_rows(replace(tables, rows=packed)) == TableAnswers(2, 1, 2)


@pytest.mark.parametrize("source", ["csv", "image_folder"])
def test_rows_may_name_pictures_which_are_prepared_as_for_training(artifact, tables, source):
    folder = tables.rows.parent / "photos"
    folder.mkdir()
    artifact.data = {"source": source} | ({"path_column": "file"} if source == "csv" else {})
    for name, place in (("a", (0, 1)), ("b", (1, 1))):
        pixels = np.zeros((2, 2), np.uint8)
        pixels[place] = 255
        Image.fromarray(pixels).save(folder / f"{name}.png")
    tables.rows.write_text("n,file,label\n1,a.png,second\n2,./b.png,first\n")
    asked_for = replace(tables, image_folder=folder, columns=None)
    assert artifact.answer_rows(asked_for) == TableAnswers(2, 1, 2)
    assert tables.answers.read_text() == "file,label\na.png,second\n./b.png,fourth\n"
    drawn = (folder / "b.png").read_bytes()
    with pytest.raises(ConfigError, match=r"b\.png: is .*b\.png itself, which is read"):
        artifact.answer_rows(replace(asked_for, answers=folder / "b.png"))
    assert (folder / "b.png").read_bytes() == drawn
    (folder / "b.png").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match=r"line 3: .*photos/b\.png: is a GIF; convert it to PNG"):
        artifact.answer_rows(asked_for)


@pytest.mark.parametrize(("white", "is_refused"), [(1, True), (16, True), (17, False)])
def test_pixels_of_another_scale_than_training_are_refused(artifact, tables, white, is_refused):
    tables.rows.write_text(HEADER + f"0,0,{white},0\n" * 20)
    if not is_refused:
        assert artifact.answer_rows(tables) == TableAnswers(20)
        return
    with pytest.raises(DataError, match=f"has pixels from 0 to {white}, expected 0..255"):
        artifact.answer_rows(tables)
    assert not tables.answers.exists()
    artifact.data = {"source": "idx", "pixel_range": [0, 255]}
    assert artifact.answer_rows(tables) == TableAnswers(20)


@pytest.mark.parametrize(("white", "factor"), [(5, "51"), (1, "255")])
def test_a_few_dark_images_are_answered_with_a_doubt(artifact, tables, white, factor):
    tables.rows.write_text(HEADER + f"0,0,{white},0\n" * 9)
    done = artifact.answer_rows(tables)
    assert done.images == 9
    assert done.doubt.endswith(
        f"test.csv: has pixels from 0 to {white}, expected 0..255, as the model was trained on. "
        f"Multiply them by {factor}, unless they are meant to be so dark."
    )


REMEDIES = {
    "no column of paths": ({"path_column": "file"}, "n,other\n1,a.png\n", "Name it as in the tr"),
    "no column of pixels": ({"pixels_column": "px"}, "n,o\n1,0 0 1 2\n", "Name it as in the tra"),
    "no ending": ({"path_column": "file"}, "n,file\n1,a\n", "Write the names with .png at their"),
    "a path that leads out": ({"path_column": "file"}, "n,file\n1,../a.png\n", "with --image-fold"),
    "no folder": ({"path_column": "file"}, "n,file\n1,a.png\n", "name another with --image-folder"),
    "a number": ({}, HEADER + "1,2,3,256\n", "scale all values to 0..255, as the model was tra"),
    "out of range": ({"pixel_range": [0, 1]}, HEADER + "1,2,0,1\n", "as in the training images."),
    "texts": ({}, HEADER + "1,2,3,a.png\n", "or name files in one column of every row"),
    "many pixels": ({}, HEADER + "1,2,3,4 5\n", "or all pixels of an image in one column"),
    "no header": ({}, "1,2,2,3\n", "Write one above the rows."),
    "too few pixels": ({"pixels_column": "px"}, "n,px\n1,0 0 1\n", "3 pixels in column 'px', ex"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REMEDIES)
def test_remedies_are_such_as_predict_can_follow(artifact, tables, kind):
    said, content, remedy = REMEDIES[kind]
    artifact.data = {"source": "csv"} | said
    tables.rows.write_text(content)
    tables.rows.with_name("a.png").touch()
    folder = tables.rows.parent / "none" if kind == "no folder" else None
    with pytest.raises(DataError) as caught:
        artifact.answer_rows(replace(tables, image_folder=folder))
    assert remedy in str(caught.value)
    assert "data." not in str(caught.value)


def test_a_cut_name_is_looked_for_once(artifact, tables, monkeypatch):
    artifact.data, looked_for = {"source": "csv", "path_column": "file"}, []
    monkeypatch.setattr(
        PathRows, "_refuse_cut_name", lambda self, where, name: looked_for.append(name)
    )
    for name in ("a", "b"):
        Image.new("L", (2, 2)).save(tables.rows.with_name(name), "PNG")
    tables.rows.write_text("n,file\n1,a\n2,b\n")
    assert artifact.answer_rows(tables) == TableAnswers(2)
    assert looked_for == ["a"]


BAD_TABLES = {
    "five columns": (
        HEADER.replace("p0", "id,p0") + ROWS,
        "line 1: 5 columns, expected the 4 pixels of 2×2×1 that the model takes; not named as "
        "pixels: 'id'. Keep the pixel",
    ),
    "three columns": (
        "p0,p1,p2\n1,2,3\n",
        "line 1: 3 columns, expected the 4 pixels of 2×2×1 that the model takes. K",
    ),
    "a ragged row": (HEADER + ROWS + "1,2,3\n", "line 5: 3 values, expected 4 as in the header"),
    "no pixel": (HEADER + ROWS + "1,2,x,3\n", "line 5: 'x' in column 'p2', expected a whole"),
    "no row": (HEADER, "has no row after its header"),
    "nothing": ("", "is empty. Expected a header"),
    "columns in another order": ("p1,p0,p2,p3\n1,2,3,4\n", "line 1: pixel column 'p0' stands out"),
    "no header": (ROWS, "line 1: holds values, expected a header: the names of"),
}


@pytest.mark.parametrize("kind", BAD_TABLES)
@pytest.mark.parametrize("before", [None, "older answers\n"])
def test_a_bad_table_leaves_the_answers_as_they_were(artifact, tables, kind, before):
    content, message = BAD_TABLES[kind]
    tables.rows.write_text(content)
    if before:
        tables.answers.write_text(before)
    with pytest.raises(DataError) as caught:
        artifact.answer_rows(tables)
    assert str(caught.value).startswith(f"{tables.rows}: {message}")
    found = names_in(tables.answers.parent)
    assert found == (["answers.csv", "test.csv"] if before else ["test.csv"])
    assert not before or tables.answers.read_text() == before


def test_an_interrupt_leaves_the_answers_as_they_were(artifact, tables, monkeypatch):
    tables.answers.write_text("older answers\n")

    def interrupted(images):
        raise KeyboardInterrupt

    monkeypatch.setattr(artifact, "answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        artifact.answer_rows(tables)
    assert tables.answers.read_text() == "older answers\n"
    assert names_in(tables.answers.parent) == ["answers.csv", "test.csv"]


def test_a_full_disk_is_told_and_leaves_the_answers_as_they_were(artifact, tables, monkeypatch):
    tables.answers.write_text("older answers\n")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table_prediction.os, "fsync", full)
    with pytest.raises(ConfigError, match=r"answers\.csv: cannot be written \(No space left on"):
        artifact.answer_rows(tables)
    assert tables.answers.read_text() == "older answers\n"
    assert names_in(tables.answers.parent) == ["answers.csv", "test.csv"]


def test_answers_go_to_where_a_link_points(artifact, tables):
    real = tables.answers.with_name("real.csv")
    tables.answers.symlink_to(real)
    artifact.answer_rows(tables)
    assert tables.answers.is_symlink()
    assert real.read_text().startswith("ImageId,Label\n")


def test_answers_have_a_place_of_their_own(artifact, tables):
    for place, message in {
        tables.rows: r"test\.csv: is .*test\.csv itself, which is read; name another file",
        tables.rows.parent: "is no file; name one",
        tables.rows.parent / "none" / "a.csv": "there is no folder .*none; make it first",
        Path("/dev/null"): "is no file; name one",
    }.items():
        with pytest.raises(ConfigError, match=f"^--output .*{message}"):
            artifact.answer_rows(Tables(tables.rows, place, tables.columns))
    assert tables.rows.read_text() == HEADER + ROWS


def test_a_missing_table_is_named(artifact, tables):
    tables.rows.unlink()
    with pytest.raises(DataError, match=r"test\.csv: no such file. Name a table"):
        artifact.answer_rows(tables)


def test_pictures_and_folders_alone_are_no_tables(tmp_path):
    assert requested_tables([Path("a.png"), Path("b.jpg")], None, None) is None
    assert requested_tables([Path("a.png"), tmp_path], Path("answers.csv"), "id,kind") is None


@pytest.mark.parametrize("name", ["a.csv", "A.CSV", "a.csv.gz", "a.txt"])
def test_a_table_and_a_place_for_its_answers_are_asked_for(name):
    assert requested_tables([Path(name)], Path("b.csv"), "id,label") == Tables(
        Path(name), Path("b.csv"), ("id", "label")
    )


@pytest.mark.parametrize(
    ("files", "output", "columns", "message"),
    [
        (["a.csv"], None, "a,b", "a.csv is a table; say where its answers go with --output FILE"),
        (["a.png", "b.csv"], None, "a,b", "b.csv is a table, and stands beside other files; name"),
        (["a.txt", "b.txt"], "c.csv", "a,b", "a.txt is a table, and stands beside other files"),
        (["a.csv"], "b.csv", "a", "--columns 'a'; expected two names, such as ImageId,Label"),
        (["a.csv"], "b.csv", "a,", "--columns 'a,'; expected two names, such as ImageId,Label"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(files, output, columns, message):
    with pytest.raises(ConfigError) as caught:
        requested_tables([Path(file) for file in files], output and Path(output), columns)
    assert str(caught.value).startswith(message)
