"""What the examples are tried with: JavaScript's tools, a browser, a model and golden vectors."""

import json
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from export.deployment import demo_server, render
from export.formats import contract
from export.formats.format import exporter, formats
from export.verification import golden
from pipeline.core.plugins import ROOT
from pipeline.data.dataset_json import Preparation
from pipeline.data.images.types import LabelledImages

CACHE = ROOT / "artifacts" / ".npm"
BROWSER = ROOT / "tests" / "export" / "runtimes" / "browser"
FORMATS = tuple(name for name, known in formats().items() if "browser" in known.targets)


@pytest.fixture(scope="session")
def tool():
    """Finds a program, or skips the test; where CI is set it fails, so that nothing hides."""

    def find(name):
        path = shutil.which(name)
        if path is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed")
        return path

    return find


@pytest.fixture(scope="session")
def node_modules(tool):
    """Installs the packages of a folder into a cache that all test processes share."""

    def install(folder):
        tool("npm")
        return demo_server.install(ROOT / folder, CACHE)

    return install


@dataclass(frozen=True)
class Shipped:
    """What a user gets: an export artifact and the golden folder of the same model."""

    export: Path
    golden: Path
    contract: contract.Contract


@pytest.fixture(scope="session")
def shipped(exported, tmp_path_factory):
    return ship(exported, tmp_path_factory.mktemp("shipped"), FORMATS)


@pytest.fixture(scope="session")
def shipped_of_ink(exported, tmp_path_factory):
    """The same model, as if its training images had been ink."""
    folder, ink = tmp_path_factory.mktemp("ink"), Preparation(8, "mass", (12, 10))
    return ship(exported, folder, ("onnx", "tflite_float32"), preparation=ink)


def ship(exported, folder, names, **known):
    promised = replace(
        exported.contract,
        input=replace(exported.contract.input, background="dark", **known),
        formats={name: exported.contract.formats[name] for name in names},
    )
    (folder / "export").mkdir()
    for name in names:
        shutil.copy(exported.path(name), folder / "export")
    contract.write(promised, folder / "export")
    render.render(promised, folder / "export")
    images, answers = exported.images, {}
    for name in names:
        predictor = exporter(name).load(exported.path(name), 1)
        given = predictor.run(promised.formats[name].input.encode(images))
        decoded = promised.formats[name].output.decode(given)
        answers[name] = golden.Answers(decoded, predictor.runtime)
    labels = np.arange(len(images)) % len(promised.output.labels)
    choices = golden.choose(answers["onnx"].probabilities, labels)
    test = LabelledImages(images, labels)
    golden.write(folder / "golden", test, answers, promised, choices)
    return Shipped(folder / "export", folder / "golden", promised)


@pytest.fixture(scope="session")
def scripts(node_modules, tmp_path_factory):
    folder = shutil.copytree(BROWSER, tmp_path_factory.mktemp("scripts") / "browser")
    (folder / "node_modules").symlink_to(node_modules(BROWSER))
    return folder


@pytest.fixture(scope="session")
def drive(tool, scripts):
    """Gives a function that takes steps on a page and tells what it then showed.

    All pages have one browser; each has a context of its own.
    """
    with subprocess.Popen(
        [tool("node"), "drive.mjs", tool("chromium")],
        cwd=scripts,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def run(url, *steps, viewport=(1200, 800), touch=False):
            plan = {
                "url": url,
                "viewport": dict(zip(("width", "height"), viewport, strict=True)),
                "touch": touch,
                "steps": steps,
            }
            process.stdin.write(json.dumps(plan, default=str) + "\n")
            process.stdin.flush()
            told = json.loads(process.stdout.readline())
            assert "failed" not in told, told["failed"]
            assert (told["outside"], told["errors"]) == ([], [])
            return told["states"]

        yield run


@pytest.fixture(scope="session")
def served(modules):
    """Gives a block in which folders are served, and the address there."""
    return lambda export, golden, packages=modules: _served(export, golden, packages)


@contextmanager
def _served(export_folder, golden_folder, modules):
    with demo_server.open_server(export_folder, golden_folder, modules, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def modules(node_modules):
    return node_modules("export/runtimes/web")


@pytest.fixture(scope="session")
def url(shipped, served):
    with served(shipped.export, shipped.golden) as address:
        yield address
