"""Writes formats in child processes, at most two at a time; one that fails costs no other."""

import shutil
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from export.formats.format import ExportRequest, exporter, formats
from export.formats.tensors import contradiction
from pipeline.core import child_process
from pipeline.core.errors import ExportError
from pipeline.core.text import first_line

CHILDREN = 2
WRITE = "export.convert:write_formats"


@dataclass(frozen=True)
class Conversion:
    """What came of one format.

    Attributes:
        format_name: the format.
        failure: why there is no file; empty if there is.
        runs_from: the first release of a runtime that runs the file, if it says so.
    """

    format_name: str
    failure: str = ""
    runs_from: str | None = None


Conversions = dict[str, Conversion]
_CONVERSION = TypeAdapter(Conversion)
_REQUESTS = TypeAdapter(list[ExportRequest])


def convert(
    requests: Sequence[ExportRequest],
    timeout_seconds: float,
    on_done: Callable[[str], None] = lambda name: None,
    function: str = WRITE,
) -> Conversions:
    """Writes formats, by name; one that needs others stands after them in `requests`.

    Formats that share a child are written by one process. If it dies, each format that it had
    not finished gets a process of its own.

    Args:
        requests: one a format.
        timeout_seconds: what a process may take.
        on_done: told the name of each format that is settled.
        function: what a process calls with its requests; it yields a conversion for each.
    """
    cancelled = threading.Event()
    groups: dict[str, list[ExportRequest]] = {}
    for request in requests:
        groups.setdefault(formats()[request.format_name].child, []).append(request)

    def write(ready: Sequence[ExportRequest]) -> Conversions:
        outcome = child_process.call(
            function,
            _REQUESTS.dump_python(list(ready), mode="json"),
            timeout_seconds=timeout_seconds,
            is_cancelled=cancelled.is_set,
        )
        done = [_CONVERSION.validate_python(value) for value in outcome.values]
        conversions = {conversion.format_name: conversion for conversion in done}
        for request in ready:
            if request.format_name not in conversions:
                if len(ready) == 1:
                    return conversions | {request.format_name: _failure(request, outcome.failure)}
                blocked = _missing_need(request, conversions)
                conversions |= {request.format_name: blocked} if blocked else write([request])
        return conversions

    def write_group(
        group: Sequence[ExportRequest], earlier: Mapping[str, Future[Conversions]]
    ) -> Conversions:
        needs = {need for request in group for need in formats()[request.format_name].needs}
        done = {need: earlier[need].result()[need] for need in needs & earlier.keys()}
        blocked = {r.format_name: found for r in group if (found := _missing_need(r, done))}
        ready = [request for request in group if request.format_name not in blocked]
        return blocked | (write(ready) if ready else {})

    futures: dict[str, Future[Conversions]] = {}
    conversions: Conversions = {}
    with ThreadPoolExecutor(CHILDREN) as pool:
        try:
            for group in groups.values():
                future = pool.submit(write_group, group, dict(futures))
                futures |= {request.format_name: future for request in group}
            for name, future in futures.items():
                conversions[name] = future.result()[name]
                on_done(name)
        except BaseException:
            cancelled.set()
            raise
    return conversions


def _missing_need(request: ExportRequest, done: Conversions) -> Conversion | None:
    """What comes of a format if one that it needs failed."""
    for need in formats()[request.format_name].needs:
        if need in done and (why := done[need].failure):
            return Conversion(request.format_name, f"it is made from {need}, which failed: {why}")
    return None


def _failure(request: ExportRequest, why: str) -> Conversion:
    _discard(request.path)
    return Conversion(request.format_name, f"the converter {why or 'gave no answer'}")


def _discard(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def write_formats(requests: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The child's side: writes each format and reads it back."""
    done: Conversions = {}
    for request in _REQUESTS.validate_python(requests):
        done[request.format_name] = made = _missing_need(request, done) or _write(request)
        yield _CONVERSION.dump_python(made, mode="json")


def _write(request: ExportRequest) -> Conversion:
    module = exporter(request.format_name)
    try:
        module.write(request)
        found = module.inspect(request.path)
        if wrong := contradiction(found.interface, request.promised):
            raise ExportError(wrong)
    except ExportError as error:  # it says by itself what is wrong
        _discard(request.path)
        return Conversion(request.format_name, str(error))
    except Exception as error:  # a converter may raise anything, and others wait for this process
        traceback.print_exc()
        return _failure(request, f"raised {type(error).__name__}: {first_line(error)}")
    return Conversion(request.format_name, runs_from=found.runs_from)
