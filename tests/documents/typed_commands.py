"""Checks a command line without running it: its program, its options, its config.

Each check asserts, or raises what the program would tell a user.
"""

import ast
import json
import re
import shlex
from contextlib import suppress
from functools import partial
from itertools import pairwise, product
from unittest.mock import patch

import typer

from export.formats.format import formats
from export.formats.recommendation import TARGETS
from pipeline.cli import main, run
from pipeline.config.loading import load_config
from pipeline.core.errors import ConfigError
from pipeline.core.plugins import ROOT
from pipeline.workflow import graph

CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
PROGRAM = typer.main.get_command(main.app)
BEFORE_IT = re.compile(r"time|[A-Z_]+=.*", re.DOTALL)
OVERRIDE = re.compile(r"[a-z]\w*(\.\w+)*=.+", re.DOTALL)
OF_PIXELS = ["data.source=csv", "data.train_file=a.csv", "data.test_fraction=0.2"]
PLACEHOLDERS = {"N": "1", "X": "0.5"}
# What the options of these names may be, which commands find out for themselves.
KNOWN = {
    "target": TARGETS,
    "format_name": formats(),
    **dict.fromkeys(("stage", "first", "last", "force"), graph.NAMES),
}


def check(line):
    """Checks a line of one or more commands, as for a POSIX shell or for Windows'."""
    for command in line.replace(".venv\\Scripts\\", ".venv/bin/").split(" && "):
        words = _words(shlex.split(command, comments=True))
        program = _program(words)
        if program in main.COMMANDS:
            _run_pipeline(words)
        elif program in CHECKS:
            CHECKS[program](words[1:])
        else:
            _script(words)


def check_mention(text):
    """Checks a command in a sentence, which may be but its name, with options but no values."""
    words = text.split()
    while words and words[0] not in main.COMMANDS:
        words = words[1:]
    if words and all(word.startswith("--") or word.isupper() for word in words[1:]):
        assert {word for word in words[1:] if not word.isupper()} <= options(words[0])
    else:
        check(text)


def is_known(text):
    """Whether a text begins as a command line does."""
    program = _program(_words(text.split()))
    return program in CHECKS or program.endswith((".py", ".sh"))


def is_mention(text):
    """Whether a text is a command with something behind its name."""
    words = text.split()
    return len(words) > 1 and "→" not in words and (words[0] in main.COMMANDS or is_known(text))


def are_overrides(text):
    try:
        words = shlex.split(text)
    except ValueError:
        return False
    return "." in text and bool(words) and all(map(OVERRIDE.fullmatch, words))


def check_overrides(text):
    """Raises what the last config says where none takes them, nor one for a table of images."""
    words = list(map(_plain, shlex.split(text)))
    for others in ([], OF_PIXELS, OF_PIXELS[:-1]):  # the last, where splits come otherwise
        with suppress(ConfigError):
            return _load([*others, *words], CONFIGS)
    return _load([*OF_PIXELS, "data.path_column=file", *words], CONFIGS)


def check_config(text, path):
    """A config file's text, which may lean on the default config."""
    start = f"extends: {ROOT}/"
    parts = "" if "extends: " in text else f"{start}configs/mnist.yaml\n"
    path.write_text(parts + text.replace("extends: ", start), encoding="utf-8")
    load_config(path)


def options(*commands):
    """All options that these commands have, or that any has."""
    found = [PROGRAM.get_command(None, name) for name in commands or main.COMMANDS]
    return {option for c in found for p in c.params for option in p.opts} | {"--help"}


def _words(words):
    return words[1:] if words and BEFORE_IT.fullmatch(words[0]) else words


def _program(words):
    return re.split(r"[/\\]", words[0])[-1] if words else ""


def _python(words):
    if words[:2] == ["-m", "venv"]:
        assert len(words) == 3
    elif words[0] == "-m" and words[1].startswith("tests."):
        assert (ROOT / words[1].replace(".", "/")).with_suffix(".py").is_file()
        assert not words[2:]
    elif words[0] == "-m":
        CHECKS[words[1]](words[2:])
    elif re.fullmatch(r"-3\.\d+", words[0]):  # Windows' launcher
        _python(words[1:])
    else:
        _script(words)


def _script(words):
    name = words[0]
    if name.endswith("run_pipeline.py"):
        _run_pipeline(words[1:])
    elif name.startswith("benchmarks/"):
        _benchmark(ROOT / name, words[1:])
    elif name.endswith("submit.sh"):
        _run_pipeline(["run", *words[1:]])
    elif name.endswith("run.sh"):
        assert set(words[1:]) <= set(graph.NAMES)
    else:
        raise AssertionError(f"{name}: how is it checked?")


