"""What checkpoints and determinism cost in training.

    .venv/bin/python benchmarks/checkpointing.py [IMAGES [ROUNDS]]

The default config's network is trained on MNIST in turns with and without
`train.deterministic`, in this one process, two epochs at a time; the first, in which TensorFlow
builds its graphs, does not count. Each epoch ends with a checkpoint, whose time is that from the
end of the epoch to the beginning of the next. The figures are medians over the rounds.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras
import numpy as np

from pipeline.config.loading import load_config
from pipeline.config.schema import PipelineConfig
from pipeline.core.plugins import ROOT
from pipeline.data.images.types import LabelledImages
from pipeline.data.sources import idx
from pipeline.training.checkpoint import CheckpointFile
from pipeline.training.create_model import create_model
from pipeline.training.fit import Splits, Training, fit
from pipeline.training.precision import Execution, deterministic
from pipeline.training.resume import Resume

VALIDATION, EPOCHS = 5000, 2


class Clock(keras.callbacks.Callback):
    """Seconds of the last epoch, and of what came after it: the checkpoint."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._begin = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._end = time.perf_counter()
        self.epoch_seconds = self._end - self._begin

    def on_train_end(self, logs: Any = None) -> None:
        self.checkpoint_seconds = time.perf_counter() - self._end


def train(config: PipelineConfig, splits: Splits, is_deterministic: bool) -> Clock:
    clock, shape = Clock(), splits.train.image_shape
    with tempfile.TemporaryDirectory(dir=ROOT / "artifacts") as folder:
        resume = Resume(CheckpointFile(Path(folder)), "", "")
        with deterministic(is_deterministic):
            model = create_model(config, shape, splits.num_classes)
            training = Training(config, splits, Execution("float32", False, ""))
            fit(model, training, [clock], resume)
    return clock


def main(count: int = 10_000, rounds: int = 6) -> None:
    config = load_config(ROOT / "configs" / "mnist.yaml", [f"train.epochs={EPOCHS}"])
    whole = idx.load(idx.Options(source="idx")).train
    assert isinstance(whole, LabelledImages)
    parts = np.split(np.arange(VALIDATION + count), [VALIDATION])
    validation, training = (whole.select(part) for part in parts)
    splits = Splits(training, validation, 10)
    plain, same = [], []
    for _ in range(rounds):
        plain.append(train(config, splits, False))
        same.append(train(config, splits, True))
    epoch = statistics.median(clock.epoch_seconds for clock in plain)
    saving = statistics.median(clock.checkpoint_seconds for clock in (*plain, *same))
    ratios = [b.epoch_seconds / a.epoch_seconds for a, b in zip(plain, same, strict=True)]
    print(f"an epoch of {count:,} images    {epoch:.2f} s")
    print(f"its checkpoint            {saving * 1000:.0f} ms, {saving / epoch:.2%} of the epoch")
    print(
        f"train.deterministic       {statistics.median(ratios):.2f} times as long "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
