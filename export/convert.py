"""Writes formats in child processes, at most two at a time; one that fails costs no other."""

import shutil
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from export.formats.format import ExportRequest, exporter, formats
from export.formats.tensors import contradiction
from pipeline.core import child_process
from pipeline.core.errors import ExportError

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
    converter = _Converter(function, timeout_seconds, cancelled)
    futures: dict[str, Future[Conversions]] = {}
    with ThreadPoolExecutor(CHILDREN) as pool:
        try:
            for group in _by_child(requests):
                future = pool.submit(converter.convert_group, group, dict(futures))
                futures |= {request.format_name: future for request in group}
            return dict(_collected(futures, on_done))
        except BaseException:
            cancelled.set()
            raise


def _collected(
    futures: Mapping[str, Future[Conversions]], on_done: Callable[[str], None]
) -> Iterator[tuple[str, Conversion]]:
    for name, future in futures.items():
        yield name, future.result()[name]
        on_done(name)


def _by_child(requests: Iterable[ExportRequest]) -> Iterable[list[ExportRequest]]:
    groups: dict[str, list[ExportRequest]] = {}
    for request in requests:
        groups.setdefault(formats()[request.format_name].child, []).append(request)
    return groups.values()


@dataclass(frozen=True)
class _Converter:
    function: str
    timeout_seconds: float
    cancelled: threading.Event

    def convert_group(
        self, group: Sequence[ExportRequest], earlier: Mapping[str, Future[Conversions]]
    ) -> Conversions:
        needs = {need for request in group for need in formats()[request.format_name].needs}
        done = {need: earlier[need].result()[need] for need in needs & earlier.keys()}
        found = [_blocked(request, done) for request in group]
        blocked = {conversion.format_name: conversion for conversion in found if conversion}
        ready = [request for request in group if request.format_name not in blocked]
        return blocked | (self._call(ready) if ready else {})

    def _call(self, requests: Sequence[ExportRequest]) -> Conversions:
        outcome = child_process.call(
            self.function,
            _REQUESTS.dump_python(list(requests), mode="json"),
            timeout_seconds=self.timeout_seconds,
            is_cancelled=self.cancelled.is_set,
        )
        done = [_CONVERSION.validate_python(value) for value in outcome.values]
        conversions = {conversion.format_name: conversion for conversion in done}
        unfinished = [r for r in requests if r.format_name not in conversions]
        if len(requests) == 1:
            return conversions | {r.format_name: _failed(r, outcome.failure) for r in unfinished}
        for request in unfinished:
            blocked = _blocked(request, conversions)
            conversions |= {request.format_name: blocked} if blocked else self._call([request])
        return conversions


def _blocked(request: ExportRequest, done: Conversions) -> Conversion | None:
    """What comes of a format if one that it needs failed."""
    for need in formats()[request.format_name].needs:
        if need in done and (why := done[need].failure):
            return Conversion(request.format_name, f"it is made from {need}, which failed: {why}")
    return None


def _failed(request: ExportRequest, why: str) -> Conversion:
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
        done[request.format_name] = made = _blocked(request, done) or _write(request)
        yield _CONVERSION.dump_python(made, mode="json")


def _write(request: ExportRequest) -> Conversion:
    module = exporter(request.format_name)
    try:
        module.write(request)
        interface = module.inspect(request.format_name, request.path)
        if wrong := contradiction(interface, request.promised):
            raise ExportError(wrong)
        release = module.runs_from(request.path)
    except ExportError as error:  # it says by itself what is wrong
        _discard(request.path)
        return Conversion(request.format_name, str(error))
    except Exception as error:  # a converter may raise anything, and others wait for this process
        traceback.print_exc()
        return _failed(request, f"raised {type(error).__name__}: {_first_line(error)}")
    return Conversion(request.format_name, runs_from=release)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")
