"""`golden/`: some test images, as each format takes them, with the answers that it must give.

Small enough to ship in an app's own tests. Files ending in `.bin` hold raw bytes, little-endian,
in C order, just as a format takes or gives them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.formats.contract import Contract
from export.formats.format import formats
from pipeline.core.content import sha256
from pipeline.data.images.types import LabelledImages

FOLDER = "golden"
FILE_NAME = "golden.json"
SCHEMA = 1
LEAST = 32
PICTURES, SHEET = 8, (150, 200)


@dataclass(frozen=True)
class Choice:
    """One image of the test split, by its index there, why it was taken, and its file if known."""

    index: int
    why: str
    file: str | None = None


def choose(probabilities: np.ndarray, labels: np.ndarray, least: int = LEAST) -> list[Choice]:
    """Picks the easiest and the hardest image of each class, then the hardest of all.

    Args:
        probabilities: Keras', float32 (images, classes).
        labels: int64 (images,).
        least: how many images to take, if there are as many; all classes fit in any case.
    """
    given = probabilities[np.arange(len(labels)), labels]
    hardest_first = np.argsort(given, kind="stable")
    chosen: dict[int, str] = {}
    for why, order in (("easiest", hardest_first[::-1]), ("hardest", hardest_first)):
        _, first_of_each_class = np.unique(labels[order], return_index=True)
        for index in order[first_of_each_class].tolist():
            chosen.setdefault(index, f"{why} of class {labels[index]}")
    for index in hardest_first.tolist():
        if len(chosen) >= least:
            break
        chosen.setdefault(index, "among the hardest of all")
    return [Choice(index, why) for index, why in chosen.items()]


@dataclass(frozen=True)
class Answers:
    """A format's answers to the whole test split: float32 (images, classes), and who gave them."""

    probabilities: np.ndarray
    runtime: str


def write(
    folder: Path,
    test: LabelledImages,
    answers: Mapping[str, Answers],
    promised: Contract,
    choices: Sequence[Choice],
) -> None:
    """Makes the folder, of some images of the test split and each format's answers to all of it."""
    for name in ("images", "inputs", "expected"):
        (folder / name).mkdir(parents=True)
    chosen = test.select(np.array([choice.index for choice in choices]))
    entries = {}
    for name, given in answers.items():
        picked = [given.probabilities[choice.index] for choice in choices]
        entries[name] = {
            **_write_format(folder, name, promised, chosen.images, np.stack(picked)),
            "runtime": given.runtime,
        }
    record = {
        "schema": SCHEMA,
        "model_key": promised.model_key,
        "data_key": promised.data_key,
        "labels": promised.output.labels,
        "images": list(_write_images(folder, chosen, choices)),
        "formats": entries,
        **_write_pictures(folder, chosen, promised),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (folder / FILE_NAME).write_text(text + "\n", "utf-8")


def _write_images(
    folder: Path, chosen: LabelledImages, choices: Sequence[Choice]
) -> Iterator[dict[str, Any]]:
    from PIL import Image

    for number, choice in enumerate(choices):
        pixels, label = chosen.images[number], int(chosen.labels[number])
        file = f"images/{number:02}.png"
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(folder / file)
        yield {
            "file": file,
            "sha256": sha256(folder / file),
            "label": label,
            "test_index": choice.index,
            "why": choice.why,
            **({"test_file": choice.file} if choice.file else {}),
        }


def _write_pictures(
    folder: Path, chosen: LabelledImages, promised: Contract
) -> dict[str, list[dict[str, str]]]:
    """Some of the images on paper, and what each is to be prepared to, for models of ink."""
    from PIL import Image

    from pipeline.data.images import ink

    layout = promised.input.ink_layout
    if layout is None:
        return {}
    (folder / "pictures").mkdir()
    listed = []
    for number, pixels in enumerate(chosen.images[:PICTURES, ..., 0]):
        picture = _on_paper(pixels if layout.is_light else 255 - pixels, number)
        prepared, _ = ink.prepare(picture, layout)
        files = {"file": f"pictures/{number}.png", "prepared": f"pictures/{number}.prepared.png"}
        Image.fromarray(picture).save(folder / files["file"])
        Image.fromarray(prepared).save(folder / files["prepared"])
        listed.append(files)
    return {"pictures": listed}


def _on_paper(ink: np.ndarray, number: int) -> np.ndarray:
    """Light ink anywhere on a sheet under a lamp, dark on light or, of every third, the reverse."""
    from PIL import Image

    random = np.random.default_rng(number)
    longer = 80 + 10 * (number % 4)
    scale = longer / max(ink.shape)
    size = tuple(max(1, round(side * scale)) for side in reversed(ink.shape))
    drawn = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BICUBIC)) / 255
    top, left = (random.integers(0, side - longer) for side in SHEET)
    sheet = np.zeros(SHEET)
    sheet[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    light = np.linspace(1.0, 0.7, SHEET[1])
    picture = ((230 - 170 * sheet) * light + random.normal(0, 2, SHEET)).clip(0, 255)
    return (255 - picture if number % 3 == 2 else picture).astype(np.uint8)


def _write_format(
    folder: Path, name: str, promised: Contract, images: np.ndarray, probabilities: np.ndarray
) -> dict[str, Any]:
    types = promised.formats[name]
    stored, expected = types.input.encode(images), types.output.encode(probabilities)
    kind = "-".join(filter(None, (types.input.dtype, types.input.layout)))
    return {
        "file": types.file,
        "input": _write_array(folder, f"inputs/{kind.lower()}.bin", stored),
        "output": {
            **_write_array(folder, f"expected/{name}.bin", expected),
            "scale": types.output.scale,
            "zero_point": types.output.zero_point,
        },
        "tolerance": formats()[name].tolerance,
    }


def _write_array(folder: Path, file: str, array: np.ndarray) -> dict[str, Any]:
    little_endian = array.dtype.newbyteorder("<")
    (folder / file).write_bytes(array.astype(little_endian).tobytes())
    return {
        "file": file,
        "sha256": sha256(folder / file),
        "dtype": array.dtype.name,
        "shape": list(array.shape),
    }
