"""What an artifacts folder holds, and what a remote folder does."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.core.command_hints import PROGRAM, mends
from pipeline.core.errors import DamagedArtifactError
from pipeline.core.sealed_json import unsealed
from pipeline.maintenance.integrity import RUN
from pipeline.remote.remote_folder import RemoteFolder
from pipeline.remote.select import Catalog
from pipeline.store.artifact import KEY, MANIFEST, Artifact, is_manifest
from pipeline.store.folders import entries
from pipeline.store.store import ArtifactStore
from pipeline.workflow import graph
from pipeline.workflow.runs import RECORD, Run, is_record, list_runs, open_run

LONGEST_NAME_BYTES = 255
PUSH_AGAIN = "push it again from where it is whole"
DIGITS = frozenset("0123456789abcdef")


class LocalCatalog(Catalog):
    """That of the artifacts folder; each artifact is read in full before it counts."""

    remedy = "run its config again, which takes what is there"
    lacks_runs = f"`{PROGRAM} run` makes one"

    def __init__(self, store: ArtifactStore) -> None:
        super().__init__(str(store.root))
        self._store = store

    def _read(self, stage: str, key: str) -> Artifact | None:
        try:
            return self._store.intact(stage, key)
        except DamagedArtifactError as error:
            raise DamagedArtifactError(f"{error}; {mends(self._store.root)}") from error

    def uses(self) -> Iterator[tuple[str, str]]:
        for stage in graph.NAMES:
            for path in entries(self._store.root / stage):
                if KEY.fullmatch(path.name):
                    yield stage, path.name

    def runs(self) -> Sequence[Run]:
        return list_runs(self._store)

    def damaged_runs(self) -> list[str]:
        paths = entries(self._store.root / "runs")
        return sorted(path.name for path in paths if (path / RECORD).exists() and _is_torn(path))


class RemoteCatalog(Catalog):
    """That of what was pushed; an artifact counts when its manifest is there, which came last.

    Manifests are told from hostile ones as far as they lead anywhere, files not read.
    """

    remedy = PUSH_AGAIN

    def __init__(self, far: RemoteFolder) -> None:
        super().__init__(far.url)
        self._far = far

    def _read(self, stage: str, key: str) -> Artifact | None:
        name = f"{stage}/{key}/{MANIFEST}"
        content = self._far.record(name) if stage in graph.NAMES else None
        if content is None:
            return None
        values = self._values(name, content)
        if not is_manifest(values) or (values["stage"], values["key"]) != (stage, key):
            raise DamagedArtifactError(f"{self.name}/{name}: not a manifest of {stage}/{key}")
        if (wrong := _unfit(values["files"])) is not None:
            raise DamagedArtifactError(
                f"{self.name}/{name}: names the file {wrong!r}, which no stage publishes; refused"
            )
        return Artifact(Path(stage) / key, values)

    def _values(self, name: str, content: bytes) -> dict[str, Any]:
        try:
            return unsealed(content)
        except ValueError as error:
            raise DamagedArtifactError(f"{self.name}/{name}: {error}; {PUSH_AGAIN}") from error

    def uses(self) -> Iterator[tuple[str, str]]:
        for stage in graph.NAMES:
            yield from ((stage, key) for key in self._far.names(stage) if KEY.fullmatch(key))

    @property
    def lacks_runs(self) -> str:  # type: ignore[override]
        if not self._far.is_there:
            return "there is no such folder; check the address, or push a run there first"
        return "push one there first"

    def runs(self) -> Sequence[Run]:
        found = [run for run in self._runs.values() if run]
        return sorted(found, key=lambda run: (run.record["started"], len(run.name), run.name))

    def damaged_runs(self) -> list[str]:
        torn = [name for name, run in self._runs.items() if run is None]
        return [name for name in torn if self._far.record(f"runs/{name}/{RECORD}") is not None]

    @cached_property
    def _runs(self) -> dict[str, Run | None]:
        names = self._far.names("runs")
        return {name: self.run(name) for name in names if is_name_of_run(name)}

    def run(self, name: str) -> Run | None:
        """The run of a name; None if there is none, or none that can be read."""
        place = f"runs/{name}/{RECORD}"
        content = self._far.record(place)
        try:
            record = self._values(place, content) if content else {}
        except DamagedArtifactError:
            return None
        return Run(Path("runs") / name, record) if _is_linkable(record) else None


def _is_torn(folder: Path) -> bool:
    try:
        open_run(folder)
    except DamagedArtifactError:
        return True
    return False


def is_name_of_run(name: str) -> bool:
    """Whether it has the form of a run's name, and so leads nowhere else as a path."""
    is_short = len(name.encode(errors="surrogatepass")) <= LONGEST_NAME_BYTES
    return bool(RUN.fullmatch(name)) and name.isprintable() and "/" not in name and is_short


def _is_linkable(record: Mapping[str, Any]) -> bool:
    if not is_record(record):
        return False
    stages = [made["stage"] for made in record["stages"]]
    return set(stages) <= set(graph.NAMES) and len(set(stages)) == len(stages)


def _unfit(files: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The first file that is described as no stage's file is, or None.

    A name that leads out of the folder, through another file or to the manifest; a size or a
    digest that is none.
    """
    folders = {str(folder) for name in files for folder in PurePosixPath(name).parents}
    for name, entry in files.items():
        size, digest = entry["size_bytes"], entry["sha256"]
        is_sized = isinstance(size, int) and not isinstance(size, bool) and size >= 0
        is_digest = isinstance(digest, str) and len(digest) == 64 and DIGITS.issuperset(digest)
        if name in folders or not _leads_inside(name) or not is_sized or not is_digest:
            return name
    return None


def _leads_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return (
        str(path) == name
        and not path.is_absolute()
        and name not in (".", MANIFEST)
        and ".." not in path.parts
        and "\\" not in name
        and name.isprintable()
        and all(len(part.encode()) <= LONGEST_NAME_BYTES for part in path.parts)
    )
