"""What a file of any format holds, as its bytes say: what `export.verification.audit` judges."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from export.formats.tensors import Interface

# Of the numbers in its kernels, the least share that must be stored as the format's name says.
LEAST_NAMED_SHARE = 0.5
# They give other answers each time, or only make sense while a model learns. To stop or to prevent
# a gradient gives the same numbers: normalisation layers do it.
_OF_TRAINING = re.compile(
    r"random|dropout|bernoulli|multinomial|(?<!stop)(?<!prevent)gradient|momentum|adam", re.I
)


@dataclass(frozen=True)
class Weight:
    """A constant that an operator reads.

    Attributes:
        name: of the tensor.
        dtype: as it is stored, whatever it is turned into on the way to the operator.
        elements: how many numbers it has.
        role: `kernel` multiplies in a convolution or a matrix product, `bias` is added there.
        reader: the tensor that the operator gives which reads it.
        channels: output channels of a kernel.
        scales: how many scales its numbers share; 0 where they stand for themselves.
        may_share: whether one scale for all channels will do.
    """

    name: str
    dtype: str
    elements: int
    role: Literal["kernel", "bias", "other"] = "other"
    reader: str = ""
    channels: int = 1
    scales: int = 0
    may_share: bool = False


@dataclass(frozen=True)
class Operator:
    """A step of the computation.

    Attributes:
        name: as the format calls this kind of step.
        kind: `builtin` is in every build of the format's runtimes, `custom` in none, `flex` only
            in those that hold TensorFlow itself.
        takes: tensors that were computed before, or are the input.
        gives: tensors that it computes.
        dtypes: in which all of these are computed.
        has_kernel: whether it is a convolution or a matrix product.
        is_conversion: whether all it does is to store the same numbers in another way.
        computes_shape: whether what it gives decides the shape of something.
        is_of_training: whether it has no place in a model that only answers.
    """

    name: str
    kind: Literal["builtin", "custom", "flex"] = "builtin"
    takes: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    has_kernel: bool = False
    is_conversion: bool = False
    computes_shape: bool = False
    is_of_training: bool = False


@dataclass(frozen=True)
class Inspection:
    """What a file holds.

    Attributes:
        interface: what it takes and gives.
        weights: its constants.
        operators: its steps, in order.
        unsized: tensors, but for those in loops, of which a dimension is known only when the model
            runs.
        unused: tensors and constants that lead to no answer.
        opsets: versions of the operator sets that it asks for, by domain.
        labels: what each place inside the file that lists the labels holds, as `labels.txt`.
        inconsistencies: where the file contradicts itself; each ends a sentence on it.
        runs_from: the first release of a runtime that runs the file, as it says itself.
        miscoded: what its list of operators says otherwise than its format's schema wants, each
            the end of a sentence; none in a format that has no such list.
    """

    interface: Interface
    weights: tuple[Weight, ...]
    operators: tuple[Operator, ...]
    unsized: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    opsets: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, bytes] = field(default_factory=dict)
    inconsistencies: tuple[str, ...] = ()
    runs_from: str | None = None
    miscoded: tuple[str, ...] | None = None


def is_of_training(operator: str) -> bool:
    """Whether an operator's name, in any format, is that of one that only training needs."""
    return bool(_OF_TRAINING.search(operator))
