"""Decodes image files on all cores into one scratch file, in bounded memory."""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipeline.core import child_process
from pipeline.core.errors import DataError, StageError
from pipeline.core.processes import cores
from pipeline.core.progress import Progress
from pipeline.core.text import printable
from pipeline.data.images.decoding import Decoded, Decoding, RefusedFileError
from pipeline.data.images.read_file import read
from pipeline.data.images.types import DrawnTest, ImageFiles, LabelledImages, SourceData, Split

FEW_FILES = 1000
TASK_BYTES = 2**20
TASK_FILES = 64
TASKS_AHEAD = 4

Result = Decoded | RefusedFileError
Task = tuple[str, tuple[str, ...], Decoding]


@dataclass(frozen=True)
class Refused:
    """A file that was left out.

    Attributes:
        split: which split it would have been in.
        name: its path from the data folder on, printable.
        label: index of its class.
        kind: which of the checks it falls under.
        reason: why, in words that go on after the file's name.
    """

    split: str
    name: str
    label: int
    kind: str
    reason: str


@dataclass(frozen=True)
class Gathered:
    """What a source gave, all of it decoded.

    Attributes:
        splits: `train`, and `test` and `validation` where the source has its own.
        classes: names, in label order.
        origin: where the images came from, for a person.
        refused: files that were left out.
        decoding: how files became pixels; None where there were no files.
        drawn_test: how the test split is to be drawn, where the source has none.
    """

    splits: Mapping[str, Split]
    classes: tuple[str, ...]
    origin: str
    refused: tuple[Refused, ...] = ()
    decoding: Decoding | None = None
    drawn_test: DrawnTest | None = None


@dataclass(frozen=True)
class SpooledImages:
    """Images in a scratch file, read when they are asked for.

    Attributes:
        path: raw pixels, uint8, one image after the other.
        image_shape: height, width and channels.
        labels: int64 (count,), each an index into the classes.
        positions: int64 (count,), the image's place in `path`.
        names: of the files that the images came from, printable.
        file_sizes: int32 (count, 2), height and width that each file had.
    """

    path: Path
    image_shape: tuple[int, ...]
    labels: np.ndarray
    positions: np.ndarray
    names: np.ndarray
    file_sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: np.ndarray) -> "SpooledImages":
        parts = (self.labels, self.positions, self.names, self.file_sizes)
        return SpooledImages(self.path, self.image_shape, *(part[indices] for part in parts))

    def batches(self, size: int) -> Iterator[LabelledImages]:
        with self.path.open("rb", buffering=0) as file:
            for start in range(0, len(self), size):
                part = slice(start, start + size)
                yield LabelledImages(self._read(file, self.positions[part]), self.labels[part])

    def name(self, index: int) -> str:
        return str(self.names[index])

    def _read(self, file: FileIO, positions: np.ndarray) -> np.ndarray:
        """Images at `positions`: uint8 (count, height, width, channels)."""
        images = np.empty((len(positions), *self.image_shape), np.uint8)
        size = int(np.prod(self.image_shape))
        for image, position in zip(images, positions.tolist(), strict=True):
            file.seek(position * size)
            if file.readinto(memoryview(image).cast("B")) != size:
                raise StageError(f"{self.path}: has changed while it was read. Run again.")
        return images


def gather(source: SourceData, scratch: Path, progress: Progress) -> Gathered:
    """Decodes what is still in files; images that are in memory stay there.

    Args:
        source: what the source read.
        scratch: a folder for the decoded pixels.
        progress: where to show it.

    Raises:
        DataError: images differ in size and no size is given, or all of a split are refused.
        StageError: a decoding process was killed.
    """
    parts = {"train": source.train, "validation": source.validation, "test": source.test}
    splits: dict[str, Split] = {}
    refused: list[Refused] = []
    for name, part in parts.items():
        if isinstance(part, ImageFiles):
            spool = _Spool(name, scratch / f"{name}.pixels", part)
            with progress.task(f"{name} files", len(part)) as task:
                splits[name] = spool.fill(task.advance)
            refused += spool.refused
        elif isinstance(part, LabelledImages):
            splits[name] = part
    decoding = source.train.decoding if isinstance(source.train, ImageFiles) else None
    drawn_test = source.test if isinstance(source.test, DrawnTest) else None
    return Gathered(splits, source.classes, source.origin, tuple(refused), decoding, drawn_test)


