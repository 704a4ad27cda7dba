"""Training that gives the same bits each time, and on what it does so."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.python.framework import config as tensorflow_config

from pipeline.core.processes import cores
from pipeline.training.precision import find_device


@contextmanager
def deterministic(is_wanted: bool) -> Iterator[None]:
    """While the block runs, TensorFlow's operations are deterministic if that is wanted.

    TensorFlow has no public way to end it, and later stages need not pay for it.
    """
    if not is_wanted:
        yield
        return
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        tensorflow_config.disable_op_determinism()


def machine() -> str:
    """What the bits of a deterministic training depend on, beside the libraries."""
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return f"{find_device().name} with {threads or cores()} threads"
