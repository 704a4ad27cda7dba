"""What the examples are tried with: JavaScript's tools, and a model with its golden vectors."""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from export import contract, demo, golden, rendering
from export.formats import exporter
from pipeline.plugins import ROOT
from pipeline.sources import LabelledImages

CACHE = ROOT / "artifacts" / ".npm"
FORMATS = ("onnx", "onnx_int8", "tflite_float32")


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
        return demo.install(ROOT / folder, CACHE)

    return install


@dataclass(frozen=True)
class Shipped:
    """What a user gets: an export artifact and the golden folder of the same model."""

    export: Path
    golden: Path
    contract: contract.Contract


@pytest.fixture(scope="session")
def shipped(exported, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shipped")
    promised = replace(
        exported.contract,
        input=replace(exported.contract.input, background="dark"),
        formats={name: exported.contract.formats[name] for name in FORMATS},
    )
    (folder / "export").mkdir()
    for name in FORMATS:
        shutil.copy(exported.path(name), folder / "export")
    contract.write(promised, folder / "export")
    rendering.render(promised, folder / "export")
    images, answers = exported.images, {}
    for name in FORMATS:
        predictor = exporter(name).load(name, exported.path(name), 1)
        given = predictor.run(promised.formats[name].input.encode(images))
        answers[name] = golden.Answers(given, predictor.runtime)
    labels = np.arange(len(images)) % len(promised.output.labels)
    choices = golden.choose(answers["onnx"].probabilities, labels)
    test = LabelledImages(images, labels)
    golden.write(folder / "golden", test, answers, promised, choices)
    return Shipped(folder / "export", folder / "golden", promised)
