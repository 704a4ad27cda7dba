"""The command that mends names the folder, unless it is the one that is taken anyway."""

import shlex

from pipeline.cli.options import DEFAULT_ARTIFACTS
from pipeline.core.command_hints import repair_call


def test_only_another_folder_than_the_usual_one_is_named(tmp_path):
    usual = "python run_pipeline.py check --repair"
    assert repair_call(DEFAULT_ARTIFACTS) == usual
    other = tmp_path / "my artifacts"
    assert shlex.split(repair_call(other)) == [*usual.split(), "--artifacts", str(other)]
