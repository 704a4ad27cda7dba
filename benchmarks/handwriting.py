"""How many pictures of handwriting an exported file reads, by `predict` alone.

    .venv/bin/python benchmarks/handwriting.py FOLDER [--run NAME] [--format NAME] [--half settings]

FOLDER holds sets, each as one of these, packed as .tar or not; what is not there is left out:

    dida/<digit>/*.jpg               any set in this form, whatever its name
    choice/digits/<digit>*.png
    orand_car_a/images/, digits.csv  file, number, digit, left, top, width, height; of cheques
    usps.train.gz                    a row a picture: the digit and 256 values of -1 to 1

Beside them stand MNIST's test images as PNGs, 500 of them drawn on paper and photographed, and the
8×8 digits of scikit-learn. Settings are chosen on one half of each set, by hash of the pictures'
names (`--half settings`); the other half is reported. No model is trained on any of it.
"""

import argparse
import csv
import gzip
import hashlib
import io
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from pipeline.core.plugins import ROOT
from pipeline.inference import pictures
from pipeline.store.store import ArtifactStore
from pipeline.workflow import runs

PHOTOGRAPHS = 500
SURE = 0.9


class Picture(NamedTuple):
    """A picture of a digit: its name in its set, what it is, and its pixels, grey or in colour."""

    name: str
    digit: str
    image: Image.Image


def sets(folder: Path) -> Iterator[tuple[str, Iterator[Picture]]]:
    yield "MNIST, test images", mnist()
    yield "MNIST, on paper, photographed", photographs()
    yield "scikit-learn, 8×8", scikit_learn()
    for place in sorted(folder.iterdir()):
        if place.name == "usps.train.gz":
            yield "usps", usps(place)
        elif place.is_dir():
            yield place.name, of_folder(place)


def mnist_test() -> Iterator[tuple[str, np.ndarray, str]]:
    folder = ROOT / "pipeline" / "datasets" / "mnist"
    images = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    pixels = np.frombuffer(images, np.uint8).reshape(-1, 28, 28)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        yield f"{number:05}", image, str(label)


def mnist() -> Iterator[Picture]:
    for name, image, digit in mnist_test():
        yield Picture(name, digit, Image.fromarray(image))


def photographs() -> Iterator[Picture]:
    """Drawn in a dark pen anywhere on a sheet, under a lamp, turned a little, as a JPEG."""
    random = np.random.default_rng(0)
    for name, image, digit in mnist_test():
        if int(name) == PHOTOGRAPHS:
            return
        yield Picture(name, digit, photograph(image, random))


def photograph(digit: np.ndarray, random: np.random.Generator) -> Image.Image:
    height, width = random.integers(200, 321, 2)
    side = int(random.integers(70, 141))
    top, left = random.integers(5, height - side - 5), random.integers(5, width - side - 5)
    ink = np.zeros((height, width, 1))
    scaled = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    ink[top : top + side, left : left + side, 0] = np.asarray(scaled) / 255
    paper = random.uniform(190, 245) * random.uniform(0.9, 1, 3)
    colours = paper * (1 - ink) + random.uniform(10, 90, 3) * ink
    y, x = np.mgrid[:height, :width]
    turn = random.uniform(0, 2 * np.pi)
    slope = (x / width - 0.5) * np.cos(turn) + (y / height - 0.5) * np.sin(turn)
    lamp = (y - random.uniform(0, height)) ** 2 + (x - random.uniform(0, width)) ** 2
    fall = 0.35 * np.clip(lamp / (random.uniform(0.6, 1.2) * max(height, width)) ** 2, 0, 1)
    light = (1 + random.uniform(0.2, 0.7) * slope) * (1 - fall)
    grain = random.normal(0, random.uniform(2, 6), (height, width))
    pixels = (colours * light[..., None] + grain[..., None]).clip(0, 255).astype(np.uint8)
    sheet = Image.fromarray(pixels)
    fill = tuple(pixels[2, 2].tolist())
    turned = sheet.rotate(random.uniform(-8, 8), Image.Resampling.BILINEAR, fillcolor=fill)
    stream = io.BytesIO()
    turned.save(stream, "JPEG", quality=80)
    return Image.open(stream)


def scikit_learn() -> Iterator[Picture]:
    digits = load_digits()
    for number, (image, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        pixels = np.minimum(image * 255 / 16, 255).astype(np.uint8)
        yield Picture(str(number), str(digit), Image.fromarray(pixels))


def usps(file: Path) -> Iterator[Picture]:
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    for number, line in enumerate(lines):
        digit, *values = map(float, line.split())
        pixels = np.uint8((np.array(values).reshape(16, 16) + 1) * 127.5 + 0.5)
        yield Picture(str(number), str(int(digit)), Image.fromarray(pixels))


def of_folder(folder: Path) -> Iterator[Picture]:
    if (folder / "digits.csv").exists():
        yield from boxes(folder)
        return
    flat = folder / "digits"
    for file in sorted((flat if flat.exists() else folder).rglob("*.*")):
        digit = file.name[0] if flat.exists() else file.parent.name
        yield Picture(file.name, digit, Image.open(file))


def boxes(folder: Path) -> Iterator[Picture]:
    with (folder / "digits.csv").open() as stream:
        for number, row in enumerate(csv.DictReader(stream)):
            left, top, width, height = (int(row[n]) for n in ("left", "top", "width", "height"))
            image = Image.open(folder / "images" / row["file"])
            right, bottom = min(left + width, image.width), min(top + height, image.height)
            box = max(left, 0), max(top, 0), right, bottom
            yield Picture(f"{row['file']}-{number}", row["digit"], image.crop(box))


def is_in(half: str, name: str) -> bool:
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 2 == (half == "report")


def unpacked(folder: Path, scratch: Path) -> Path:
    """The folder, with what is packed in it unpacked."""
    for place in folder.iterdir():
        if place.suffix == ".tar":
            with tarfile.open(place) as packed:
                packed.extractall(scratch, filter="data")
        else:
            (scratch / place.name).symlink_to(place.resolve())
    return scratch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", help="a run or the name of a config; else the latest run")
    parser.add_argument("--artifacts", type=Path, default=ROOT / "artifacts")
    parser.add_argument("--format", default=pictures.USUAL)
    parser.add_argument("--half", choices=("report", "settings"), default="report")
    parser.add_argument("--most", type=int, default=5000, help="pictures of a set")
    parser.add_argument("--prepare", choices=("auto", "none"), default="auto")
    options = parser.parse_args()
    run = runs.find_run(ArtifactStore(options.artifacts), options.run, "export")
    exported = run.intact_artifact("export")
    print(f"{'set':32}{'pictures':>9}{'right':>10}{'wrong, sure':>13}")
    with tempfile.TemporaryDirectory() as scratch:
        for name, found in sets(unpacked(options.folder, Path(scratch))):
            chosen = [each for each in found if is_in(options.half, each.name)][: options.most]
            with tempfile.TemporaryDirectory() as folder:
                files = [Path(folder) / f"{number}.png" for number in range(len(chosen))]
                for file, each in zip(files, chosen, strict=True):
                    each.image.save(file)
                answers = pictures.predict(
                    files, exported, options.format, preparing=options.prepare
                )
                told = [(answer.label, answer.probability) for answer in answers]
            wrong = [
                p for (label, p), each in zip(told, chosen, strict=True) if label != each.digit
            ]
            right, sure = len(chosen) - len(wrong), sum(p > SURE for p in wrong)
            count = len(chosen)
            print(f"{name:32}{count:9,}{right / count:10.2%}{sure / count:13.2%}", flush=True)


if __name__ == "__main__":
    main()
