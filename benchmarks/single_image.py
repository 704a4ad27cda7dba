"""How long one image takes: in Keras, by `predict` and by a call, and in the exported files.

    .venv/bin/python benchmarks/single_image.py artifacts/runs/<run> [--trust]

`--trust` loads a model that was brought with `--trust`, and so may run its code.

Every way is timed in this one process, in turns, with one thread each, so that what else the
machine does falls on all alike. The table gives the median and how many times faster than
`model.predict` that is.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from export.formats.format import exporter, formats
from export.keras_files.saved_model_writer import load_float32

FORMATS = ("tflite_float32", "onnx")
ROUNDS, RUNS_A_ROUND = 20, {"model.predict": 5, "model(image)": 20}
DEFAULT_RUNS, WARM_UP = 200, 20


def main(run: Path, *, is_trusted: bool) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = load_float32(run / "train" / "model.keras", is_trusted=is_trusted)
    image = np.random.default_rng(0).uniform(0, 255, (1, *model.input_shape[1:])).astype("float32")
    ways = {
        "model.predict": lambda: model.predict(image, verbose=0),
        "model(image)": lambda: np.asarray(model(image, training=False)),
        **{name: _exported(run, name, image) for name in FORMATS},
    }
    _show(_medians_ms(ways))


def _exported(run: Path, name: str, image: np.ndarray) -> Callable[[], object]:
    predictor = exporter(name).load(run / "export" / formats()[name].path, 1)
    prepared = predictor.prepare(image)
    return lambda: predictor.answer(prepared)


def _medians_ms(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for call in ways.values():
        for _ in range(WARM_UP):
            call()
    for _ in range(ROUNDS):
        for name, call in ways.items():
            for _ in range(RUNS_A_ROUND.get(name, DEFAULT_RUNS)):
                start = time.perf_counter()
                call()
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def _show(medians: dict[str, float]) -> None:
    slowest = medians["model.predict"]
    for name, median in medians.items():
        print(f"{name:<16} {median:9.3f} ms  {slowest / median:7.1f} times as fast")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--trust", action="store_true")
    arguments = parser.parse_args()
    main(arguments.run, is_trusted=arguments.trust)
