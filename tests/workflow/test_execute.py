"""Plans and their execution, on stages that do nothing but write a file."""

import shutil
import sys
import threading
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace

import pytest

from pipeline.config.loading import load_config
from pipeline.core.errors import ConfigError, DataError, MissingArtifactError, StageError
from pipeline.core.plugins import ROOT
from pipeline.data.sources import idx
from pipeline.store.artifact import MANIFEST
from pipeline.store.store import ArtifactStore
from pipeline.workflow import execute as runner
from pipeline.workflow import graph
from pipeline.workflow.execute import Watcher, execute
from pipeline.workflow.plan import plan
from pipeline.workflow.runs import record_run
from pipeline.workflow.selection import Selection
from pipeline.workflow.stage import StageResult

MNIST = ROOT / "configs" / "mnist.yaml"
ALL = list(graph.NAMES)
described = cache(runner.environment.describe)  # asks Git, which takes its time


class Project:
    """A store, fake stages, and a diary of what happened."""

    def __init__(self, root):
        self.store = ArtifactStore(root)
        self.ran, self.reasons, self.warnings = [], {}, []
        self.actions = {}
        self.text = "made"

    def load(self, name):
        """Stands for importlib.import_module("pipeline.workflow.stage.<name>")."""
        stage = name.rpartition(".")[2]
        return SimpleNamespace(run=lambda context: self._run(stage, context))

    def _run(self, stage, context):
        self.ran.append(stage)
        (context.output / f"{stage}.txt").write_text(f"{stage} {self.text}")
        if stage == "tune":
            (context.output / "best.yaml").write_text("train.learning_rate: 0.005\n")
        result = self.actions.get(stage, lambda c: None)(context)
        return result or StageResult(f"{stage} done", {"figure": 1})

    def config(self, *overrides):
        return load_config(MNIST, overrides)

    def run(self, *overrides, **selection):
        """Runs; gives the names of the stages that ran."""
        self.ran.clear()
        self.reasons.clear()
        watcher = Watcher(
            progress=None,
            started=lambda step: self.reasons.update({step.stage.name: step.reason}),
            finished=lambda step, artifact, seconds: None,
            warned=self.warnings.append,
        )
        execute(self.config(*overrides), self.store, Selection(**selection), watcher)
        return list(self.ran)

    def plan(self, *overrides, **selection):
        """Gives the reason of each stage that would run."""
        steps = plan(self.config(*overrides), self.store, Selection(**selection))
        return {step.stage.name: step.reason for step in steps if step.artifact is None}

    def artifact(self, stage, *overrides):
        steps = plan(self.config(*overrides), self.store, Selection())
        return next(step.artifact for step in steps if step.stage.name == stage)

    def hidden(self, name):
        return [p.name for p in (self.store.root / f".{name}").glob("*")]


@pytest.fixture
def project(tmp_path, monkeypatch):
    project = Project(tmp_path / "artifacts")
    monkeypatch.setattr(runner, "importlib", SimpleNamespace(import_module=project.load))
    monkeypatch.setattr(runner.environment, "describe", described)
    return project


def only(stage):
    return {"first": stage, "last": stage}


def test_a_first_run_makes_every_stage_in_order(project):
    assert project.plan() == dict.fromkeys(ALL, "not made yet")
    assert project.run() == ALL
    assert project.reasons == dict.fromkeys(ALL, "not made yet")


def test_nothing_runs_twice(project):
    project.run()
    assert project.plan() == {}
    assert project.run() == []


def test_without_tuning_there_is_no_such_stage(project):
    assert project.run("tune.enabled=false") == [name for name in ALL if name != "tune"]


def test_a_changed_value_runs_what_depends_on_it_and_says_so(project):
    project.run("train.epochs=5", "tune.enabled=false")
    assert project.run("train.epochs=10", "tune.enabled=false") == [
        "train",
        "evaluate",
        "export",
        "verify",
    ]
    assert project.reasons["train"] == "train.epochs 5 → 10"
    assert project.reasons["evaluate"] == "train is new"
    assert project.reasons["verify"] == "evaluate is new, export is new"


def record(project, config, after_seconds=0):
    """Runs a config, and records that as a run; its record tells whole seconds."""
    watcher = Watcher(None, lambda *a: None, lambda *a: None, lambda *a: None)
    started = datetime.now(UTC) + timedelta(seconds=after_seconds)
    steps = execute(config, project.store, Selection(), watcher)
    return record_run(project.store, config, steps, started)


