"""Commands that use an export, on the files of the smoke run."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

from export.formats.format import formats
from pipeline.cli import predict
from pipeline.core.errors import DataError
from pipeline.core.plugins import ROOT
from pipeline.inference import pictures as prediction
from pipeline.inference.tables import TableAnswers
from tests.command_line import call_here


def run_of(artifacts):
    (run,) = (artifacts / "runs").iterdir()
    return run.name


@pytest.fixture
def golden(smoke_run):
    (folder,) = smoke_run.glob("verify/*/golden")
    return folder


@pytest.mark.parametrize("name", ["saved_model", "tflite_int8"])
def test_golden_images_are_answered_as_verify_recorded_them(smoke_run, golden, name):
    done = call_here("check-golden", golden, "--format", name, "--artifacts", smoke_run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("32 of 32 agree; largest difference ")


def test_the_rows_of_a_table_are_answered_as_the_pictures_were(smoke_run, golden, tmp_path):
    recorded = json.loads((golden / "golden.json").read_text())["images"]
    pictures = [np.asarray(Image.open(golden / image["file"])) for image in recorded]
    rows = [",".join(map(str, picture.ravel().tolist())) for picture in pictures]
    header = ",".join(f"pixel{index}" for index in range(784))
    (tmp_path / "test.csv").write_text("\n".join([header, *rows]))
    output = tmp_path / "submission.csv"
    done = call_here("predict", tmp_path / "test.csv", "--output", output, "--artifacts", smoke_run)
    assert (done.returncode, done.stderr) == (0, "")
    told, who = done.stdout.splitlines()[-2:]
    assert told == f"{len(rows)} images answered in {output}"
    assert who == f"answered by tflite_float32 of run {run_of(smoke_run)}"
    answers = [line.split(",") for line in output.read_text().splitlines()]
    assert answers[0] == ["ImageId", "Label"]
    (predictions,) = smoke_run.glob("evaluate/*/predictions.csv")
    with predictions.open() as file:
        by_index = {row["index"]: row["prediction"] for row in csv.DictReader(file)}
    expected = [by_index[str(image["test_index"])] for image in recorded]
    assert answers[1:] == [[str(number), label] for number, label in enumerate(expected, 1)]


def test_a_folder_of_pictures_is_answered_on_the_screen_or_in_a_table(smoke_run, golden, tmp_path):
    files = [golden / "images" / f"{n:02}.png" for n in range(3)]
    (tmp_path / "in" / "deep").mkdir(parents=True)
    copies = [tmp_path / "in" / name for name in ("a.png", "b.png", "deep/c.png")]
    for file, copy in zip(files, copies, strict=True):
        shutil.copy(file, copy)
    asked = ["predict", tmp_path / "in", "--artifacts", smoke_run]
    shown = call_here("predict", *files, "--json", "--artifacts", smoke_run)
    expected = [(answer["label"], answer["probability"]) for answer in json.loads(shown.stdout)]
    done = call_here(*asked, "--json")
    assert [answer["file"] for answer in json.loads(done.stdout)] == list(map(str, copies))
    output = tmp_path / "answers.csv"
    done = call_here(*asked, "--output", output)
    assert f"3 pictures answered in {output}\n" in done.stdout
    rows = [
        f"{copy},{label},{probability:.4f}"
        for copy, (label, probability) in zip(copies, expected, strict=True)
    ]
    assert output.read_text().splitlines() == ["file,label,probability", *rows]
    (tmp_path / "in" / "d.gif").write_bytes(b"GIF89a")
    done = call_here(*asked, "--output", output, "--columns", "id,digit")
    assert done.returncode == 2
    assert "d.gif: is a GIF; convert it to PNG or JPEG" in done.stderr
    short = [f"{copy},{label}" for copy, (label, _) in zip(copies, expected, strict=True)]
    assert output.read_text().splitlines() == ["id,digit", *short]


def test_a_table_of_paths_with_labels_gives_the_accuracy(smoke_run, golden, tmp_path):
    names = [f"{n:02}.png" for n in range(4)]
    shown = call_here(
        "predict", *(golden / "images" / n for n in names), "--json", "--artifacts", smoke_run
    )
    labels = [answer["label"] for answer in json.loads(shown.stdout)]
    wrong = [labels[0], str((int(labels[1]) + 1) % 10), *labels[2:]]
    rows = "".join(f"{name},{label}.0\n" for name, label in zip(names, wrong, strict=True))
    (tmp_path / "test.csv").write_text("picture,label\n" + rows)
    done = call_here(
        "predict", tmp_path / "test.csv", "--output", tmp_path / "out.csv",
        "--image-folder", golden / "images", "--artifacts", smoke_run,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "accuracy 75.00%: 3 of 4 as its labels say\n" in done.stdout
    told = [f"{name},{label}" for name, label in zip(names, labels, strict=True)]
    assert (tmp_path / "out.csv").read_text().splitlines() == ["file,label", *told]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["a.png", "--columns", "a,b"], "--columns is for the table of --output"),
        (["a.png", "--json", "--output", "b.csv"], "--json and --output are two places"),
        (["a.png", "--image-folder", "b"], "--image-folder is for a table of paths"),
    ],
)
def test_options_of_predict_that_do_not_go_together_are_refused(tmp_path, typed, said):
    done = call_here("predict", *typed, "--artifacts", tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.fixture
def some_run(monkeypatch, tmp_path):
    """Stands for a run: no file of it is read before the place for answers is looked at."""
    run = SimpleNamespace(intact_artifact=lambda stage: tmp_path, name="some")
    monkeypatch.setattr(predict.runs, "find_run", lambda *_: run)
    monkeypatch.setattr(predict, "_usual_format", lambda *_: "tflite_float32")


@pytest.mark.parametrize("place", ["photos/a.png", "photos/../photos/a.png", "link.png"])
@pytest.mark.parametrize("asked", ["photos", "photos/a.png"])
def test_no_picture_is_replaced_by_its_answer(some_run, tmp_path, asked, place):
    (tmp_path / "photos").mkdir()
    Image.new("L", (2, 2)).save(tmp_path / "photos" / "a.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "photos" / "a.png")
    before = (tmp_path / "photos" / "a.png").read_bytes()
    done = call_here("predict", tmp_path / asked, "--output", tmp_path / place)
    assert done.returncode == 2
    assert "a.png itself, which is read; name another file" in done.stderr
    assert (tmp_path / "photos" / "a.png").read_bytes() == before


def test_where_nothing_was_answered_older_answers_stay(some_run, monkeypatch, tmp_path):
    def none(files, folder, format_name, polarity, refuse, preparing):
        refuse(DataError("bad.png: is no picture"))
        return iter(())

    monkeypatch.setattr(prediction, "predict", none)
    output = tmp_path / "answers.csv"
    output.write_text("older answers\n")
    done = call_here("predict", tmp_path / "bad.png", "--output", output)
    assert (done.returncode, done.stdout) == (2, "")
    assert "bad.png: is no picture" in done.stderr
    assert output.read_text() == "older answers\n"


@pytest.mark.parametrize(
    ("unwritten", "failed", "taken"),
    [
        ([], ["tflite_float32"], "tflite_float32"),
        (["tflite_float32"], [], "onnx"),
        (["tflite_float32"], ["onnx", "saved_model"], "tflite_float16"),
        (["tflite_float32", "tflite_float16"], ["onnx", "saved_model"], "tflite_dynamic"),
        (["tflite_float32"], list(formats()), "onnx"),
    ],
)
def test_without_a_format_another_answers_where_the_usual_one_is_not(
    monkeypatch, tmp_path, unwritten, failed, taken
):
    promised = SimpleNamespace(formats=dict.fromkeys(formats()))
    monkeypatch.setattr(prediction.contract, "read", lambda _: promised)
    prediction.failures.write(dict.fromkeys(unwritten, "not to be had"), tmp_path)
    assert prediction.usual_format(tmp_path, failed) == taken


def test_the_format_that_answered_by_default_is_told(smoke_run, golden, monkeypatch, tmp_path):
    picture = golden / "images" / "00.png"
    monkeypatch.setattr(prediction, "USUAL", "of another run")
    output = tmp_path / "answers.csv"
    done = call_here("predict", picture, "--output", output, "--artifacts", smoke_run)
    assert (done.returncode, done.stderr) == (0, "")
    told, who = done.stdout.splitlines()[-2:]
    assert told == f"1 picture answered in {output}"
    assert who == f"answered by onnx of run {run_of(smoke_run)}"


def test_labels_of_some_rows_and_a_doubt_are_told(some_run, monkeypatch, tmp_path):
    answered = TableAnswers(4, 1, 2, "t.csv: has pixels from 0 to 5")
    monkeypatch.setattr(predict, "predict_table", lambda *_: answered)
    done = call_here("predict", tmp_path / "t.csv", "--output", tmp_path / "a.csv")
    assert done.stdout.splitlines()[1:] == [
        "accuracy 50.00%: 1 of 2 as its labels say",
        "warning  t.csv: has pixels from 0 to 5",
        "answered by tflite_float32 of run some",
    ]


def test_a_bad_file_among_others_ends_with_2_after_their_answers(smoke_run, golden, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    names = ("empty", "bad.png", "none.png")
    files = [golden / "images" / "00.png", *(tmp_path / name for name in names)]
    done = call_here("predict", *files, "--run", "smoke", "--artifacts", smoke_run)
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1] == (
        f"answered by tflite_float32 of run {run_of(smoke_run)}"
    )
    assert [line.split()[:2] for line in done.stderr.splitlines()] == [
        ["error", f"{file}:"] for file in files[1:]
    ]
    done = call_here("predict", *files, "--json", "--artifacts", smoke_run)
    (answer,) = json.loads(done.stdout)
    assert (done.returncode, answer["file"]) == (2, str(files[0]))


def test_a_file_that_answers_otherwise_ends_with_exit_code_3(smoke_run, golden):
    export = next(smoke_run.glob("export/*"))
    other = export / formats()["tflite_float16"].path
    done = call_here("check-golden", golden, "--format", "tflite_float32", "--model", other)
    assert done.returncode == 3
    assert "off  images/" in done.stdout
    assert "tflite_float32 does not answer as it did when" in done.stderr


def test_a_folder_that_is_not_golden_is_named(smoke_run, tmp_path):
    done = call_here("check-golden", tmp_path, "--format", "onnx", "--artifacts", smoke_run)
    assert done.returncode == 2
    assert "golden.json: there is no such file" in done.stderr


def test_without_a_format_those_of_the_golden_folder_are_named(golden):
    done = call_here("check-golden", golden)
    assert done.returncode == 2
    assert f"with --format; {golden} holds onnx, " in done.stderr


def test_of_a_folder_above_its_golden_folder_is_named(golden):
    done = call_here("check-golden", golden.parent, "--format", "onnx", "--model", golden)
    assert done.returncode == 2
    assert f"no such file; did you mean {golden}?" in done.stderr


def test_links_that_form_a_loop_are_told_in_one_line(tmp_path):
    (loop := tmp_path / "loop").symlink_to(tmp_path / "loop")
    done = call_here("check-golden", loop, "--format", "onnx", "--model", tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert str(loop) in line


FEWER = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**33))
from export.verification.golden_replay import answer
(said,) = answer({"format_name": "onnx", "path": sys.argv[1]})
print(*said, *resource.getrlimit(resource.RLIMIT_AS))
"""


