"""Runs: a folder for each call of the pipeline, with a link to each artifact that it used."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.schema import PipelineConfig
from pipeline.core.command_hints import PROGRAM, mends
from pipeline.core.durable import NOT_AS_WRITTEN, make_folder, sync
from pipeline.core.errors import ConfigError, DamagedArtifactError
from pipeline.core.os_errors import trouble_is_a_stage_error
from pipeline.core.sealed_json import read_sealed, write_sealed
from pipeline.store.artifact import Artifact, is_name_of_artifact, open_artifact
from pipeline.store.atomic_replace import REMOVED, TAKEN
from pipeline.store.folders import entries
from pipeline.store.store import ArtifactStore

if TYPE_CHECKING:
    from pipeline.workflow.plan import Step

RECORD = "run.json"
PLACES = ("folder", "train_file", "file", "dataset")
MOST_NAMED = 3
MOST_AT_ONCE = 1000


@dataclass(frozen=True)
class Run:
    """A recorded run."""

    path: Path
    record: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def words(self) -> tuple[str, ...]:
        """What `run` was told: the config and the overrides; of older runs the config alone."""
        return tuple(self.record.get("words", ("-c", f"{self.record['config_name']}.yaml")))

    @property
    def images(self) -> str:
        """Which images, in a few words: their source, and their file, folder or set."""
        data = self.record["config"]["data"]
        place = next(filter(None, map(data.get, PLACES)), "")
        return f"{data['source']} {Path(place).name}".rstrip()

    def artifact(self, stage: str) -> Path | None:
        """The artifact's folder, if the run used one of this stage and it is still there."""
        link = self.path / stage
        return link if link.is_dir() else None

    def intact_artifact(self, stage: str) -> Path:
        """The artifact's folder, every file of it as it was published.

        Raises:
            DamagedArtifactError: a file is missing or is another.
        """
        place = self.path / stage
        keys = {made["stage"]: made["key"] for made in self.record["stages"]}
        root = self.path.parent.parent
        try:
            found = ArtifactStore(root).intact(stage, keys.get(stage, "none"))
        except DamagedArtifactError as error:
            raise DamagedArtifactError(f"{error}; {mends(root)}") from error
        if not found or place.resolve() != found.path.resolve():
            raise DamagedArtifactError(f"{place}: is not what the run made; {mends(root)}")
        return place


def record_run(
    store: ArtifactStore,
    config: PipelineConfig,
    steps: "Sequence[Step]",
    started: datetime,
    words: Sequence[str] = (),
) -> Run:
    """Publishes the folder of a run that ended, whose links keep what it used from now on.

    Args:
        store: where it is.
        config: of the run.
        steps: those that have an artifact.
        started: when.
        words: the config's file and the overrides, as `run` takes them.

    Raises:
        StageError: the disk does not take it.
    """
    record = {
        "config_name": config.name,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 2),
        "words": list(words),
        "stages": [_describe(step) for step in steps],
        "config": config.model_dump(mode="json"),
    }
    run = publish_run(store, f"{started.astimezone():%Y%m%d-%H%M%S}-{config.name}", record)
    store.drop_claim()
    return run


def publish_run(store: ArtifactStore, name: str, record: Mapping[str, Any]) -> Run:
    """Publishes the folder of a run: its record, and a link to each artifact that it names.

    Raises:
        StageError: the disk does not take it.
    """
    with (
        trouble_is_a_stage_error("the run's record", store.root),
        store.staging("run", "0") as folder,
    ):
        for made in record["stages"]:
            target = Path("../..") / made["stage"] / made["key"]
            (folder / made["stage"]).symlink_to(target, target_is_directory=True)
        write_sealed(folder / RECORD, record)
        sync(folder)
        return Run(_publish(folder, store.root / "runs" / name), record)


def _describe(step: "Step") -> dict[str, Any]:
    assert step.artifact is not None
    return {
        "stage": step.stage.name,
        "key": step.key,
        "reason": step.reason,
        "summary": step.artifact.manifest["summary"],
    }


def _publish(folder: Path, target: Path) -> Path:
    """Renames a run's folder to its name, with a number if that is taken."""
    for number in range(1, MOST_AT_ONCE):
        path = target if number == 1 else target.with_name(f"{target.name}-{number}")
        make_folder(target.parent)
        try:
            folder.rename(path)
        except OSError as error:
            if error.errno not in TAKEN and not (error.errno == REMOVED and folder.is_dir()):
                raise
        else:
            sync(target.parent)
            return path
    raise ConfigError(f"{target.parent}: too many runs in one second")


