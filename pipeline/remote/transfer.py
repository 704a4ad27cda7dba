"""What pushing and pulling share: how it went, and bytes that must be those of a manifest."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.core.errors import ConfigError, DamagedArtifactError
from pipeline.core.text import first_of
from pipeline.remote.select import Chosen
from pipeline.store.artifact import Artifact


@dataclass(frozen=True)
class Outcome:
    """How it went.

    Attributes:
        artifacts: how many were copied, in full or what was missing of them.
        size_bytes: how much of their files was.
        passed_over: how many artifacts were there already, every file of them whole.
        runs: how many runs were copied.
        runs_passed_over: how many were there already.
    """

    artifacts: int = 0
    size_bytes: int = 0
    passed_over: int = 0
    runs: int = 0
    runs_passed_over: int = 0


def checked(
    chunks: Iterable[bytes], entry: dict[str, Any], place: str, remedy: str
) -> Iterator[bytes]:
    """The bytes of a file, all of which are out before its digest is compared.

    Raises:
        DamagedArtifactError: it is not the file that the manifest describes.
    """
    total, left = hashlib.sha256(), entry["size_bytes"]
    for chunk in chunks:
        total.update(chunk)
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left or total.hexdigest() != entry["sha256"]:
        raise DamagedArtifactError(f"{place}: is not the file that was published; {remedy}")


def files_in(chosen: Chosen) -> int:
    return sum(len(artifact.manifest["files"]) for artifact in chosen.artifacts)


def is_other(artifact: Artifact, there: Artifact | None) -> bool:
    """Whether an artifact of this key is there, and of other content."""
    return there is not None and there.identity != artifact.identity


def refuse_others(others: Iterable[Artifact], where: str) -> None:
    """Refuses to put artifacts in the place of others that have their keys.

    Raises:
        ConfigError: there are some.
    """
    if names := [f"{artifact.stage}/{artifact.key}" for artifact in others]:
        raise ConfigError(
            f"{where}: {first_of(names, 1)} is there with other content, made by the same settings "
            "another time; nothing was copied. --replace puts this one in its place"
        )
