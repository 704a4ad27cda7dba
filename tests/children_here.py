"""Has this process do what children do: most of a child's seconds go into loading libraries."""

import importlib
import json
import threading
from contextlib import contextmanager
from unittest.mock import patch

from export import convert
from export.verification import audit, measure
from pipeline.core import child_process

FUNCTIONS = (audit.AUDIT, measure.MEASURE, convert.WRITE)


@contextmanager
def children_here():
    """Within it, files are written, read and asked in this process, one after another.

    A test of what a child's crash, hang or environment comes to has no use for it.
    """
    in_child, turn = child_process.call, threading.Lock()

    def call(function, argument, **limits):
        if function not in FUNCTIONS or _sets_threads(function, argument):
            return in_child(function, argument, **limits)
        module, _, name = function.partition(":")
        with turn:
            told = getattr(importlib.import_module(module), name)(_sent(argument))
            return child_process.Outcome(tuple(map(_sent, told)))

    with patch.object(child_process, "call", call):
        yield


def _sets_threads(function, argument):
    """TensorFlow has its threads for a whole process, and only until it first works."""
    return function == measure.MEASURE and argument["format_name"] == "saved_model"


def _sent(value):
    return json.loads(json.dumps(value))