def reasons(project, config):
    steps = plan(config, project.store, Selection())
    return {step.stage.name: step.reason for step in steps if step.artifact is None}


def named(name, *overrides):
    return load_config(MNIST, ("tune.enabled=false", *overrides)).model_copy(update={"name": name})


def test_a_reason_compares_with_the_latest_of_the_same_config(project):
    project.run("train.epochs=5", "tune.enabled=false")
    record(project, named("photos", "train.epochs=7"))
    assert project.plan("train.epochs=6", "tune.enabled=false")["train"] == "train.epochs 5 → 6"


@pytest.mark.parametrize("is_recorded", [True, False])
def test_what_only_another_config_made_is_not_made_yet(project, is_recorded):
    project.run("train.epochs=5", "tune.enabled=false")
    if is_recorded:
        record(project, named("mnist"))
    expected = dict.fromkeys(["train", "evaluate", "export", "verify"], "not made yet")
    assert reasons(project, named("photos", "train.epochs=6")) == expected


def test_a_reason_compares_with_what_the_last_run_used_though_another_config_made_it(project):
    record(project, named("mnist", "train.epochs=5"))
    record(project, named("photos", "train.epochs=5"))
    record(project, named("mnist", "train.epochs=8"))
    assert reasons(project, named("photos", "train.epochs=6"))["train"] == "train.epochs 5 → 6"


def test_a_reason_compares_with_what_was_made_since_by_a_run_that_did_not_end(project):
    record(project, named("mnist", "train.epochs=5"))
    project.actions["evaluate"] = lambda context: 1 / 0
    with pytest.raises(ZeroDivisionError):
        record(project, named("mnist", "train.epochs=8"))
    assert reasons(project, named("mnist", "train.epochs=6"))["train"] == "train.epochs 8 → 6"


def test_a_reason_compares_with_what_was_used_again_after_something_else(project):
    record(project, named("mnist", "train.epochs=5"))
    record(project, named("mnist", "train.epochs=8"))
    record(project, named("mnist", "train.epochs=5"), after_seconds=2)
    assert reasons(project, named("mnist", "train.epochs=6"))["train"] == "train.epochs 5 → 6"


def test_a_brought_model_is_not_compared_with_a_config_that_has_its_name(project, tmp_path):
    record(project, named("mnist"))
    (tmp_path / "mnist.keras").write_bytes(b"a model")
    brought = load_config(MNIST, [f"train.model_file={tmp_path / 'mnist.keras'}"], is_trained=True)
    assert brought.name == "mnist"
    assert reasons(project, brought)["train"] == "not made yet"
    record(project, brought)
    (tmp_path / "mnist.keras").write_bytes(b"another")
    assert reasons(project, brought)["train"] == "the files that it reads changed"
    assert "model_file" not in reasons(project, named("mnist", "train.epochs=6"))["train"]


def test_going_back_to_an_earlier_value_runs_nothing(project):
    project.run("train.epochs=5")
    project.run("train.epochs=10")
    assert project.run("train.epochs=5") == []


def test_a_reason_names_three_changes_and_counts_the_rest(project):
    project.run("tune.enabled=false")
    changed = ["train.epochs=1", "train.batch_size=2", "train.momentum=0", "train.monitor=val_loss"]
    changed += ["train.optimizer=sgd", "train.schedule=cosine", "tune.enabled=false"]
    reason = project.plan(*changed)["train"]
    assert reason == (
        "train.epochs 8 → 1, train.batch_size 128 → 2, train.optimizer adamw → sgd and 2 more"
    )


def test_to_stops_after_the_stage(project):
    assert project.run(last="build") == ["ingest", "tune", "build"]


def test_from_uses_what_is_there_and_runs_the_rest(project):
    project.run(last="train")
    assert project.run(first="evaluate") == ["evaluate", "export", "verify"]


def test_from_runs_no_stage_before_it(project):
    project.run()
    with pytest.raises(MissingArtifactError, match=r"^verify needs the artifact of evaluate"):
        project.run("data.train_limit=5", first="export")
    assert project.ran == []


def test_one_stage_runs_alone(project):
    project.run(last="train")
    assert project.run(**only("export")) == ["export"]
    assert project.run(**only("export")) == []


def test_force_runs_a_stage_again_and_no_other_if_it_makes_the_same(project):
    project.run()
    assert project.plan(forced=frozenset({"train"})) == {"train": "forced"}
    assert project.run(forced=frozenset({"train"})) == ["train"]
    assert project.reasons == {"train": "forced"}


