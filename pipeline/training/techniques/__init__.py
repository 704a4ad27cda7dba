"""All techniques of training; those that a config asks for form a chain."""

from collections.abc import Callable

from pipeline.config.schema import TrainSection
from pipeline.data.dataset_json import Description
from pipeline.data.images.types import LabelledImages
from pipeline.data.tfrecords import Shards
from pipeline.training.technique import Chain, Technique
from pipeline.training.techniques.distillation import Distillation
from pipeline.training.techniques.fine_tuning import FineTuning
from pipeline.training.techniques.pruning import Pruning
from pipeline.training.techniques.quantization_aware.model import QuantizationAware
from pipeline.training.techniques.sharpness_aware import SharpnessAware

TECHNIQUES: tuple[type[Technique], ...] = (
    FineTuning,
    Pruning,
    QuantizationAware,
    Distillation,
    SharpnessAware,
)
"""In the order in which they wrap the network and act in an epoch."""


def chain_of(
    section: TrainSection,
    dataset: Description,
    validation: LabelledImages | Shards,
    say: Callable[[str], None],
) -> Chain:
    """The techniques that the config asks for."""
    used = (technique for technique in TECHNIQUES if technique.is_used(section))
    return Chain([technique(section, dataset, validation, say) for technique in used])
