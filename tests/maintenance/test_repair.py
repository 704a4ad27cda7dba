"""check --repair: what is damaged is made anew, alone; what cannot be is said, with the reason."""

import shutil
import signal
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.config.loading import load_config
from pipeline.core.errors import StageError
from pipeline.core.plugins import ROOT
from pipeline.core.sealed_json import read_sealed, write_sealed
from pipeline.core.signals import Interrupted
from pipeline.maintenance.find_garbage import Rules, find_garbage
from pipeline.maintenance.integrity import Kind, check
from pipeline.maintenance.repair import STAYS, repair
from pipeline.store import artifact
from pipeline.store.store import ArtifactStore
from pipeline.workflow import execute as runner
from pipeline.workflow import graph, keys
from pipeline.workflow.execute import Watcher, execute
from pipeline.workflow.runs import list_runs, record_run
from pipeline.workflow.selection import Selection
from pipeline.workflow.stage import StageResult

MNIST = ROOT / "configs" / "mnist.yaml"


class Quiet:
    @contextmanager
    def task(self, description, total):
        yield SimpleNamespace(advance=lambda: None)


class Project:
    """A store whose stages only write a file."""

    def __init__(self, root):
        self.store = ArtifactStore(root)
        self.ran, self.failing, self.text = [], {}, "made"
        self.watcher = Watcher(None, lambda *a: None, lambda *a: None, lambda *a: None)

    def load(self, name):
        """Stands for importlib.import_module("pipeline.workflow.stage.<name>")."""
        stage = name.rpartition(".")[2]
        return SimpleNamespace(run=lambda context: self._run(stage, context))

    def _run(self, stage, context):
        self.ran.append(stage)
        if stage in self.failing:
            raise self.failing[stage]
        (context.output / "file.txt").write_text(f"{stage} {self.text}")
        if stage == "tune":
            (context.output / "best.yaml").write_text("train.learning_rate: 0.005\n")
        return StageResult(f"{stage} done", {})

    def run(self):
        config = load_config(MNIST)
        steps = execute(config, self.store, Selection(), self.watcher)
        record_run(self.store, config, steps, datetime.now(UTC))
        self.store.tidy()

    @property
    def recorded(self):
        (run,) = list_runs(self.store)
        return run

    def path(self, stage):
        (path,) = (self.store.root / stage).glob("*/")
        return path

    def damage(self, *stages):
        for stage in stages:
            (self.path(stage) / "file.txt").write_text("spoilt")

    def problems(self):
        return check(self.store, Quiet()).problems

    def repair(self):
        """Gives for each place whether it is mended, and what is said."""
        outcomes = repair(self.store, self.problems(), self.watcher)
        return {each.problem.place: (each.is_mended, each.what) for each in outcomes}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of one run of all stages."""
    project = Project(tmp_path_factory.mktemp("finished") / "artifacts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "importlib", SimpleNamespace(import_module=project.load))
        project.run()
    return project.store.root


@pytest.fixture
def project(finished, tmp_path, monkeypatch):
    """A copy of that, to be damaged."""
    project = Project(tmp_path / "artifacts")
    shutil.copytree(finished, project.store.root, symlinks=True)
    monkeypatch.setattr(runner, "importlib", SimpleNamespace(import_module=project.load))
    return project


def place(path):
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("stage", ["ingest", "train"])
def test_what_is_damaged_is_made_anew_alone_and_its_run_has_it_again(project, stage):
    project.damage(stage)
    said = f"made anew, as run {project.recorded.name} did"
    assert project.repair() == {place(project.path(stage)): (True, said)}
    assert project.ran == [stage]
    assert (project.recorded.path / stage / "file.txt").read_text() == f"{stage} made"
    assert project.problems() == ()
    (aside,) = (project.store.root / ".quarantine").glob("*/")
    assert (aside / "file.txt").read_text() == "spoilt"
    assert not list(project.store.root.glob(".claims/*"))


def test_everything_at_once_is_made_anew_in_order(project):
    project.damage(*graph.NAMES)
    assert {is_mended for is_mended, _ in project.repair().values()} == {True}
    assert sorted(project.ran) == sorted(graph.NAMES)
    assert project.problems() == ()


def test_what_is_missing_is_made_anew(project):
    path = project.path("export")
    project.store.set_aside("export", path.name)
    assert project.repair()[place(path)][0]
    assert project.problems() == ()


def test_nothing_intact_is_replaced_though_what_it_came_from_comes_out_other(project):
    project.damage("build", "evaluate")
    project.text = "made later"
    outcomes = project.repair()
    assert project.ran == ["evaluate", "build"]
    assert (project.path("train") / "file.txt").read_text() == "train made"
    is_mended, said = outcomes[place(project.path("build"))]
    assert is_mended
    assert said.endswith("not the same to the last bit: the next run of mnist makes train anew too")


def test_what_needs_something_outdated_is_not_made_from_it(project):
    project.damage("build")
    project.text = "made later"
    project.repair()
    project.damage("evaluate")
    ((is_mended, said),) = project.repair().values()
    assert not is_mended
    assert said == (
        "evaluate needs the artifact of train, which is not there (build was made anew); "
        "make it with: python run_pipeline.py run -c mnist.yaml --to train"
    )


def test_what_would_be_another_artifact_now_is_not_made_and_the_change_is_named(
    project, monkeypatch
):
    project.damage("build")
    path = project.path("build")
    monkeypatch.setattr(keys, "code_version", lambda modules: "other")
    ((is_mended, said),) = project.repair().values()
    assert not is_mended
    assert said.startswith("cannot be made again: it would be build/")
    assert f" now (ingest is new, tune is new, the code that it uses changed); {STAYS}" in said
    assert (path / "file.txt").read_text() == "spoilt"
    assert not list(project.store.root.glob(".quarantine/*"))
    shutil.rmtree(path)
    ((is_mended, said),) = project.repair().values()
    assert said.endswith(" now (the code, the data or a library is another now)")
    assert project.ran == []


def test_without_a_run_the_manifest_says_how_though_a_search_chose_values(project):
    shutil.rmtree(project.store.root / "runs")
    project.damage("train", "build", "verify")
    outcomes = project.repair()
    assert set(outcomes.values()) == {(True, "made anew, as its manifest did")}
    assert project.problems() == ()


def test_what_nobody_uses_and_nothing_explains_stays_in_its_place(project):
    shutil.rmtree(project.store.root / "runs")
    path = project.path("train")
    shutil.copytree(path, path.with_name("backup"))
    (path / "manifest.json").write_text("{}")
    before = tree(project)
    outcomes = project.repair()
    assert [is_mended for is_mended, _ in outcomes.values()] == [False, False]
    assert "no run uses it" in outcomes[place(path)][1]
    assert "no run can use what has no key" in outcomes["train/backup"][1]
    assert project.ran == []
    assert tree(project) == before


def tree(project):
    return sorted(project.store.root.rglob("*"))


def test_what_cannot_be_read_now_is_left_alone(project, monkeypatch):
    before = tree(project)

    def refuse(file):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(artifact, "sha256", refuse)
    outcomes = project.repair()
    assert len(outcomes) == len(graph.NAMES)
    said = "left alone; give yourself access or check the disk, then check again"
    assert set(outcomes.values()) == {(False, said)}
    assert tree(project) == before


def test_a_stage_that_fails_leaves_the_others_to_be_mended(project):
    project.damage("ingest", "export")
    project.failing["ingest"] = StageError("ingest: no images")
    outcomes = project.repair()
    assert outcomes[f"ingest/{project.recorded.record['stages'][0]['key']}"] == (
        False,
        "ingest: no images",
    )
    assert (project.path("ingest") / "file.txt").read_text() == "spoilt"
    del project.failing["ingest"]
    assert {is_mended for is_mended, _ in project.repair().values()} == {True}
    assert project.problems() == ()


def test_a_repair_that_was_stopped_can_be_repeated(project):
    project.damage("train", "verify")
    project.failing["train"] = Interrupted(signal.SIGINT)
    with pytest.raises(Interrupted):
        project.repair()
    assert [problem.kind for problem in project.problems()] == [Kind.DAMAGED]
    assert (project.path("train") / "file.txt").read_text() == "spoilt"
    project.failing.clear()
    assert {is_mended for is_mended, _ in project.repair().values()} == {True}
    assert project.problems() == ()


def test_a_config_that_is_none_any_more_is_said_to_be(project):
    project.damage("train")
    record = project.recorded.path / "run.json"
    values = read_sealed(record)
    values["config"]["train"]["mass"] = values["config"]["train"].pop("momentum")
    write_sealed(record, values)
    ((is_mended, said),) = project.repair().values()
    assert not is_mended
    assert said.startswith(f"run {project.recorded.name}: train.mass is no known key")


def test_links_are_mended(project):
    link = project.recorded.path / "train"
    target = link.readlink()
    link.unlink()
    outcomes = project.repair()
    assert {is_mended for is_mended, _ in outcomes.values()} == {True}
    assert link.readlink() == target
    assert project.problems() == ()


def test_a_run_whose_record_is_damaged_stays_and_keeps_what_it_used(project):
    record = project.recorded.path / "run.json"
    content = record.read_bytes()
    record.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    before = tree(project)
    ((is_mended, said),) = project.repair().values()
    assert not is_mended
    assert said.startswith("left alone, for its links still protect what it used; ")
    assert find_garbage(project.store, Rules(unfinished=True)).pieces == ()
    assert tree(project) == before


def test_a_run_that_may_not_be_read_keeps_nothing_else_from_being_mended(project, monkeypatch):
    project.damage("train")
    other = project.recorded.path.with_name("20990101-000000-mnist")
    shutil.copytree(project.recorded.path, other, symlinks=True)
    read_bytes = Path.read_bytes

    def refuse(path):
        if path.parent == other:
            raise PermissionError(13, "Permission denied", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    outcomes = project.repair()
    assert outcomes.pop(f"runs/{other.name}")[0] is False
    assert [is_mended for is_mended, _ in outcomes.values()] == [True]


def test_a_folder_where_a_link_should_be_is_left_to_the_user(project):
    link = project.recorded.path / "train"
    link.unlink()
    link.mkdir()
    ((is_mended, said),) = project.repair().values()
    assert not is_mended
    assert said == f"{link} is a folder; move it away, and call this again"


def test_what_a_run_replaced_meanwhile_stays(project):
    project.damage("train")
    found = project.problems()
    (project.path("train") / "file.txt").write_text("train made")
    (outcome,) = repair(project.store, found, project.watcher)
    assert (outcome.is_mended, outcome.what) == (True, "replaced meanwhile by a run")
    assert not list(project.store.root.glob(".quarantine/*"))
