"""All that `doctor` looks at, in the order in which one thing rests on another."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.core.command_hints import run_pipeline
from pipeline.core.progress import Progress
from pipeline.doctor.disk import examine_abilities, examine_folder, examine_space, examine_temporary
from pipeline.doctor.finding import Finding
from pipeline.doctor.gpu import examine_graphics
from pipeline.doctor.hardware import examine_limits, examine_memory, examine_processor
from pipeline.doctor.imports import MODULES, examine_imports, examine_keras_settings, load
from pipeline.doctor.packages import (
    examine_copies,
    examine_dependencies,
    examine_others,
    examine_pins,
    installed,
    read_others,
    read_pins,
)
from pipeline.doctor.python import examine_python, examine_variables
from pipeline.doctor.self_test import examine_pipeline


def examine(artifacts: Path, progress: Progress, *, with_self_test: bool) -> Iterator[Finding]:
    """Each finding as soon as it is known."""
    failed = False
    for finding in _all_but_the_self_test(artifacts, progress):
        failed = failed or finding.level == "fail"
        yield finding
    if with_self_test and failed:
        again = run_pipeline("doctor")
        yield Finding("self-test", "warn", "left out: it would fail as something above did", again)
    elif with_self_test:
        yield from examine_pipeline(progress)


def _all_but_the_self_test(artifacts: Path, progress: Progress) -> Iterator[Finding]:
    yield from examine_python()
    yield from examine_variables()
    yield from _libraries_and_devices(progress)
    yield from examine_processor()
    yield from examine_memory()
    yield from examine_limits()
    yield from examine_temporary()
    folder = [*examine_folder(artifacts)]
    yield from folder
    yield from examine_space(artifacts)
    if all(finding.level == "ok" for finding in folder):
        yield from examine_abilities(artifacts)


def _libraries_and_devices(progress: Progress) -> Iterator[Finding]:
    pins, there = read_pins(), installed()
    yield from examine_pins(pins)
    yield from examine_others(read_others())
    yield from examine_copies()
    yield from examine_dependencies(pins)
    found = [pin for pin in pins if pin.found_in(there)]
    modules = [MODULES[pin.name] for pin in found if pin.name in MODULES]
    with progress.task("libraries", len(modules)) as task:
        done = 0

        def loading(module: str) -> None:
            nonlocal done
            now = modules.index(module) if module in modules else 0
            if now > done:  # TensorFlow comes up once more, for its devices
                task.advance(now - done, module)
                done = now

        loaded = load(modules, loading)
    yield from examine_imports(found, loaded)
    yield from examine_keras_settings(loaded.sees)
    yield from examine_graphics(loaded.sees, loaded.log)