def test_what_depends_on_a_stage_that_was_made_anew_with_other_content_runs_too(project):
    project.run()
    project.text = "made differently"
    assert project.run(forced=frozenset({"export"})) == ["export", "verify"]
    assert project.reasons["verify"] == "export was made anew"
    assert project.run() == []


def test_a_stage_that_was_forced_alone_leaves_the_later_ones_out_of_date(project):
    project.run()
    project.text = "made differently"
    assert project.run(**only("train"), forced=frozenset({"train"})) == ["train"]
    reasons = project.plan()
    assert reasons["evaluate"] == "train was made anew"
    assert project.run() == ["evaluate", "export", "verify"]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"first": "trian"}, "no stage 'trian'. Did you mean 'train'? Available: ingest, tune,"),
        ({"forced": frozenset({"x"})}, "no stage 'x'. Available: ingest, tune, build, train,"),
        ({"first": "export", "last": "train"}, "--from export comes after --to train; swap them"),
        (
            {"last": "build", "forced": frozenset({"train"})},
            "--force train lies outside of ingest to build; drop it, or let that stage run too",
        ),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused(selection, message):
    with pytest.raises(ConfigError) as caught:
        Selection(**selection)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "selection", [only("tune"), {"last": "tune"}, {"forced": frozenset({"tune"})}]
)
def test_a_stage_that_the_config_has_not_is_refused(project, selection):
    with pytest.raises(ConfigError, match=r"^mnist has no stage tune; set tune\.enabled=true$"):
        project.plan("tune.enabled=false", **selection)


def test_a_stage_without_its_inputs_names_the_command_that_makes_them(project):
    project.run(last="ingest")
    call = "python run_pipeline.py run -c some.yaml"
    with pytest.raises(MissingArtifactError) as caught:
        project.run(**only("evaluate"), call=call)
    assert str(caught.value) == (
        "evaluate needs the artifact of train, which is not there (not made yet); "
        f"make it with: {call} --to train"
    )
    assert project.ran == []


def test_the_last_missing_input_is_named_because_making_it_makes_the_others(project):
    with pytest.raises(MissingArtifactError, match=r"--to export$"):
        project.plan(**only("verify"))


def test_missing_outside_data_is_an_error_of_the_plan(project, tmp_path):
    with pytest.raises(DataError, match=str(tmp_path)):
        project.plan(f"data.folder={tmp_path}")
    assert not project.store.root.exists()


def test_a_plan_writes_nothing(project):
    project.plan()
    assert not project.store.root.exists()


@pytest.mark.parametrize("error", [StageError("no"), ValueError("a bug"), KeyboardInterrupt()])
def test_a_failing_stage_publishes_nothing_and_leaves_no_staging_folder(project, error):
    def fail(context):
        raise error

    project.actions["train"] = fail
    with pytest.raises(type(error)):
        project.run()
    assert project.hidden("staging") == []
    assert not list((project.store.root / "train").glob("*"))
    project.actions.clear()
    assert project.run() == ["train", "evaluate", "export", "verify"]


