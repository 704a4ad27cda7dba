import json

import numpy as np
import pytest

from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.report.summary import summarize

SUMMARY = summarize(
    Predictions(
        np.array([0, 1, 1, 0]),
        np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]], np.float32),
    ),
    calibration_bins=2,
)


def test_the_headline_is_as_worked_by_hand():
    headline = SUMMARY.headline()
    assert headline["accuracy"] == 3 / 4
    # -(ln 0.9 + ln 0.8 + ln 0.3 + ln 0.6) / 4
    assert headline["loss"] == pytest.approx(0.51083, abs=1e-5)
    # One bin: mean confidence 0.75, accuracy 0.75.
    assert headline["expected_calibration_error"] == pytest.approx(0, abs=1e-7)
    # 2 (0.01 + 0.04 + 0.49 + 0.16) / 4
    assert headline["brier_score"] == pytest.approx(0.35)
    # Class 0: 2·2 / (2·2 + 1 + 0); class 1: 2·1 / (2·1 + 0 + 1).
    assert headline["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert SUMMARY.wrong == 1


def test_json_holds_plain_numbers_by_class_name():
    values = json.loads(json.dumps(SUMMARY.as_json(("cat", "dog")), allow_nan=False))
    assert values["confusion_matrix"] == [[2, 0], [1, 1]]
    assert values["classes"][0] == pytest.approx(
        {"name": "cat", "precision": 2 / 3, "recall": 1, "f1": 4 / 5, "support": 2}
    )
    assert values["weighted"]["recall"] == 3 / 4
    assert values["calibration_bins"][0]["count"] == 4
    assert set(values["calibration_bins"][0]["interval"]) == {"low", "high"}
