"""A call names the artifacts folder, unless it is the one that is taken anyway."""

import shlex

from pipeline.cli.options import DEFAULT_ARTIFACTS
from pipeline.core.command_hints import on_artifacts


def test_only_another_folder_than_the_usual_one_is_named(tmp_path):
    usual = "python run_pipeline.py check"
    assert on_artifacts(DEFAULT_ARTIFACTS, "check") == usual
    other = tmp_path / "my artifacts"
    assert shlex.split(on_artifacts(other, "check")) == [*usual.split(), "--artifacts", str(other)]
