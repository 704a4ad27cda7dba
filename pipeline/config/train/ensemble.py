"""The keys of `train` that ask for several networks, whose answers are averaged."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from pipeline.config.base import Section
from pipeline.core import plugins

MOST_MEMBERS = 100


def _check_preset(name: str) -> str:
    known = plugins.names(plugins.MODELS)
    if name not in known:
        raise ValueError(f"{name!r} is no preset. Available: {', '.join(known)}")
    return name


class Members(Section):
    """How many networks are trained, each with a seed of its own.

    Attributes:
        members: the model gives the mean of this many networks' probabilities. The first has the
            config's seed, each other the next one.
        member_presets: members take these presets in turn, each with those options of `model`
            that it has; `model.preset` for all where it is empty.
    """

    members: Annotated[int, Field(ge=1, le=MOST_MEMBERS)] = 1
    member_presets: tuple[Annotated[str, AfterValidator(_check_preset)], ...] = ()

    @model_validator(mode="after")
    def _each_preset_has_a_member(self) -> "Members":
        named = len(self.member_presets)
        if named and self.members < max(named, 2):
            raise ValueError(
                f"member_presets names {named}, and members is {self.members}; set members to "
                f"{max(named, 2)} or more"
            )
        return self