def test_data_that_change_while_they_are_read_make_no_artifact(project, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(idx.MNIST, folder)
    labels = folder / "t10k-labels-idx1-ubyte.gz"
    project.actions["ingest"] = lambda context: labels.write_bytes(b"others") and None
    with pytest.raises(DataError, match=r"^ingest: files changed while they were read\. Run again"):
        project.run(f"data.folder={folder}")
    assert project.ran == ["ingest"]
    assert project.hidden("staging") == []
    project.actions.clear()
    assert project.run(f"data.folder={folder}")[0] == "ingest"


def test_a_full_disk_is_told_with_the_stage_and_the_file(project):
    def fill(context):
        raise OSError(28, "No space left on device", str(context.output / "model.keras"))

    project.actions["train"] = fill
    with pytest.raises(
        StageError, match=r"^train: .*/model\.keras: No space left on device\. Make room "
    ):
        project.run()


def test_a_disk_that_fills_while_publishing_is_told_too(project, monkeypatch):
    def fail(path):
        if path.name == MANIFEST:
            raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("pipeline.core.sealed_json.sync", fail)
    with pytest.raises(
        StageError, match=r"^ingest: .*manifest\.json: No space left on device\. Make room "
    ):
        project.run()
    assert project.hidden("staging") == []


def test_scratch_outlives_a_failure_and_not_a_success(project):
    seen = []

    def fail_once(context):
        seen.append((context.scratch / "half").exists())
        (context.scratch / "half").write_text("")
        if len(seen) == 1:
            raise StageError("killed")

    project.actions["tune"] = fail_once
    with pytest.raises(StageError):
        project.run()
    project.run()
    assert seen == [False, True]
    assert project.hidden("scratch") == []


def test_a_stage_finds_its_inputs_and_what_tune_found(project):
    contexts = {}
    project.actions = {name: lambda c, n=name: contexts.__setitem__(n, c) for name in ALL}
    project.run()
    assert {n: p.name for n, p in contexts["verify"].inputs.items()} == {
        name: project.artifact(name).key for name in ("ingest", "evaluate", "export")
    }
    assert contexts["train"].inputs["build"].joinpath("build.txt").read_text() == "build made"
    rates = {name: context.config.train.learning_rate for name, context in contexts.items()}
    assert rates["tune"] == 4e-3
    assert rates["build"] == rates["train"] == 5e-3


def test_a_manifest_says_what_made_the_artifact_and_from_what(project):
    project.run()
    manifest = project.artifact("train").manifest
    assert manifest["summary"] == "train done"
    assert manifest["metrics"] == {"figure": 1}
    assert manifest["inputs"]["build"] == project.artifact("build").identity
    assert manifest["config"]["train"]["learning_rate"] == 5e-3
    assert manifest["ingredients"]["config"]["train"]["learning_rate"] == 4e-3
    assert manifest["environment"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(manifest["files"]) == {"train.txt"}
    assert manifest["seconds"] >= 0


def test_a_stage_whose_formats_failed_runs_again(project):
    project.actions["export"] = lambda context: StageResult("one failed", may_pass=True)
    project.run(last="export")
    project.actions["export"] = lambda context: StageResult("all well")
    assert project.run(last="export") == ["export"]
    assert project.run(last="export") == []


def test_a_run_that_makes_nothing_leaves_nothing(project):
    def refuse(context):
        raise DataError("bad images")

    project.actions["ingest"] = refuse
    with pytest.raises(DataError):
        project.run()
    assert not project.store.root.exists()


def test_a_truncated_artifact_is_set_aside_said_aloud_and_rebuilt(project):
    project.run()
    path = project.artifact("train").path / "train.txt"
    path.write_text("")
    assert "damaged: " in project.plan()["train"]
    assert project.run() == ["train"]
    (warning,) = project.warnings
    assert warning.startswith(f"{path}: missing or not of its published size; moved to ")
    assert len(project.hidden("quarantine")) == 1


def test_an_input_with_a_changed_byte_is_set_aside_said_aloud_and_rebuilt(project):
    project.run(last="evaluate")
    path = project.artifact("train").path / "train.txt"
    path.write_text("trAin made")
    assert project.run() == ["train", "export", "verify"]
    (warning,) = project.warnings
    assert warning.startswith(f"{path} is not the file that was published; moved to ")
    assert path.read_text() == "train made"


def test_a_damaged_input_outside_of_the_selection_names_the_command(project):
    project.run(last="train")
    (project.artifact("train").path / "train.txt").write_text("trAin made")
    with pytest.raises(MissingArtifactError, match=r"--to train$"):
        project.run(**only("export"))
    assert project.ran == []


def test_damage_that_never_ends_is_an_error(project, monkeypatch):
    monkeypatch.setattr("pipeline.store.store.Artifact.damage", "a file is not the one published")
    with pytest.raises(StageError, match="artifacts keep getting damaged; check the disk"):
        project.run()


def test_two_runs_at_once_make_each_artifact_once(project):
    together = threading.Barrier(2)
    project.actions["ingest"] = lambda context: threading.Event().wait(0.2)
    failures = []

    def run():
        together.wait()
        try:
            watcher = Watcher(None, lambda s: None, lambda s, a, t: None, project.warnings.append)
            execute(project.config(), project.store, Selection(), watcher)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(w.endswith("is making the same artifact; waiting for it") for w in project.warnings)
    assert sorted(project.ran) == sorted(ALL)


def test_a_run_claims_the_model_that_it_begins_from(project):
    def save(context):
        (context.output / "model.keras").write_text("weights")

    project.actions["train"] = save
    project.run("tune.enabled=false", last="train")
    ancestor = project.artifact("train", "tune.enabled=false")
    claimed = []
    project.actions["train"] = lambda context: claimed.extend(project.store.claimed())
    begun = f"train.initial_weights={ancestor.path}"
    project.run("tune.enabled=false", "train.epochs=7", begun, last="train")
    assert ("train", ancestor.key) in claimed
