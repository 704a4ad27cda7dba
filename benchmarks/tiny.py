"""Accuracy against size of TFLite files, one row a run.

    .venv/bin/python benchmarks/tiny.py artifacts/runs/<run> [artifacts/runs/<run> ...]

Nothing is trained or asked: the runs must have come as far as verification, as
`run_pipeline.py -c configs/tiny.yaml` does. Weight bytes are those of kernels and biases in
`tflite_int8`; the rest of the file is its graph, scales, and the contract. Validation is what the
network was chosen by, in float32; test is what each file answered. The last row is the mean.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from export.formats import verdict
from export.formats.format import formats
from export.tflite import inspection

ITEM_BYTES = {"int4": 0.5, "int8": 1, "int32": 4, "float32": 4}


@dataclass(frozen=True)
class Row:
    """Sizes in bytes, accuracies in percent."""

    name: str
    parameters: int
    weight_bytes: int
    int8_bytes: int
    float32_bytes: int
    validation: float
    float32_test: float
    int8_test: float


def main(runs: list[Path]) -> None:
    rows = [_row(run) for run in runs]
    print(f"{'run':<24}  parameters  weights     int8  float32  validation  float32    int8")
    for row in rows:
        print(
            f"{row.name:<24} {row.parameters:>11,} {row.weight_bytes:>8,} {row.int8_bytes:>8,} "
            f"{row.float32_bytes:>8,} {row.validation:>10.2f}% {row.float32_test:>7.2f}% "
            f"{row.int8_test:>6.2f}%"
        )
    if len(rows) > 1:
        tests = [row.int8_test for row in rows]
        print(f"int8 on test images: {mean(tests):.2f} ± {stdev(tests):.2f} %")


def _row(run: Path) -> Row:
    found = {row.name: row for row in verdict.read(run / "verify" / "verdict.json").formats}
    int8, float32 = found["tflite_int8"], found["tflite_float32"]
    model = json.loads((run / "build" / "model.json").read_text("utf-8"))
    trained = json.loads((run / "train" / "manifest.json").read_text("utf-8"))["metrics"]
    facts = inspection.inspect(run / "export" / formats()["tflite_int8"].path)
    weights = sum(w.elements * ITEM_BYTES[w.dtype] for w in facts.weights)
    return Row(
        run.name,
        model["parameters"],
        round(weights),
        int8.size_bytes or 0,
        float32.size_bytes or 0,
        100 * trained["val_accuracy"],
        100 * (float32.accuracy or 0),
        100 * (int8.accuracy or 0),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path, nargs="+")
    main(parser.parse_args().runs)
