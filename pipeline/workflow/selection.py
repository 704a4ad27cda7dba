"""Which stages of the pipeline a call may run."""

from dataclasses import dataclass

from pipeline.config.suggestions import suggest
from pipeline.core.command_hints import PROGRAM
from pipeline.core.errors import ConfigError
from pipeline.workflow import graph


@dataclass(frozen=True)
class Selection:
    """Which stages may run: `first` to `last`; `forced` ones run even when nothing changed.

    Attributes:
        call: what the user typed, without the stages; errors repeat it.
    """

    first: str = graph.NAMES[0]
    last: str = graph.NAMES[-1]
    forced: frozenset[str] = frozenset()
    call: str = f"{PROGRAM} run"

    def __post_init__(self) -> None:
        for name in self.named:
            if name not in graph.NAMES:
                raise ConfigError(f"no stage {name!r}. {suggest(name, graph.NAMES)}")
        if graph.NAMES.index(self.first) > graph.NAMES.index(self.last):
            raise ConfigError(f"--from {self.first} comes after --to {self.last}; swap them")
        for name in self.forced:
            if not self.allows(name):
                raise ConfigError(
                    f"--force {name} lies outside of {self.first} to {self.last}; "
                    "drop it, or let that stage run too"
                )

    @property
    def named(self) -> tuple[str, ...]:
        return (self.first, self.last, *sorted(self.forced))

    def allows(self, stage: str) -> bool:
        names = graph.NAMES
        return names.index(self.first) <= names.index(stage) <= names.index(self.last)
