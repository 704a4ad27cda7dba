"""Damages files on disk, one fault at a time, and puts them right again."""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import DamagedArtifactError
from pipeline.store.artifact import open_artifact
from pipeline.store.store import ArtifactStore

BLOCK = 512


@dataclass
class Tally:
    """How many faults were made, and how many were noticed by the file's sizes alone."""

    made: int = 0
    by_size: int = 0


def flip(path: Path, place: int, bit: int) -> None:
    """Turns one bit of a file over, in place; a second time puts it right."""
    with path.open("r+b", buffering=0) as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1 << bit]))


def truncations(path: Path, every: int = BLOCK) -> Iterator[str]:
    """Cuts a file shorter and shorter, down to nothing; whole again at the end."""
    content = path.read_bytes()
    for length in sorted(set(range(0, len(content), every)) | {len(content) - 1}, reverse=True):
        os.truncate(path, length)
        yield f"cut to {length} bytes"
    path.write_bytes(content)


def flips(path: Path, count: int, chance: random.Random) -> Iterator[str]:
    """Turns over single bits at random places, one after the other."""
    size = path.stat().st_size
    for _ in range(count):
        place, bit = chance.randrange(size), chance.randrange(8)
        flip(path, place, bit)
        yield f"bit {bit} of byte {place}"
        flip(path, place, bit)


def absence(path: Path) -> Iterator[str]:
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside)
    yield "gone"
    aside.rename(path)


def refuse_all(root: Path, damages: Callable[[Path], Iterator[str]], tally: Tally) -> None:
    """Makes every damage to every file of every artifact; each must be refused by its name."""
    store = ArtifactStore(root)
    for folder in sorted(root.glob("[!.]*/*/manifest.json")):
        artifact = open_artifact(folder.parent)
        stage, key = artifact.stage, artifact.key
        for path in sorted(filter(Path.is_file, artifact.path.rglob("*"))):
            if path.stat().st_size == 0:
                continue
            content = path.read_bytes()
            for what in damages(path):
                assert not path.exists() or path.read_bytes() != content, "it did not fire"
                tally.made += 1
                tally.by_size += _is_noticed_by_size(store, stage, key)
                assert _refusal(store, stage, key).startswith(str(path)), f"{path} {what}"
        assert store.intact(stage, key) is not None


def _refusal(store: ArtifactStore, stage: str, key: str) -> str:
    try:
        store.intact(stage, key)
    except DamagedArtifactError as error:
        return str(error)
    return "accepted"


def _is_noticed_by_size(store: ArtifactStore, stage: str, key: str) -> bool:
    try:
        store.find(stage, key)
    except DamagedArtifactError:
        return True
    return False
