"""The command line: exit codes, one line an error, and nothing written by a bad call."""

import json
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version
from types import SimpleNamespace

import pytest

from export.formats.format import formats
from pipeline.cli import join as joining
from pipeline.cli import main
from pipeline.cli import run as making
from pipeline.core import environment
from pipeline.core.errors import ConfigError, DivergedError, ExportError, StageError
from pipeline.core.plugins import ROOT
from pipeline.workflow import execute, graph
from pipeline.workflow.stage import StageResult

MNIST = ROOT / "configs" / "mnist.yaml"


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Calls the command line; gives its exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path / "artifacts"

    def run(*arguments, artifacts=folder):
        place = ["--artifacts", str(artifacts)] if artifacts else []
        monkeypatch.setattr(sys, "argv", ["run_pipeline.py", *arguments, *place])
        with pytest.raises(SystemExit) as caught:
            main.main()
        captured = capsys.readouterr()
        return SimpleNamespace(
            code=caught.value.code or 0, out=captured.out, err=captured.err, folder=folder
        )

    return run


@pytest.fixture
def stages(monkeypatch):
    """Stages that write one file; `stages[name]` replaces one."""
    replaced = {}

    def load(name):
        stage = name.rpartition(".")[2]

        def run(context):
            (context.output / "best.yaml").write_text("{}")
            return replaced.get(stage, lambda c: StageResult(f"{stage} [done]"))(context)

        return SimpleNamespace(run=run)

    monkeypatch.setattr(execute, "importlib", SimpleNamespace(import_module=load))
    monkeypatch.setattr(making.tables, "show_formats", lambda *a: None)
    monkeypatch.setattr("export.formats.verdict.read", lambda path: None)
    return replaced


BAD_CALLS = {
    (
        "run",
        "verify.microcontroller_images=-1",
    ): "command line: verify.microcontroller_images: -1 should be a whole number from 0 on, or all",
    (
        "run",
        "verify.gates.onnx.max_drop=1",
    ): "command line: verify.gates.onnx.max_drop is no known key. Did you mean 'max_accuracy",
    ("runn",): "no command 'runn'. Did you mean 'run'? Available: run, export, status,",
    ("my photos.yaml",): "my photos.yaml is a config file; name it with -c 'my photos.yaml'",
    ("xyz",): "no command 'xyz'. Available: run, export, status,",
    (
        "run",
        "--stage",
        "exprot",
    ): "no stage 'exprot'. Did you mean 'export'? Available: ingest, tune,",
    (
        "--from",
        "x",
    ): "no stage 'x'. Available: ingest, tune, build, train, evaluate, export, verify",
    (
        "--force",
        "x",
    ): "no stage 'x'. Available: ingest, tune, build, train, evaluate, export, verify",
    ("--from", "export", "--to", "train"): "--from export comes after --to train; swap them",
    (
        "--stage",
        "train",
        "--to",
        "verify",
    ): "--stage stands alone; drop it, or drop --from and --to",
    ("--stage", "export"): "export needs the artifact of train, which is not there (not made yet); "
    "make it with: python run_pipeline.py run --artifacts ",
    ("--bogus",): "No such option: --bogus; see python run_pipeline.py run --help",
    (
        "show",
        "a",
        "b",
    ): "Got unexpected extra argument(s) (b); see python run_pipeline.py show --help",
    ("predict",): "Missing argument 'FILE': PNG, JPEG, BMP or WebP files, folders of them, or a "
    "CSV table of pixels or paths; see python run_pipeline.py predict --help",
    ("recommend",): "Missing option '--target': microcontroller, android, ios, browser, server; "
    "see python run_pipeline.py recommend --help",
    ("train",): "no command 'train'. It is a stage: run --stage train",
    ("trian",): "no command 'trian'. Did you mean run --stage train? Available: run, export,",
    ("exprot",): "no command 'exprot'. Did you mean 'export'? Available: run, export,",
    ("-c", "a b.yaml", "status"): "put the command first: status -c 'a b.yaml' --artifacts ",
    ("seed=1", "--dry-run", "run"): "put the command first: run seed=1 --dry-run --artifacts ",
    ("train.epochs", "3"): "'train.epochs' is not an override; expected key=value, such as "
    "train.epochs=3",
    ("run", "data.folder=my", "own", "photos", "seed=1"): "'own' is not an override; expected "
    "key=value, such as 'data.folder=my own photos': a value with a space needs quotes",
    ("export", "--model", "a.keras", "--code", "my layers.py"): "command line: train: model_code "
    "is run; if you trust it, set trust_model_file=true; "
    "here that is --trust --code 'my layers.py'",
    ("export", "--model", "a.keras", "--pixels", "1..0"): "command line: train: pixel_range is "
    "[1.0, 0.0]; expected [low, high]; here that is --pixels LOW..HIGH",
    ("predict", "--polarity", "x", "a.png"): "Invalid value for '--polarity': 'x' is not one of "
    "'auto', 'light_on_dark', 'dark_on_light'; see",
    (
        "predict",
        "a.csv",
    ): "a.csv is a table; say where its answers go with --output FILE",
    (
        "predict",
        "a.csv",
        "--output",
        "b.csv",
        "--json",
    ): "--json, --polarity, --prepare and --show are for pictures; leave them out with a table",
    ("train.epoch=5",): "command line: train.epoch is no known key. Did you mean 'epochs'?",
    ("train.epochs",): "'train.epochs' is not an override; expected key=value, such as train.ep",
    ("run", "epochs"): "'epochs' is not an override; expected key=value, such as train.epochs=5",
    ("-c", "nowhere.yaml"): "nowhere.yaml: no such config file. Check the path.",
    ("data.folder=nowhere",): "nowhere: no such folder. Put it there, or set data.folder.",
    ("tune.enabled=false", "--stage", "tune"): "mnist has no stage tune; set tune.enabled=true",
}


