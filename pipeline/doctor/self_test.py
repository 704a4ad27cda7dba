"""Whether all works together: the real stages on made-up images, to verified files.

The images, the artifacts and all else lie in a folder for temporary files that is gone afterwards.
"""

import json
import os
import random
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.core.command_hints import run_pipeline
from pipeline.core.plugins import ROOT
from pipeline.core.progress import Progress
from pipeline.doctor import children
from pipeline.doctor.finding import Finding
from pipeline.workflow import graph

SIDE = 28
CLASSES = 4
TRAINING_IMAGES, TEST_IMAGES = 600, 100
NOISE = bytes(value // 4 for value in range(256))
TIMEOUT_SECONDS = 300.0
# As `python run_pipeline.py`, but it does not outlive its parent.
CALL = (
    "import sys; from pipeline.core.child_process import end_with_parent; "
    "end_with_parent(int(sys.argv.pop(1))); "
    "sys.argv[0] = 'run_pipeline.py'; from pipeline.cli.main import main; main()"
)
CONFIG = """\
data: {{source: idx, folder: {folder}}}
model: {{preset: lenet5}}
train: {{epochs: 1, batch_size: 50, precision: float32, jit_compile: false}}
export: {{formats: [tflite_float32, onnx]}}
verify: {{timed_runs: 5}}
"""
TEMPORARY = ("TMPDIR", "TEMP", "TMP")  # the latter two of Windows
STAGES = tuple(name for name in graph.NAMES if name != "tune")


def examine_pipeline(progress: Progress) -> Iterator[Finding]:
    """Runs the stages in a child; a format that answers otherwise than Keras is a failure."""
    start = time.monotonic()
    with TemporaryDirectory(prefix="evenkeel-doctor-", ignore_cleanup_errors=True) as folder:
        config = make_material(Path(folder))
        artifacts = Path(folder) / "artifacts"
        ended = _run(config, artifacts, progress)
        summary = _summary(artifacts)
    seconds = f"{time.monotonic() - start:.1f} s"
    if ended.code == 0 and summary:
        yield Finding("self-test", "ok", f"{summary}, in {seconds}")
    else:
        found = f"failed after {seconds}: {_last_words(ended)}"
        longer = run_pipeline("run", "-c", os.path.relpath(ROOT / "configs" / "smoke.yaml"))
        yield Finding("self-test", "fail", found, f"{longer}; it does the same at length")


def make_material(folder: Path) -> Path:
    """Writes images of a bright box, whose place is its class, and the config that reads them."""
    generator = random.Random(0)
    for split, count in (("train", TRAINING_IMAGES), ("t10k", TEST_IMAGES)):
        labels = bytes(index % CLASSES for index in range(count))
        images = b"".join(_draw(label, generator) for label in labels)
        header = struct.pack(">4I", 0x803, count, SIDE, SIDE)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(header + images)
        header = struct.pack(">2I", 0x801, count)
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(header + labels)
    config = folder / "self_test.yaml"
    config.write_text(CONFIG.format(folder=json.dumps(str(folder))), encoding="utf-8")
    return config


def _draw(label: int, generator: random.Random) -> bytes:
    pixels = bytearray(generator.randbytes(SIDE * SIDE).translate(NOISE))
    top = 5 + 12 * (label // 2) + generator.randrange(-3, 4)
    left = 5 + 12 * (label % 2) + generator.randrange(-3, 4)
    for row in range(top, top + 6):
        pixels[row * SIDE + left : row * SIDE + left + 6] = b"\xff" * 6
    return bytes(pixels)


def _run(config: Path, artifacts: Path, progress: Progress) -> children.Ended:
    with progress.task("self-test", len(STAGES)) as task:
        shown = 0

        def show(out: str) -> None:
            nonlocal shown
            done = sum(any((artifacts / stage).glob("*/manifest.json")) for stage in STAGES)
            note = STAGES[done] if done < len(STAGES) else ""
            task.advance(done - shown, note)
            shown = done

        options = ["run", "-c", str(config), "--artifacts", str(artifacts)]
        return children.run(
            [sys.executable, "-c", CALL, str(os.getpid()), *options],
            timeout_seconds=TIMEOUT_SECONDS,
            environment={"NO_COLOR": "1"} | dict.fromkeys(TEMPORARY, str(config.parent)),
            while_waiting=show,
        )


def _summary(artifacts: Path) -> str:
    """What verify said when it was done; empty where it did not get so far."""
    manifests = [*artifacts.glob("verify/*/manifest.json")]
    return json.loads(manifests[0].read_text(encoding="utf-8"))["summary"] if manifests else ""


def _last_words(ended: children.Ended) -> str:
    if ended.code == 0:
        return "ended without a verdict"
    lines = [line for line in ended.err.splitlines() if line.strip()]
    errors = [line.removeprefix("error").strip() for line in lines if line.startswith("error ")]
    if ended.is_late or ended.code < 0 or not lines:
        return ended.how
    return (errors or lines)[-1]