def _run_pipeline(words):
    """Several commands where `|` stands between them, or between values."""
    joined = " ".join(map(shlex.quote, map(_plain, words)))
    for call in joined.split(" '|' "):
        choices = [[w] if "=" in w else w.split("|") for w in shlex.split(call)]
        for chosen in product(*choices):
            _call(list(chosen))


def _plain(word):
    """A word without the brackets that say that it may be left out, its placeholder filled."""
    word = word.removeprefix("[")
    word = word if "[" in word else word.removesuffix("]")
    name, equals, value = word.rpartition("=")
    return f"{name}{equals}{PLACEHOLDERS.get(value, value)}"


def _call(words):
    name, *rest = main._with_command(words)
    if name.startswith("-"):
        assert not rest
        return
    command = PROGRAM.get_command(None, name)
    context = command.make_context(name, rest)
    for parameter in KNOWN.keys() & context.params.keys():
        given = context.params[parameter] or []
        assert set(given if isinstance(given, list) else [given]) <= set(KNOWN[parameter])
    if name == "export":
        with patch.object(run, "_carry_out"):
            command.invoke(context)
    elif "config" in context.params:
        _load(context.params["overrides"] or (), _meant(context.params["config"]))


def _meant(config):
    """The config itself; any where the name stands for a user's own."""
    is_ours = config.is_absolute() or "configs" in config.parts
    return [ROOT / config] if is_ours else CONFIGS


def _load(overrides, configs):
    trouble = []
    for path in configs:
        try:
            load_config(path, overrides)
        except ConfigError as error:
            trouble.append(error)
        else:
            return
    raise trouble[-1]


def _benchmark(path, words):
    """Its options are those of its `add_argument` calls; one without any may take plain words."""
    assert path.is_file(), f"{path} is not there"
    source = path.read_text(encoding="utf-8")
    calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
    known = {ast.unparse(c.args[0]) for c in calls if "add_argument" in ast.unparse(c.func)}
    assert {repr(word) for word in words if word.startswith("--")} <= known
    assert known or "sys.argv" in source or not words, f"{path} takes no arguments"


def _pip(words):
    assert words[0] == "install"
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    _files_after("-r", words)
    for match in filter(None, (re.fullmatch(r"([\w-]+)(\[.*\])?==(.+)", w) for w in words)):
        assert f"\n{match[1]}=={match[3]}\n" in pins, f"{match[0]} is not the pinned one"


def _pytest(words):
    assert {word for word in words if word.startswith("-")} <= {"-m", "-n", "-v", "-q"}
    assert "-m" not in words or words[words.index("-m") + 1] in ("", "long")
    paths = [word for word in words if word.startswith("tests")]
    assert all((ROOT / path).exists() for path in paths), paths


def _make(words):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(words) <= set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))


def _node(words):
    assert list(ROOT.glob(f"export/runtimes/node/{words[0]}*"))


def _files_after(option, words):
    named = [value for before, value in pairwise(words) if before == option]
    assert all((ROOT / name).is_file() for name in named), named


def _npm(words):
    subcommand, *rest = words
    assert subcommand in ("ci", "install")
    files = ROOT.glob("export/runtimes/*/package.json")
    known = {n for file in files for n in json.loads(file.read_text("utf-8"))["dependencies"]}
    assert {re.sub(r"(?<=.)@.*", "", word) for word in rest} - {"--ignore-scripts"} <= known


def _of_others(subcommands, words):
    """A program that is none of this project's; the files that it takes are."""
    assert not subcommands or (words[:1] and words[0] in subcommands), words
    _files_after("-f", words)
    named = [word for word in words if re.fullmatch(r"\w[\w/.-]*\.(md|py|toml|txt|ya?ml)", word)]
    assert all((ROOT / name).is_file() for name in named), named


SUBCOMMANDS = {
    "apt-get": ("install", "update"),
    "docker": ("build", "run"),
    "git": ("clone", "pull"),
    "kubectl": ("apply", "delete"),
    "mypy": (),
    "ruff": ("check", "format"),
}
CHECKS = {
    **dict.fromkeys(("python", "python3", "python3.11", "py"), _python),
    "pip": _pip,
    "pytest": _pytest,
    "make": _make,
    "node": _node,
    "npm": _npm,
    **{program: partial(_of_others, known) for program, known in SUBCOMMANDS.items()},
}
