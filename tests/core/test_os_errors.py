"""What libraries say of a full disk or memory becomes one line with a remedy."""

import re

import numpy as np
import pytest
import tensorflow as tf

from pipeline.core.errors import DataError, StageError
from pipeline.core.os_errors import library_trouble_is_a_stage_error

FULL = "/dev/full"


def write_records():
    with tf.io.TFRecordWriter(FULL) as writer:
        writer.write(bytes(1 << 22))


def write_tensorflow_file():
    tf.io.write_file(FULL, "x" * (1 << 20))


def claim_by_numpy():
    np.empty((1 << 59,), np.float64)


def claim_by_tensorflow():
    said = "Graph execution error:\n\nOOM when allocating tensor with shape[9]\n [[{{node x}}]]"
    raise tf.errors.ResourceExhaustedError(None, None, said)


def claim_by_python():
    bytearray(1 << 62)


def start_thread():
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (write_records, "a file could not be written"),
        (write_tensorflow_file, "a file could not be written"),
        (claim_by_numpy, "too little memory"),
        (claim_by_tensorflow, r"too little memory \(OOM when allocating tensor with shape\[9\]\)"),
        (claim_by_python, "too little memory"),
        (start_thread, "too little memory"),
    ],
)
def test_trouble_of_a_library_is_one_line(act, said):
    with pytest.raises(StageError) as caught, library_trouble_is_a_stage_error("train"):
        act()
    (line,) = str(caught.value).splitlines()
    assert re.match(
        rf"train: {said}( \(.+\))?\. \w.*; then (the same command goes on|run again)$", line
    ), line


def fail():
    raise ValueError("no such file or memory")


def refuse():
    raise DataError("too little memory")


@pytest.mark.parametrize(("act", "kind"), [(fail, ValueError), (refuse, DataError)])
def test_all_else_stays_as_it_is(act, kind):
    with pytest.raises(kind), library_trouble_is_a_stage_error("train"):
        act()