@pytest.mark.parametrize("arguments", BAD_CALLS, ids=" ".join)
def test_a_bad_call_ends_with_2_and_one_line_and_writes_nothing(call, arguments):
    ended = call(*arguments)
    assert ended.code == 2
    assert ended.out == ""
    (line,) = ended.err.splitlines()
    assert line.startswith(f"error  {BAD_CALLS[arguments]}")
    assert not ended.folder.exists()


@pytest.mark.parametrize(
    ("said", "options"),
    [
        (
            "set train.trust_model_file=true, and name it with train.model_code",
            "--trust --code FILE.py",
        ),
        ("If they are logits, set train.gives=logits", "--logits"),
        ("set train.pixel_range", "--pixels LOW..HIGH"),
        ("with 'train.pixel_range=[-1,1]' it would be 100.00%", "--pixels -1..1"),
        ("set train.pixel_range (to export, --pixels 0..1)", None),
        ("set data.pixel_range, for it gives rows", None),
    ],
)
def test_export_ends_an_error_that_names_settings_with_its_options(
    call, stages, tmp_path, said, options
):
    (tmp_path / "a.keras").touch()

    def refuse(context):
        raise ConfigError(said)

    stages["ingest"] = refuse
    ended = call("export", "--model", str(tmp_path / "a.keras"))
    assert ended.err == f"error  {said}{f'; here that is {options}' if options else ''}\n"


def test_each_mistake_in_a_config_has_its_own_line(call):
    ended = call("train.epochs=0", "seed=x")
    assert [line.split(": ")[1].split()[0] for line in ended.err.splitlines()] == [
        "seed",
        "train.epochs",
    ]
    assert ended.err.count("error  command line: ") == 2


