"""Peak memory of ingest, and of reading batches for training, on a folder larger than memory.

    .venv/bin/python benchmarks/large_folder.py FOLDER [COUNT]

Generates COUNT (200,000 if not said) colour JPEGs of 64×64 pixels in ten classes in FOLDER, unless
they are there, ingests them into artifacts in FOLDER, and then draws one epoch of augmented
batches from the shards. Memory is the proportional set size of the process and of all that it
started, together, sampled every 0.2 s.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

CLASSES, CHUNK, SIDE = 10, 1000, 64
SAMPLE_SECONDS = 0.2


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
    photos, artifacts = folder / "photos", folder / "artifacts"
    if not photos.exists():
        generate(folder / "photos.part", count)
        (folder / "photos.part").rename(photos)
    count = sum(1 for _ in photos.rglob("*.jpg"))
    ingest = [str(ROOT / "run_pipeline.py"), "run", "--to", "ingest", "--force", "ingest"]
    ingest += ["-c", str(ROOT / "configs" / "photos.yaml"), "--artifacts", str(artifacts)]
    ingest += [f"data.folder={photos}"]
    measure("ingest", ingest, count)
    artifact = max((artifacts / "ingest").iterdir(), key=os.path.getmtime)
    measure("one epoch of batches", [__file__, "--draw", str(artifact)], count)


def measure(name: str, command: list[str], count: int) -> None:
    start, peak = time.monotonic(), 0
    with subprocess.Popen([sys.executable, *command]) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(proportional_bytes, family(process.pid))))
            time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        sys.exit(f"{name}: exit code {process.returncode}")
    seconds = time.monotonic() - start
    speed = f"{count / seconds:,.0f} images a second"
    print(f"{name:<22} {seconds:6.0f} s  {speed:>24}  peak {peak / 1e9:.2f} GB", flush=True)


def family(process: int) -> list[int]:
    """The process and all that it started, directly or not."""
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8")
    except OSError:
        return []
    return [process, *(each for child in text.split() for each in family(int(child)))]


def proportional_bytes(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def generate(folder: Path, count: int) -> None:
    each = count // CLASSES
    parts = [
        (folder / f"class_{label}", label, start, min(start + CHUNK, each))
        for label in range(CLASSES)
        for start in range(0, each, CHUNK)
    ]
    with ProcessPoolExecutor() as pool:
        list(pool.map(_generate, *zip(*parts, strict=True)))


def _generate(folder: Path, label: int, first: int, last: int) -> None:
    """Smooth random colours, brighter in one channel by the class."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng([label, first])
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, last):
        coarse = random.integers(0, 200, (6, 6, 3))
        coarse[..., label % 3] += 5 * label
        image = Image.fromarray(coarse.astype(np.uint8)).resize((SIDE, SIDE))
        image.save(folder / f"{number:06d}.jpg", quality=85)


def draw(artifact: Path) -> None:
    """Reads each batch of an epoch, as `fit` would, and says nothing."""
    from pipeline.config.schema import AugmentationSection
    from pipeline.data.batches import BatchPlan, training_batches
    from pipeline.data.tfrecords import open_split

    section = AugmentationSection(rotation_degrees=10, horizontal_flip_probability=0.5)
    plan = BatchPlan(CLASSES, batch_size=128, seed=0, epochs=1)
    for _ in training_batches(open_split(artifact, "train"), section, plan):
        pass


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    if sys.argv[1] == "--draw":
        draw(Path(sys.argv[2]))
    else:
        main()
