"""What a child process finds out: which libraries load, and what TensorFlow sees.

The child is `python -m pipeline.doctor.probe parent module ...`, the first a process id. It
writes lines of JSON; a library that crashed the process is the one last begun.
"""

import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.child_process import end_with_parent
from pipeline.core.text import first_line
from pipeline.doctor.gpu import failing_libraries


def answers(modules: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Lines that say which module is about to be loaded, and then how that ended."""
    for module in modules:
        yield {"begins": module}
        yield {"module": module, "failure": _failure(module)}
    if "tensorflow" in sys.modules:
        yield {"begins": "tensorflow"}
        yield {"sees": _sees()}


def _failure(module: str) -> str:
    try:
        importlib.import_module(module)
    except BaseException as error:  # any code may run in an import, and call sys.exit
        return f"{type(error).__name__}: {first_line(error)}"
    return ""


def _sees() -> dict[str, Any]:
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    gpus = [_described(detail) for detail in details]
    is_cuda_build = bool(build.get("is_cuda_build"))
    return {
        "version": tf.__version__,
        "gpus": gpus,
        "is_cuda_build": is_cuda_build,
        "failing_libraries": failing_libraries() if is_cuda_build and not gpus else {},
        **_keras_settings(),
    }


def _described(detail: dict[str, Any]) -> str:
    major, minor = detail.get("compute_capability") or ("?", "?")
    return f"{detail.get('device_name', 'GPU')} (compute capability {major}.{minor})"


def _keras_settings() -> dict[str, str]:
    if "keras" not in sys.modules:
        return {}
    import keras

    return {
        "image_data_format": keras.config.image_data_format(),
        "floatx": keras.config.floatx(),
        "keras_home": os.environ.get("KERAS_HOME") or str(Path.home() / ".keras"),
    }


def _serve(parent: int, modules: Sequence[str]) -> None:
    """Libraries print to standard output, so it is sent to standard error instead."""
    end_with_parent(parent)
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as lines:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for answer in answers(modules):
            lines.write(json.dumps(answer) + "\n")
            lines.flush()
    os._exit(0)  # without the second or two that TensorFlow takes to leave


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2:])
