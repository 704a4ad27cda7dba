"""The commands push and pull, as a user calls them."""

from types import SimpleNamespace

import pytest

from pipeline.cli import main
from pipeline.core.errors import ConfigError
from pipeline.remote.select import Choice
from pipeline.workflow import execute
from tests.command_line import call
from tests.remote.conftest import NO_SEARCH, Sharing


@pytest.fixture
def sharing(tmp_path, monkeypatch):
    sharing = Sharing(tmp_path)
    monkeypatch.setattr(execute, "importlib", SimpleNamespace(import_module=sharing.project.load))
    monkeypatch.setattr(execute.environment, "describe", dict)  # asks Git, which takes its time
    sharing.run(last="export")
    return sharing


def test_a_run_is_pushed_pulled_checked_and_has_nothing_to_do(sharing, tmp_path):
    far, pulled = f"file://{tmp_path}/far", tmp_path / "pulled"
    done = call("push", far, "--artifacts", sharing.near.root)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Pushed 5 artifacts and 1 run, ")
    assert done.stdout.endswith(f" to {far}\n")
    ingest = sharing.project.artifact("ingest", NO_SEARCH).key
    sharing.pull(far, Choice(artifact=("ingest", ingest)))
    done = call("pull", far, "--artifacts", pulled)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Pulled 4 artifacts and 1 run, ")
    assert done.stdout.endswith("; 1 artifact and 0 runs there already\n")
    done = call("check", "--artifacts", pulled)
    assert (done.returncode, done.stderr) == (0, "")
    assert "all as published" in done.stdout
    done = call("run", "--to", "export", NO_SEARCH, "--artifacts", pulled)
    assert done.returncode == 0, done.stderr
    assert "Nothing changed: every artifact is up to date." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--run", "mnist", "--all"], "exclude each other"),
        (["--all", "--key", "0" * 16, "--stage", "train"], "exclude each other"),
        (["--stage", "train"], "add --key"),
        (["--key", "0" * 16], "add --stage"),
        (["--stage", "trian", "--key", "0" * 16], "Did you mean 'train'?"),
        (["--stage", "train", "--key", "../x"], "16 hex digits"),
    ],
)
@pytest.mark.parametrize("command", ["push", "pull"])
def test_options_that_do_not_fit_are_refused(command, arguments, said, tmp_path):
    with pytest.raises(ConfigError) as caught:
        main.app([command, str(tmp_path / "far"), *arguments], standalone_mode=False)
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["push", "pull"])
def test_an_empty_url_does_not_mean_the_folder_one_works_in(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="names no folder; is a variable unset"):
        main.app([command, "", "--all", "--artifacts", "near"], standalone_mode=False)
    assert list(tmp_path.iterdir()) == []
