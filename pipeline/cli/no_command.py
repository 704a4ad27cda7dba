"""What is meant by a call that names no command first: a run, or something that was mistyped."""

import shlex
from collections.abc import Sequence
from itertools import pairwise

from pipeline.config.schema import PipelineConfig
from pipeline.config.suggestions import nearest, suggest
from pipeline.core.errors import ConfigError
from pipeline.workflow import graph


def refuse_other_than_run(arguments: Sequence[str], commands: Sequence[str]) -> None:
    """Refuses what is no call of `run`, whose name may be left out.

    Raises:
        ConfigError: it is none; says what may have been meant.
    """
    first = arguments[0] if arguments else ""
    if first.endswith((".yaml", ".yml")):
        raise ConfigError(f"{first} is a config file; name it with -c {shlex.quote(first)}")
    if first in graph.NAMES:
        raise ConfigError(f"no command {first!r}. It is a stage: {_calling_stage(first)}")
    is_setting = "=" in first or first.partition(".")[0] in PipelineConfig.model_fields
    if first and not is_setting and not first.startswith("-"):
        raise ConfigError(f"no command {first!r}. {_meant(first, commands)}")
    for place, (before, word) in enumerate(pairwise(arguments), 1):
        if word in commands and (before == "--dry-run" or not before.startswith("-")):
            others = [*arguments[:place], *arguments[place + 1 :]]
            raise ConfigError(f"put the command first: {shlex.join([word, *others])}")


def _meant(name: str, commands: Sequence[str]) -> str:
    stage = None if nearest(name, commands) else nearest(name, graph.NAMES)
    hint = f"Did you mean {_calling_stage(stage)}? " if stage else ""
    return hint + suggest(name, commands)


def _calling_stage(name: str) -> str:
    return f"run --stage {name}"
