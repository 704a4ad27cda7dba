"""What a plug-in must have: mypy tells, and so does the program when it loads one."""

import re
import subprocess
import sys
from collections import defaultdict
from types import ModuleType

import pytest

from pipeline.core import plugins
from pipeline.core.errors import ConfigError
from pipeline.core.plugins import EXPORTERS, MODELS, PROTOCOLS, ROOT, SOURCES

OPTIONS = """from pipeline.config.schema import DataSection
class Options(DataSection): ...
"""
FAULTY = {
    "without_load": OPTIONS,
    "with_a_wrong_answer": f"{OPTIONS}def load(options: Options) -> int: ...\n",
}


def modules():
    """All plug-ins, each with the module that holds its protocol."""
    yield from ((f"{kind}.{n}", kind) for kind in (SOURCES, MODELS) for n in plugins.names(kind))
    yield from ((exporter.__name__, EXPORTERS) for exporter in plugins.exporters())


def test_mypy_finds_every_plug_in_whole_and_tells_what_a_faulty_one_lacks(tmp_path):
    ours = list(modules())
    lines = []
    for number, (name, kind) in enumerate([*ours, *((faulty, SOURCES) for faulty in FAULTY)]):
        lines.append(f"import {name}, {kind}; _{number}: {kind}.{PROTOCOLS[kind]} = {name}\n")
    (tmp_path / "compared.py").write_text("".join(lines), "utf-8")
    for name, code in FAULTY.items():
        (tmp_path / f"{name}.py").write_text(code, "utf-8")
    command = [sys.executable, "-m", "mypy", str(tmp_path / "compared.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    told = defaultdict(list)
    for line, words in re.findall(r"compared\.py:(\d+): \w+: +(.*)", done.stdout):
        told[int(line) - len(ours)].append(words)
    assert sorted(told) == [1, 2], done.stdout + done.stderr
    assert told[1][1:] == ['"ModuleType" is missing following "Source" protocol member:', "load"]
    assert "def load(options: Options) -> int" in told[2]


@pytest.mark.parametrize(
    ("package", "has", "lacks"),
    [
        (SOURCES, ("Options",), "no load"),
        (SOURCES, ("load",), "no Options"),
        (MODELS, ("Options",), "no build"),
        (MODELS, (), "no Options and no build"),
    ],
)
def test_a_source_or_preset_that_lacks_a_name_is_refused_by_file_and_name(
    package, has, lacks, monkeypatch
):
    toy = ModuleType(f"{package}.toy")
    toy.__dict__.update(dict.fromkeys(has))
    monkeypatch.setitem(sys.modules, toy.__name__, toy)
    with pytest.raises(ConfigError) as refusal:
        plugins.load(package, "toy")
    assert str(refusal.value) == (
        f"{package.replace('.', '/')}/toy.py: has {lacks}; {PROTOCOLS[package]} in {package} says "
        "what is expected of it, and CONTRIBUTING.md shows how"
    )


def test_an_exporter_that_lacks_a_name_is_refused_by_file_and_name(tmp_path, monkeypatch):
    whole = plugins.exporters()[0]
    toy = ModuleType("export.toy.exporter")
    has = {name for name in vars(whole) if name[0] != "_"} - {"external_access", "LIBRARIES"}
    toy.__dict__.update(dict.fromkeys(has))
    (tmp_path / "export" / "toy").mkdir(parents=True)
    (tmp_path / "export" / "toy" / "exporter.py").touch()
    monkeypatch.setitem(sys.modules, toy.__name__, toy)
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    with pytest.raises(ConfigError, match=r"^export/toy/exporter\.py: has no LIBRARIES and no ext"):
        plugins.exporters.__wrapped__()