def list_runs(store: ArtifactStore) -> list[Run]:
    """Every readable run, oldest first."""
    runs = []
    for folder in entries(store.root / "runs"):
        with suppress(DamagedArtifactError):
            runs.append(open_run(folder))
    return sorted(runs, key=lambda run: (run.record["started"], _by_number(run.name)))


def open_run(folder: Path) -> Run:
    """The run in a folder.

    Raises:
        DamagedArtifactError: its record is missing or not as it was written.
        OSError: the system does not let it be read now.
    """
    path = folder / RECORD
    try:
        record = read_sealed(path)
    except NOT_AS_WRITTEN as error:
        said = getattr(error, "strerror", None) or error
        raise DamagedArtifactError(f"{path}: no readable record of a run ({said})") from error
    if not is_record(record):
        raise DamagedArtifactError(f"{path}: not a record of this program")
    return Run(folder, record)


class Earlier:
    """What a config of this name used and made before; a brought model has the name of its file."""

    def __init__(self, store: ArtifactStore, config: PipelineConfig) -> None:
        self._store, self._config = store, config

    def latest(self, stage: str) -> Artifact | None:
        """What its last run used of a stage, whoever made it, or what it has made of it since."""
        made = self._store.latest(stage, self._is_meant)
        for run in reversed(self._runs):
            if made and run.record["started"] <= made.manifest["created"]:
                break
            # It did not come as far, or what it used is gone.
            with suppress(DamagedArtifactError, OSError):
                return open_artifact(run.path / stage)
        return made

    @cached_property
    def _runs(self) -> list[Run]:
        try:
            runs = list_runs(self._store)
        except OSError:  # it is only to say what changed
            return []
        return [run for run in runs if self._is_meant(run.record["config"])]

    def _is_meant(self, config: Mapping[str, Any]) -> bool:
        """Whether a recorded config is the same; a model `mnist.keras` is not the config mnist."""
        train = config.get("train")
        is_brought = isinstance(train, Mapping) and bool(train.get("model_file"))
        is_named_so = config.get("name") == self._config.name
        return is_named_so and is_brought == bool(self._config.train.model_file)


def _by_number(name: str) -> list[int | str]:
    """Sorts `-10` behind `-2`."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]


def is_record(values: Mapping[str, Any]) -> bool:
    """Whether it is what `record_run` writes, as far as anything here reads it."""
    types = {"config_name": str, "started": str, "seconds": int | float, "stages": list}
    if not all(isinstance(values.get(name), kind) for name, kind in types.items()):
        return False
    stages, config = values["stages"], values.get("config")
    words = values.get("words", [])
    data = config.get("data") if isinstance(config, dict) else None
    return (
        bool(stages)
        and isinstance(words, list)
        and all(isinstance(word, str) and word.isprintable() for word in words)
        and all(isinstance(made, dict) and _is_stage_record(made) for made in stages)
        and isinstance(data, dict)
        and isinstance(data.get("source"), str)
        and all(isinstance(data.get(place), str | None) for place in PLACES)
    )


def _is_stage_record(values: Mapping[str, Any]) -> bool:
    texts = ("stage", "key", "reason", "summary")
    return all(isinstance(values.get(name), str) for name in texts) and is_name_of_artifact(
        values["stage"], values["key"]
    )


def find_run(store: ArtifactStore, name: str | None, stage: str | None = None) -> Run:
    """The latest run that has an artifact of the stage and goes by this name.

    Args:
        store: where the runs are.
        stage: whose artifact it must have; None for any.
        name: of a run or of its config, or a part of a run's name that no other has; None for any.

    Raises:
        ConfigError: there is none, or the part stands in several.
    """
    runs = [run for run in list_runs(store) if stage is None or run.artifact(stage)]
    found = named(runs, name) if name else runs
    if found:
        return found[-1]
    wanted = f"no run {name!r}" if name else "no run yet"
    wanted += f" with an artifact of {stage}" if stage else ""
    lists = f"`{PROGRAM} runs` lists them, " if runs else ""
    raise ConfigError(
        f"{store.root}: {wanted}; {lists}`{PROGRAM} run` makes one of MNIST, "
        "`run -c CONFIG` one of your own images (for photos -c configs/photos.yaml)"
    )


def named(runs: Sequence[Run], name: str) -> list[Run]:
    """Those that go by this name, as in `find_run`; none if none does.

    Raises:
        ConfigError: it is a part of several names.
    """
    if whole := [run for run in runs if name in (run.name, run.record["config_name"])]:
        return whole
    parts = [run for run in runs if name in run.name]
    if len(parts) > 1:
        latest = ", ".join(run.name for run in parts[-MOST_NAMED:])
        raise ConfigError(
            f"run {name!r} is a part of {len(parts)} names, the latest {latest}; say more of one"
        )
    return parts