class _Spool:
    """Writes what the files of one split decode to."""

    def __init__(self, split: str, path: Path, files: ImageFiles) -> None:
        self._split, self._path, self._files = split, path, files
        self._kept: list[int] = []
        self._file_sizes: list[tuple[int, int]] = []
        self._shape: tuple[int, ...] = ()
        self.refused: list[Refused] = []

    def fill(self, advance: Callable[[int], None]) -> SpooledImages:
        with self._path.open("wb") as file, _decoder(self._files) as decoded:
            for index, result in enumerate(decoded):
                self._add(file, index, result)
                advance(1)
        if self.refused and not self._kept:
            first = self.refused[0]
            raise DataError(
                f"{self._where(first.name)}: {first.reason}. All {len(self.refused):,} pictures of "
                f"the {self._split} split are refused; correct them."
            )
        kept = np.array(self._kept, np.int64)
        return SpooledImages(
            self._path,
            self._shape,
            self._files.labels[kept],
            np.arange(len(kept)),
            np.array([printable(self._files.names[index]) for index in self._kept], object),
            np.array(self._file_sizes, np.int32).reshape(-1, 2),
        )

    def _add(self, file: BinaryIO, index: int, result: Result) -> None:
        name, label = printable(self._files.names[index]), int(self._files.labels[index])
        if isinstance(result, RefusedFileError):
            self.refused.append(Refused(self._split, name, label, result.kind, result.reason))
            return
        self._shape = self._shape or result.pixels.shape
        if result.pixels.shape != self._shape:
            first, found = (
                f"{shape[1]}×{shape[0]}" for shape in (self._shape, result.pixels.shape)
            )
            other = printable(self._files.names[self._kept[0]])
            raise DataError(
                f"{self._where(name)}: is {found} pixels, but {other} is {first}. Set "
                "data.image_size, such as [64, 64] for height and width."
            )
        file.write(result.pixels.data)
        self._kept.append(index)
        self._file_sizes.append(result.file_size)

    def _where(self, name: str) -> str:
        return f"{printable(self._files.folder)}/{name}"


@contextmanager
def _decoder(files: ImageFiles) -> Iterator[Iterator[Result]]:
    """The results for all files in order; many are decoded in processes of their own."""
    size = _files_at_once(files.decoding)
    tasks = (
        (files.folder, files.names[at : at + size], files.decoding)
        for at in range(0, len(files), size)
    )
    if len(files) <= FEW_FILES:
        yield (result for task in tasks for result in decode_all(*task))
        return
    pool = ProcessPoolExecutor(
        cores(),
        mp_context=get_context("spawn"),
        initializer=_begin,
        initargs=(os.getpid(),),
    )
    try:
        yield _in_order(pool, tasks)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(parent: int) -> None:
    """In a decoding process: Ctrl-C is for its parent, with which it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child_process.end_with_parent(parent)


def _in_order(pool: ProcessPoolExecutor, tasks: Iterator[Task]) -> Iterator[Result]:
    """Keeps a few tasks ahead of the reader, so that results cannot pile up."""
    running: deque[tuple[str, Future[list[Result]]]] = deque()
    try:
        for task in tasks:
            running.append((task[1][0], pool.submit(decode_all, *task)))
            if len(running) > TASKS_AHEAD:
                yield from running[0][1].result()
                running.popleft()
        while running:
            yield from running[0][1].result()
            running.popleft()
    except BrokenProcessPool as error:
        near = f" near {printable(running[0][0])}" if running else ""
        raise StageError(
            f"ingest: a process that decodes pictures{near} was killed, perhaps for want of "
            "memory. Close other programs and run again."
        ) from error


def decode_all(folder: str, names: tuple[str, ...], decoding: Decoding) -> list[Result]:
    results: list[Result] = []
    for name in names:
        try:
            results.append(read(folder, name, decoding))
        except RefusedFileError as refusal:
            results.append(refusal)
        except MemoryError as error:
            raise StageError(
                f"{printable(name)}: too little memory to decode it. Close other programs, or "
                "scale the picture down."
            ) from error
    return results


def _files_at_once(decoding: Decoding) -> int:
    """As many files as decode to about `TASK_BYTES`; of files of any size, one."""
    if decoding.image_size is None:
        return 1
    return max(1, min(TASK_FILES, TASK_BYTES // (3 * int(np.prod(decoding.image_size)))))
