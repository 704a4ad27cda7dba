"""What the Markdown files say can be followed: each link, each command line, each config."""

import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer

from pipeline.core import plugins
from pipeline.core.errors import PipelineError
from pipeline.core.plugins import ROOT
from pipeline.workflow.code_hash import NOT_COUNTED
from tests.documents import settings, typed_commands
from tests.documents.markdown_files import Document, documents, lines_of
from tests.test_imports import FLOORS

DOCUMENTS = documents()
FILES = [document for document in DOCUMENTS if document.path.suffix == ".md"]
README = next(document for document in FILES if document.name == "README.md")
PAGES = [document for document in FILES if document.name.startswith("docs/")]


@pytest.fixture
def shown_presets(monkeypatch):
    """The presets whose code is shown are there, as if in files of their own."""
    codes = [code for document in FILES for code in document.fences("python")]
    shown = {m[1]: code for code in codes if (m := re.search(r'preset: Literal\["(\w+)"\]', code))}
    for name, code in shown.items():
        module = ModuleType(f"{plugins.MODELS}.{name}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(code, module.__dict__)
    there = plugins.names
    monkeypatch.setattr(
        plugins, "names", lambda p: there(p) + tuple(shown if p == plugins.MODELS else ())
    )


def typed(document):
    """Command lines in blocks, as a person would type them."""
    for fence in document.fences("", "sh", "bash", "console"):
        lines = lines_of(fence)
        if any(map(typed_commands.is_known, lines)):
            yield from lines


def mentioned(document):
    """Commands within sentences."""
    return [span for span in document.spans if typed_commands.is_mention(span)]


def overrides(document):
    """Settings within sentences, as `train.epochs=5 seed=1`, without a command."""
    return [span for span in document.spans if typed_commands.are_overrides(span)]


def each(found):
    """A parameter for each text that is found in a file, once."""
    texts = [(d.name, text) for d in FILES for text in dict.fromkeys(found(d))]
    return [pytest.param(text, id=f"{name}: {text[:80]}") for name, text in texts]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_to_a_file_or_heading(document):
    lost = [link for link in document.links if not leads_somewhere(document, link)]
    assert lost == []


def leads_somewhere(document, link):
    if link.startswith(("https://", "http://")):
        return True  # the network is not asked
    file, _, anchor = link.partition("#")
    path = Path(os.path.normpath(document.path.parent / file)) if file else document.path
    if not path.exists():
        return False
    return not anchor or anchor in Document(path, path.read_text(encoding="utf-8")).anchors


@pytest.mark.parametrize("line", each(typed))
def test_every_command_line_is_one_that_the_program_takes(line):
    typed_commands.check(line)


@pytest.mark.usefixtures("shown_presets")
@pytest.mark.parametrize("text", each(mentioned))
def test_every_command_in_a_sentence_is_one_that_the_program_takes(text):
    typed_commands.check_mention(text)


@pytest.mark.parametrize("text", each(overrides))
def test_every_setting_is_one_that_a_config_takes(text):
    typed_commands.check_overrides(text)


@pytest.mark.parametrize("text", each(lambda document: document.fences("yaml")))
def test_every_config_that_is_shown_can_be_read(text, tmp_path):
    typed_commands.check_config(text, tmp_path / "shown.yaml")


def test_every_option_named_in_a_sentence_is_one_of_a_command():
    spans = [span for document in (README, *PAGES) for span in document.spans]
    named = {span.split()[0] for span in spans if span.startswith("--")}
    assert len(named) > 20
    assert named - typed_commands.options() == set()


def test_files_and_commands_are_found():
    assert len(PAGES) >= 15
    assert len([line for document in (README, *PAGES) for line in typed(document)]) > 40
    small = next(page for page in PAGES if page.name == "docs/small-models.md")
    assert "run_pipeline.py -c configs/tiny.yaml seed=1" in mentioned(small)


def test_the_first_page_is_short_and_leads_to_every_other():
    assert len(README.text.splitlines()) <= 150
    contents = next(page for page in PAGES if page.name == "docs/README.md")
    others = {page.path.name for page in PAGES} - {"README.md"}
    assert others <= set(contents.links)
    assert {f"docs/{name}" for name in contents.links} - set(README.links) <= {
        "docs/../README.md",
        "docs/every-setting.md",
        "docs/zoo.md",
    }


def test_the_page_of_settings_is_as_the_program_has_them():
    """Written anew by `python -m tests.documents.settings`."""
    assert settings.PAGE.read_text(encoding="utf-8") == settings.page()


def test_every_setting_has_a_sentence():
    rows = [row for row in settings.page().splitlines() if row.startswith("| `")]
    assert len(rows) > 150
    assert [row for row in rows if row.endswith("|  |")] == []


def test_architecture_names_each_floor_and_what_does_not_count():
    page = next(page for page in PAGES if page.name == "docs/architecture.md")
    floors = [unit for floor in FLOORS for unit in floor]
    assert {name.replace(".", "/") for name in floors} <= set(page.spans)
    assert set(NOT_COUNTED) <= set(page.spans)


ON_LINES = """# A `code` of: Ours, 2
```
python run_pipeline.py runs | show [RUN]     a note
make run                                     # another
python run_pipeline.py recommend --target \\
    browser
                 [--max-kb N]
```
## Ours
## Ours
[a](#ours-1) and [b](other.md) but not `[c](d.md)`
"""


def test_what_is_written_is_read_as_it_is_shown():
    document = Document(ROOT / "README.md", ON_LINES)
    assert document.anchors == ["a-code-of-ours-2", "ours", "ours-1"]
    assert document.links == ["#ours-1", "other.md"]
    assert [*typed(document)] == [
        "python run_pipeline.py runs | show [RUN]",
        "make run",
        "python run_pipeline.py recommend --target browser [--max-kb N]",
    ]


@pytest.mark.parametrize("link", ["#no-such-heading", "no/such/file", "CHANGELOG.md#nothing"])
def test_a_link_that_leads_nowhere_is_found(link):
    assert not leads_somewhere(README, link)


@pytest.mark.parametrize(
    "line",
    [
        "python run_pipeline.py --tp train",
        "python run_pipeline.py train.epoch=3",
        "python run_pipeline.py -c configs/nowhere.yaml",
        "python run_pipeline.py runs | shw [RUN]",
        "python run_pipeline.py recommend --target android|phone [--max-kb N]",
        "python run_pipeline.py status train.epochs=3 --keep",
        "run_pipeline.py export --model my.keras --pixels 0-1",
        "python run_pipeline.py gc [--keep X]",
        "check --mend",
        "examples/slurm/submit.sh -c configs/mnist.yaml train.epoch=3",
        "run.sh ingest trane",
        ".venv/bin/python benchmarks/tuning.py --round 2",
        "benchmarks/nowhere.py",
        "pytest tests/nowhere.py",
        "python -m tests.documents.nowhere",
        "make tset",
        ".venv/bin/python -m pip install -r require.txt",
        ".venv/bin/python -m pip install 'tensorflow[and-cuda]==2.20.0'",
        "kubectl apply -f examples/nowhere.yaml",
        "kubectl aply -f examples/kubernetes/volume.yaml",
        "docker biuld -t evenkeel:1 .",
        "docker build -f examples/nowhere/Dockerfile .",
        "git clnoe https://example.org/evenkeel",
        "npm cl --ignore-scripts",
        "npm ci --ignore-script",
        "npm install onnxruntime-wed",
        "ruff format tests/nowhere.py",
        "mypy nowhere.py",
        "cargo run",
    ],
)
def test_a_command_line_that_would_fail_is_found(line):
    with pytest.raises((AssertionError, PipelineError, typer.TyperException)):
        typed_commands.check(line)
