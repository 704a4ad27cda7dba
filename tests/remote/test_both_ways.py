"""What is pushed and pulled is, at the other end, what it was."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.core.errors import ConfigError, DamagedArtifactError, MissingArtifactError, StageError
from pipeline.remote import pull
from pipeline.remote.catalogs import LocalCatalog
from pipeline.remote.remote_folder import RemoteFolder
from pipeline.remote.select import Choice, choose
from pipeline.store.artifact import MANIFEST, Artifact
from pipeline.workflow.plan import plan
from pipeline.workflow.runs import RECORD, list_runs, publish_run
from pipeline.workflow.selection import Selection
from tests.remote.conftest import NO_SEARCH

STAGES = ["ingest", "build", "train", "evaluate", "export", "verify"]
EVERYTHING = Choice(everything=True)


def files_of(root, hidden=False):
    """What each published file holds, and where each link leads."""
    found = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file() and (hidden or not name.startswith(".")):
            found[name] = path.read_bytes()
    return found


@pytest.fixture(params=["file", "memory"])
def url(request, folder, memory):
    return {"file": f"file://{folder}/far", "memory": memory}[request.param]


def test_a_run_comes_back_byte_for_byte_with_its_links(sharing, url):
    pushed = sharing.push(url)
    assert (pushed.artifacts, pushed.runs, pushed.passed_over) == (6, 1, 0)
    pulled, store = sharing.pull(url)
    assert pulled == pushed
    assert files_of(store.root) == files_of(sharing.near.root)
    assert len(list_runs(store)) == 1
    assert sharing.problems(store) == ()


def test_a_pulled_run_has_nothing_to_do(sharing, url):
    sharing.push(url)
    _, store = sharing.pull(url)
    steps = plan(sharing.project.config(NO_SEARCH), store, Selection())
    assert {step.stage.name: step.reason for step in steps} == dict.fromkeys(
        STAGES, "nothing changed"
    )


def test_what_is_there_is_passed_over(sharing, url):
    first = sharing.push(url)
    again = sharing.push(url)
    assert (again.artifacts, again.size_bytes, again.runs) == (0, 0, 0)
    assert (again.passed_over, again.runs_passed_over) == (first.artifacts, first.runs)
    _, store = sharing.pull(url)
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}
    again, _ = sharing.pull(url)
    assert (again.artifacts, again.size_bytes, again.runs) == (0, 0, 0)
    assert (again.passed_over, again.runs_passed_over) == (first.artifacts, first.runs)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_only_what_is_new_is_copied(sharing, url):
    sharing.push(url)
    sharing.run("train.epochs=3")
    pushed = sharing.push(url)
    assert (pushed.artifacts, pushed.passed_over, pushed.runs) == (4, 2, 1)


def test_one_artifact_goes_alone(sharing, url):
    train = sharing.project.artifact("train", NO_SEARCH)
    choice = Choice(artifact=("train", train.key))
    assert sharing.push(url, choice).artifacts == 1
    pulled, store = sharing.pull(url, choice)
    assert (pulled.artifacts, pulled.runs) == (1, 0)
    assert store.intact("train", train.key).manifest == train.manifest
    assert sharing.problems(store) == ()


def test_everything_is_every_run_and_what_no_run_uses(sharing, url):
    sharing.project.run("tune.enabled=true", last="tune")
    sharing.run("train.epochs=3")
    pushed = sharing.push(url, EVERYTHING)
    assert (pushed.artifacts, pushed.runs) == (6 + 4 + 1, 2)
    pulled, store = sharing.pull(url, EVERYTHING)
    assert pulled == pushed
    assert files_of(store.root) == files_of(sharing.near.root)


def test_a_run_is_chosen_by_a_part_of_its_name_at_both_ends(sharing, url):
    first = list_runs(sharing.near)[0]
    sharing.run("train.epochs=3")
    sharing.push(url, EVERYTHING)
    with pytest.raises(ConfigError, match="part of 2 names"):
        sharing.pull(url, Choice(run="2026"))
    sharing.pull(url, Choice(run=first.name))
    pulled, store = sharing.pull(url, Choice(run="-2"))
    assert (pulled.runs, pulled.artifacts, pulled.passed_over) == (1, 4, 2)
    assert len(list_runs(store)) == 2


def test_a_run_brings_what_its_artifacts_were_made_from(sharing, url):
    sharing.near.discard_run(list_runs(sharing.near)[0].name)
    record = {**sharing.run().record}
    sharing.near.discard_run(list_runs(sharing.near)[0].name)
    record["stages"] = [made for made in record["stages"] if made["stage"] == "verify"]
    publish_run(sharing.near, "20260102-030405-mnist", record)
    assert sharing.push(url).artifacts == 6
    assert sharing.pull(url)[0].artifacts == 6


def test_a_run_brings_the_model_that_its_own_began_from(sharing, folder):
    def save(context):
        (context.output / "model.keras").write_text("weights")

    sharing.project.actions["train"] = save
    sharing.run("train.epochs=3")
    ancestor = sharing.project.artifact("train", NO_SEARCH, "train.epochs=3")
    sharing.near.discard_run(list_runs(sharing.near)[-1].name)
    sharing.run(f"train.initial_weights={ancestor.path}")
    pushed = sharing.push(folder / "far")
    assert (pushed.artifacts, pushed.runs) == (6 + 1, 1)
    assert sharing.pull(folder / "far")[1].intact("train", ancestor.key).manifest


def test_a_model_comes_behind_those_that_it_learnt_from(sharing):
    def save(context):
        (context.output / "model.keras").write_text(f"weights of {context.config.train.epochs}")

    sharing.project.actions["train"] = save
    orders = []
    for epochs in range(3, 7):  # keys are in no order: one of several comes before its ancestor's
        before, after = f"train.epochs={epochs}", f"train.epochs={10 + epochs}"
        sharing.run(before, last="train")
        ancestor = sharing.project.artifact("train", NO_SEARCH, before)
        begun = f"train.initial_weights={ancestor.path}"
        sharing.run(after, begun, last="train")
        tuned = sharing.project.artifact("train", NO_SEARCH, after, begun)
        orders.append((ancestor.path, tuned.path))
    chosen = [each.path for each in choose(LocalCatalog(sharing.near), EVERYTHING).artifacts]
    assert all(chosen.index(first) < chosen.index(second) for first, second in orders)
    assert not all(first.name < second.name for first, second in orders)


def test_artifacts_that_were_made_from_each_other_are_refused():
    def made(letter, ancestor):
        train = {"initial_weights": f"train/{ancestor * 16}"}
        named = {"stage": "train", "key": letter * 16, "config": {"train": train}}
        return Artifact(Path("train") / named["key"], {**named, "inputs": {}, "files": {}})

    found = {"a" * 16: made("a", "b"), "b" * 16: made("b", "a")}
    far = SimpleNamespace(name="s3://there", find=lambda stage, key: found[key], runs=list)
    far.uses = lambda: [("train", key) for key in found]
    with pytest.raises(DamagedArtifactError, match=r"^s3://there: train/.* made from each other"):
        choose(far, EVERYTHING)


def test_what_was_made_anew_since_is_not_what_it_was_made_from(sharing, folder):
    record = {**list_runs(sharing.near)[0].record}
    sharing.near.discard_run(list_runs(sharing.near)[0].name)
    record["stages"] = [made for made in record["stages"] if made["stage"] == "verify"]
    publish_run(sharing.near, "20260102-030405-mnist", record)
    sharing.project.text = "made again"
    sharing.project.run(NO_SEARCH, last="export", forced=frozenset({"export"}))
    assert sharing.push(folder / "far").artifacts == 5
    assert not (folder / "far" / "export").exists()


def test_artifacts_are_claimed_until_their_run_links_to_them(sharing, folder, monkeypatch):
    sharing.push(folder / "far")
    claimed = []
    publish = pull.publish_run

    def noting(store, name, record):
        claimed.append({stage for stage, _ in store.claimed()})
        return publish(store, name, record)

    monkeypatch.setattr(pull, "publish_run", noting)
    _, store = sharing.pull(folder / "far")
    assert claimed == [set(STAGES)]
    assert store.claimed() == set()


@pytest.mark.parametrize("name", ["train.txt", MANIFEST, "run.json"])
def test_a_store_that_keeps_other_bytes_than_it_was_given_is_caught(
    sharing, memory, monkeypatch, name
):
    fill = RemoteFolder.fill

    def mangle(self, path, chunks):
        fill(self, path, (chunk.upper() if path.endswith(name) else chunk for chunk in chunks))

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "fill", mangle)
        with pytest.raises(StageError, match=f"{name}: came out other than it was sent"):
            sharing.push(memory)
    with pytest.raises((ConfigError, DamagedArtifactError), match=r"no run|is there, but damaged"):
        sharing.pull(memory)
    sharing.push(memory)
    assert sharing.pull(memory)[0].artifacts == 6


def test_an_unknown_run_or_artifact_is_named(sharing, url):
    sharing.push(url)
    with pytest.raises(ConfigError, match="no run 'nonesuch'; the latest there is 2026"):
        sharing.pull(url, Choice(run="nonesuch"))
    with pytest.raises(MissingArtifactError, match="train/0123456789abcdef is not there"):
        sharing.pull(url, Choice(artifact=("train", "0123456789abcdef")))
    assert not (sharing.folder / "pulled").exists()


def test_where_there_is_no_run_it_says_why_and_what_to_do(sharing, url):
    with pytest.raises(ConfigError, match=r": no run; there is no such folder; check the address"):
        sharing.pull(url)
    sharing.push(url, Choice(artifact=("train", sharing.project.artifact("train", NO_SEARCH).key)))
    with pytest.raises(ConfigError, match=r"/far: no run, but artifacts; --all|evenkeel: no run, "):
        sharing.pull(url)
    sharing.near.discard_run(list_runs(sharing.near)[0].name)
    with pytest.raises(ConfigError, match=r"near: no run, but artifacts; --all copies them"):
        sharing.push(url)


def test_a_damaged_run_is_named_and_no_older_one_taken_for_it(sharing, folder):
    far = folder / "far"
    older = list_runs(sharing.near)[0].name
    newer = sharing.run("train.epochs=3").name
    sharing.push(far, EVERYTHING)
    (far / "runs" / newer / RECORD).write_bytes(b"{")
    said = rf"far/runs/{newer}/run\.json: is there, but damaged; push it again from where it is who"
    for choice in (Choice(), Choice(run=newer), Choice(run="mnist")):
        with pytest.raises(DamagedArtifactError, match=said):
            sharing.pull(far, choice)
    assert sharing.pull(far, Choice(run=older))[0].runs == 1
    (sharing.near.root / "runs" / newer / RECORD).write_bytes(b"{")
    with pytest.raises(DamagedArtifactError, match=rf"near/runs/{newer}/run\.json: is .* --run$"):
        sharing.push(far)


def test_a_run_of_which_only_a_part_came_is_none(sharing, folder):
    sharing.push(folder / "far")
    (folder / "far" / "runs" / "20990102-030405-mnist").mkdir()
    assert sharing.pull(folder / "far")[0].runs == 1


def test_a_run_of_the_same_second_gets_a_number(sharing, url):
    sharing.push(url)
    other = sharing.folder / "other"
    mine = list_runs(sharing.near)[0]
    sharing.near.discard_run(mine.name)
    record = {**mine.record, "seconds": 99.0}
    publish_run(sharing.near, mine.name, record)
    assert sharing.push(url).runs == 1
    assert sharing.push(url).runs == 0
    _, store = sharing.pull(url, EVERYTHING, into=other.name)
    assert [run.name for run in list_runs(store)] == [mine.name, f"{mine.name}-2"]
    assert sharing.pull(url, EVERYTHING, into=other.name)[0].runs == 0


def remade(sharing):
    """Makes train anew under its old key, with other content, and all that rests on it."""
    sharing.project.text = "made again"
    sharing.project.run(NO_SEARCH, forced=frozenset({"train"}))


def test_other_content_under_the_same_key_is_refused_before_anything_is_copied(sharing, url):
    sharing.push(url)
    _, store = sharing.pull(url)
    before = files_of(store.root, hidden=True)
    remade(sharing)
    train = sharing.project.artifact("train", NO_SEARCH)
    with pytest.raises(ConfigError, match=f"train/{train.key} and 3 more is there with other"):
        sharing.push(url)
    sharing.pull(url, into="far_as_it_was")
    assert files_of(sharing.folder / "far_as_it_was", hidden=True) == before
    sharing.push(url, replaces=True)
    with pytest.raises(ConfigError, match="--replace"):
        sharing.pull(url)
    assert files_of(store.root, hidden=True) == before
    pulled, _ = sharing.pull(url, replaces=True)
    assert pulled.artifacts == 4
    assert store.intact("train", train.key).identity == train.identity
    assert sharing.problems(store) == ()


def test_a_damaged_artifact_is_not_pushed(sharing, url):
    train = sharing.project.artifact("train", NO_SEARCH)
    (train.path / "train.txt").write_text("train mode")
    with pytest.raises(DamagedArtifactError, match="says how to mend it"):
        sharing.push(url)
    with pytest.raises(ConfigError, match="no run"):
        sharing.pull(url)


def test_a_pull_mends_what_is_damaged_here_and_keeps_it_aside(sharing, url):
    sharing.push(url)
    _, store = sharing.pull(url)
    train = sharing.project.artifact("train", NO_SEARCH)
    (store.root / "train" / train.key / "train.txt").write_text("train mode")
    pulled, _ = sharing.pull(url)
    assert (pulled.artifacts, pulled.passed_over) == (1, 5)
    assert sharing.problems(store) == ()
    assert len(list((store.root / ".quarantine").iterdir())) == 1


def test_an_artifact_without_a_manifest_there_does_not_count(sharing, folder):
    sharing.push(folder / "far")
    train = sharing.project.artifact("train", NO_SEARCH)
    (folder / "far" / "train" / train.key / MANIFEST).unlink()
    with pytest.raises(MissingArtifactError, match=f"train/{train.key} is not there, or not whole"):
        sharing.pull(folder / "far")
    pushed = sharing.push(folder / "far")
    assert (pushed.artifacts, pushed.size_bytes, pushed.passed_over) == (1, 0, 5)
    assert sharing.pull(folder / "far")[0].artifacts == 6