def test_an_artifacts_folder_that_is_a_file_is_refused(call, tmp_path):
    (tmp_path / "file").write_text("mine")
    ended = call("run", artifacts=tmp_path / "file")
    assert ended.code == 2
    assert ended.err.startswith(f"error  {tmp_path / 'file'}: cannot be used for artifacts: ")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_long_line_is_not_wrapped_when_it_goes_to_a_pipe(tmp_path):
    done = subprocess.run(
        [sys.executable, "run_pipeline.py", "run", f"train.optimizer={'x' * 60}"],
        cwd=ROOT,
        env={"COLUMNS": "40"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.endswith("Available: sgd, adam, adamw, rmsprop")


def test_where_a_library_is_missing_the_call_that_mends_it_can_be_pasted(tmp_path):
    folder = tmp_path / "a b"
    folder.mkdir()
    shutil.copy(ROOT / "run_pipeline.py", folder)
    done = subprocess.run(
        [sys.executable, "-S", "run_pipeline.py"], cwd=folder, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error  pipeline is not installed; run it as .venv/bin/python")
    words = shlex.split(line.partition("this Python: ")[2])
    assert words[1:] == ["-m", "pip", "install", "-r", str(folder / "requirements.txt")]


def test_the_command_for_missing_inputs_repeats_the_call_and_works(call, tmp_path):
    config = tmp_path / "my config.yaml"
    config.write_text(f"extends: {MNIST}\n")
    typed = ["-c", str(config), "train.epochs=2", "--artifacts", str(tmp_path / "made")]
    ended = call("run", "--stage", "export", *typed, artifacts=None)
    command = shlex.split(ended.err.strip().partition("make it with: ")[2])
    assert command == ["python", "run_pipeline.py", "run", *typed, "--to", "train"]
    ended = call(*command[2:], "--dry-run", artifacts=None)
    assert ended.code == 0
    assert [line.split()[0] for line in ended.out.splitlines()[1:]] == [
        "ingest",
        "tune",
        "build",
        "train",
    ]


def test_a_dry_run_and_status_say_what_would_run_and_write_nothing(call):
    for arguments in (["run", "--dry-run"], ["status"]):
        ended = call(*arguments)
        assert ended.code == 0
        rows = [line.split() for line in ended.out.splitlines()]
        made = [[name, "runs", "not", "made", "yet"] for name in graph.NAMES]
        assert rows[-len(made) :] == made
        says_which = ended.out.split("\n")[0].endswith(f"configs/mnist.yaml in {ended.folder}")
        assert says_which == (arguments == ["status"])
        assert not ended.folder.exists()


def test_without_a_command_the_pipeline_runs(call):
    assert call("--dry-run").out == call("run", "--dry-run").out


def test_on_an_empty_folder_runs_says_how_to_make_one_and_show_is_an_error(call):
    ended = call("runs")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("No runs yet. ")
    for arguments in (["show"], ["predict", "a.png"]):
        ended = call(*arguments)
        assert ended.code == 2
        assert "no run yet" in ended.err
        assert "run` makes one of MNIST, `run -c CONFIG` one of your own images" in ended.err
        assert "lists them" not in ended.err
        assert not ended.folder.exists()


def test_a_run_says_why_each_stage_runs_and_what_it_made(call, stages):
    ended = call("run")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert [line.split()[0] for line in lines[0:14:2]] == list(graph.NAMES)
    assert lines[0].split(maxsplit=1)[1] == "not made yet"
    assert lines[1].strip().startswith("ingest [done] (")


def test_a_run_is_recorded_with_links_and_shown(call, stages):
    first = call("run", "--to", "build")
    (run,) = (first.folder / "runs").iterdir()
    assert run.name.endswith("-mnist")
    assert (run / "build" / "manifest.json").is_file()
    record = json.loads((run / "run.json").read_text())
    assert [stage["stage"] for stage in record["stages"]] == ["ingest", "tune", "build"]
    assert record["config"]["train"]["epochs"] == 8
    assert call("show").out.count("[done]") == 3
    assert call("show", run.name).code == 0
    listed = call("runs").out
    assert run.name in listed
    assert "ingest, tune, build" in listed


def test_runs_of_one_second_have_folders_of_their_own(call, stages):
    for _ in range(3):
        assert call("run", "--to", "ingest").code == 0
    runs = call("runs").out.splitlines()[1:]
    assert len({line.split()[0] for line in runs}) == 3


def test_a_run_is_found_by_its_config_or_by_a_part_of_its_name(call, stages):
    for config in ("mnist", "smoke", "smoke"):
        ended = call("run", "--to", "ingest", "-c", str(ROOT / "configs" / f"{config}.yaml"))
    names = [line.split()[0] for line in call("runs").out.splitlines()[1:]]
    smoke = sorted(name for name in names if "smoke" in name)
    assert f"runs/{smoke[-1]}\n" in call("show", "smoke").out
    assert f"runs/{smoke[0]}\n" in call("show", smoke[0]).out
    assert call("show", "mni").code == 0
    ended = call("show", "20")
    assert ended.code == 2
    assert ended.err.startswith("error  run '20' is a part of 3 names, the latest ")


def test_runs_tell_whose_images_they_used(call, stages):
    call("run", "--to", "ingest")
    assert " idx mnist  ingest " in call("runs").out


def test_an_unknown_run_is_an_error_that_says_how_to_list_them(call, stages):
    call("run", "--to", "ingest")
    ended = call("show", "yesterday")
    assert ended.code == 2
    assert "no run 'yesterday'; `python run_pipeline.py runs` lists them" in ended.err


@pytest.mark.parametrize("error", [StageError("train: [red]no"), ExportError("train: [red]no")])
def test_a_stage_that_fails_ends_the_run_with_1_and_its_own_words(call, stages, error):
    def fail(context):
        raise error

    stages["train"] = fail
    ended = call("run")
    assert (ended.code, ended.err) == (1, "error  train: [red]no\n")
    assert "Traceback" not in ended.out


@pytest.mark.parametrize("arguments", [["run"], ["run", "--stage", "verify"]])
def test_a_gate_that_says_no_ends_the_run_with_3_each_time(call, stages, arguments):
    stages["verify"] = lambda context: StageResult("onnx failed", passed=False)
    assert call("run").code == 3
    ended = call(*arguments)
    assert (ended.code, ended.err) == (3, "error  onnx failed\n")


def test_each_gate_that_says_no_is_told_and_all_stages_have_run(call, stages):
    stages["train"] = lambda context: StageResult("another order", passed=False)
    stages["verify"] = lambda context: StageResult("onnx failed", passed=False)
    ended = call("run")
    assert (ended.code, ended.err) == (3, "error  another order\nerror  onnx failed\n")


def test_an_interrupt_ends_with_130_and_no_traceback(call, stages):
    def interrupt(context):
        raise KeyboardInterrupt

    stages["train"] = interrupt
    ended = call("run")
    assert (ended.code, ended.err) == (130, "")


@pytest.mark.parametrize("command", [[], *([name] for name in main.COMMANDS)])
def test_help_fits_80_columns(call, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    ended = call(*command, "--help", artifacts=None)
    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= 80
    assert call(*command, "-h", artifacts=None).out == ended.out


def test_help_names_every_command_and_every_stage(call):
    text = call("--help", artifacts=None).out
    assert [line.split()[0] for line in text.partition("Commands:\n")[2].splitlines()] == list(
        main.COMMANDS
    )
    assert f"Stages: {', '.join(graph.NAMES)}." in call("run", "--help", artifacts=None).out


@pytest.mark.parametrize("command", [[], *([name] for name in main.COMMANDS)])
def test_help_shows_no_type_of_python(call, command):
    text = call(*command, "--help", artifacts=None).out
    words = ("list[", "<str", "<int", "<path", "<float", "Path", "range>")
    assert [word for word in words if word in text] == []


def test_the_first_help_page_shows_how_photos_are_run(call):
    lines = call("--help", artifacts=None).out.splitlines()
    shown = "python run_pipeline.py -c configs/photos.yaml data.folder=my_photos"
    assert shown in map(str.strip, lines)


def test_help_of_predict_names_every_format(call):
    text = " ".join(call("predict", "--help", artifacts=None).out.split())
    assert f"What answers: {', '.join(formats())}." in text


def test_the_version_is_that_of_the_code_and_its_libraries(call):
    ended = call("--version", artifacts=None)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"Evenkeel, commit {environment.git_commit() or 'unknown'}; ")
    assert ended.out.endswith(f"tensorflow {version('tensorflow')}, keras {version('keras')}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--join", "host:1", "--dry-run"], "--join stands alone; drop --dry-run\n"),
        (
            ["--join", "host:1", "--stage", "tune", "--force", "tune"],
            "--join stands alone; drop --st",
        ),
        (["--join", "host:1", "tune.enabled=false"], "--join: mnist has no search; set tune.enab"),
        (["--join", "4400"], "--join: '4400' is no address; expected host:port, such as 10.0.0.7"),
    ],
)
def test_what_cannot_be_joined_is_refused_before_anything_is_made(call, arguments, message):
    done = call("run", *arguments)
    assert done.code == 2
    assert done.err.startswith(f"error  {message}")
    assert done.err.count("\n") == 1
    assert not done.folder.exists()


