"""The train artifact that a setting names by its folder."""

from pathlib import Path

from pipeline.artifacts.artifact import Artifact, open_artifact
from pipeline.errors import ConfigError


def named_artifact(folder: Path, setting: str) -> Artifact:
    """The artifact, whose files were compared with its manifest.

    Args:
        folder: of the artifact, or a link to it.
        setting: the config key that names it, as it is told.

    Raises:
        ConfigError: it is damaged, or of another stage.
        DamagedArtifactError: the folder is no artifact.
    """
    artifact = open_artifact(folder.resolve())
    if artifact.stage != "train":
        raise ConfigError(
            f"{setting}: {folder} is an artifact of {artifact.stage}; name one of train"
        )
    if damage := artifact.damage:
        raise ConfigError(f"{setting}: {damage}; mend it with check --repair, or name another")
    return artifact