def test_a_golden_folder_is_asked_about_where_less_memory_is_allowed(tmp_path):
    (model := tmp_path / "model.onnx").touch()
    done = subprocess.run(
        [sys.executable, "-c", FEWER, str(model)], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout, done.returncode) == (f"problem {2**32} {2**32}\n", 0), done.stderr


@pytest.mark.skipif(
    not (shutil.which("npm") or os.environ.get("CI")), reason="the page's packages come from npm"
)
def test_the_demo_serves_the_page_until_it_is_interrupted(smoke_run):
    with subprocess.Popen(
        [sys.executable, "run_pipeline.py", "demo", "--port", "0", "--artifacts", str(smoke_run)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        address = process.stdout.readline().split()[1]
        with urlopen(address) as page:
            assert b"<canvas" in page.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
        assert "error" not in process.stderr.read()


def test_a_file_that_is_not_as_published_is_not_asked(smoke_run, golden, tmp_path):
    copy = tmp_path / "artifacts"
    shutil.copytree(smoke_run, copy, symlinks=True)
    file = next(copy.glob("export/*")) / formats()["onnx"].path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    picture = golden / "images" / "00.png"
    for command in (["check-golden", golden], ["predict", picture]):
        done = call_here(*command, "--format", "onnx", "--artifacts", copy)
        assert done.returncode == 1
        assert "model.onnx is not the file that was published" in done.stderr


def test_digits_on_a_sheet_of_paper_are_answered_as_they_are_alone(smoke_run, golden, tmp_path):
    """The smoke run's model knows little: it is asked to say the same, not to be right."""
    names = [image["file"] for image in json.loads((golden / "golden.json").read_text())["images"]]
    for name in names[:16]:
        with Image.open(golden / name) as alone:
            digit = alone.resize((90, 90), Image.Resampling.BICUBIC)
        sheet = Image.new("L", (320, 240), 225)
        sheet.paste(40, (190, 120), digit)
        sheet.save(tmp_path / name.rpartition("/")[2])

    def labels(*asked):
        done = call_here("predict", *asked, "--json", "--artifacts", smoke_run)
        assert done.returncode == 0, done.stderr
        return [answer["label"] for answer in json.loads(done.stdout)]

    alone = labels(*(golden / name for name in names[:16]), "--prepare", "none")
    shown = tmp_path / "sheet.png"
    on_paper = labels(*(tmp_path / name.rpartition("/")[2] for name in names[:16]), "--show", shown)
    assert sum(a == b for a, b in zip(alone, on_paper, strict=True)) >= 13
    with Image.open(shown) as drawn:
        assert drawn.size == (6 * 248, 3 * 164)


def test_a_sheet_that_cannot_be_written_is_refused_before_anything_is_asked(
    smoke_run, golden, tmp_path
):
    picture = next(golden.rglob("*.png"))
    mine = Path(shutil.copy(picture, tmp_path / "mine.png"))
    for target, why in {
        tmp_path / "sheet.jpg": "needs the name of a file that ends in .png, not ",
        mine: "is a file of another kind; name a new one",
        tmp_path / "nowhere" / "sheet.png": "there is no folder",
        picture: "which is read; name another file",
    }.items():
        done = call_here("predict", picture, "--show", target, "--artifacts", smoke_run)
        assert done.returncode == 2
        assert done.stderr.startswith("error  --show ")
        assert why in done.stderr
    assert mine.read_bytes() == picture.read_bytes()