COMPRESSING = ("train.epochs=2", "tune.enabled=false")


@pytest.mark.parametrize(
    "settings",
    [
        ["train.pruning.sparsity=0.5", *COMPRESSING],
        ["train.quantization_aware.enabled=true", *COMPRESSING],
        ["train.distillation.teacher={old}", "tune.enabled=false"],
        ["train.members=2", "train.member_presets=[lenet5, two_conv]"],
        ["train.initial_weights={old}", "train.fine_tuning.freeze=all_but_head"],
        [
            "tune.space={train.fine_tuning.freeze: {choice: [all_but_head]}}",
            "train.initial_weights={old}",
        ],
    ],
    ids=lambda settings: settings[0],
)
def test_the_call_that_a_divergence_advises_takes_what_was_kept(call, stages, tmp_path, settings):
    old, kept, seen = tmp_path / "old.keras", tmp_path / "it's kept.keras", []
    for file in (old, kept):
        file.write_bytes(b"a model")

    def diverge(context):
        raise DivergedError(f"train: bad; kept in {kept}", kept)

    def take(context):
        seen.append(context.config.train.model_file)
        return StageResult("took it")

    stages["train"] = diverge
    done = call("run", *(text.replace("{old}", str(old)) for text in settings))
    assert done.code == 1
    said, _, advice = done.err.partition("; to take them as they are: ")
    assert said == f"error  train: bad; kept in {kept}"
    python, program, *words = shlex.split(advice)
    assert (python, program, words[:3]) == (
        "python",
        "run_pipeline.py",
        ["export", "--model", str(kept)],
    )
    stages["train"] = take
    done = call(*words, artifacts=None)
    assert (done.code, done.err) == (0, "")
    assert seen == [kept]


def test_joining_makes_the_images_and_no_more_and_says_what_ran_here(call, stages, monkeypatch):
    joined = []

    def join(config, images, address, joins):
        joined.append((config.name, images.parent.name, address))
        joins()
        return 3

    fake = SimpleNamespace(import_module=lambda name: SimpleNamespace(join=join, WAIT_SECONDS=90.0))
    monkeypatch.setattr(joining, "importlib", fake)
    done = call("run", "--join", "10.0.0.7:4400")
    assert done.code == 0
    assert joined == [("mnist", "ingest", "10.0.0.7:4400")]
    assert [line.strip() for line in done.out.splitlines()[-3:]] == [
        "tune      waiting for the search at 10.0.0.7:4400, up to 1.5 minutes",
        "joined the search",
        "the search is over; 3 of its trials ran here",
    ]
    assert (done.folder / "ingest").is_dir()
    assert not (done.folder / "tune").exists()
