"""The program with its real stages on a few images; each try is a forked process of its own.

    python -m tests.faults.real SOCKET REPORT

As `tests.faults.miniature`, with TensorFlow imported once; nothing is computed before a fork.
"""

import importlib
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

from pipeline.workflow import execute, graph
from tests.faults.miniature import Report, serve


def load(report: Report, name: str) -> SimpleNamespace:
    """The module of a stage, which tells when it begins."""
    module, stage = importlib.import_module(name), name.rpartition(".")[2]

    def run(context: object) -> object:
        report.at(stage)
        return module.run(context)

    return SimpleNamespace(run=run)


def prepare(report: Report) -> None:
    for name in graph.NAMES:
        importlib.import_module(f"pipeline.stages.{name}")
    execute.environment = SimpleNamespace(describe=dict)  # type: ignore[assignment]  # asks git
    execute.importlib = SimpleNamespace(  # type: ignore[assignment]
        import_module=lambda name: load(report, name)
    )


if __name__ == "__main__":
    _number, _path = sys.argv[1:]
    _report = Report(Path(_path))
    prepare(_report)
    serve(socket.socket(fileno=int(_number)), _report)
