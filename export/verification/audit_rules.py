"""What a file must hold to be what it is said to be: one rule a method."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from export.formats import contract, quantization_json
from export.formats.contract import LABELS_FILE_NAME, Contract, labels_text
from export.formats.format import Format, FormatOptions, Holds, exporter
from export.formats.inspection import LEAST_NAMED_SHARE, Inspection, Operator, Weight
from export.formats.tensors import Interface, Tensor, contradiction
from export.formats.verdict import Check
from pipeline.core.text import first_of

# How a layer's kernel is stored that is kept more precise than the others, by how it computes.
KERNELS_KEPT_IN = {"float32": "float32", "int16": "int8", "int8": "int8"}
# Numbers of these kinds count, index or choose; no layer computes with them.
COUNTING = {"bool", "int32", "int64", "resource", "string"}
SHOWN = 3
AGAIN = "write it again with --force export"
# What an exporter writes wrong once it may write wrong each time.
AGAIN_OR_NOT = f"{AGAIN}, or leave the format out of export.formats if it comes out the same"


@dataclass(frozen=True)
class Auditor:
    """Holds what a file holds against what it must hold.

    Attributes:
        known: the format that it is said to have.
        path: the file or folder.
        promised: the contract beside it.
        options: of the format.
        found: what it holds.
    """

    known: Format
    path: Path
    promised: Contract
    options: FormatOptions
    found: Inspection

    def checks(self) -> tuple[Check, ...]:
        return (
            self._ends(),
            self._contract(),
            self._labels(),
            self._weights(),
            self._computation(),
            self._operators(),
            self._unused(),
            *([self._static()] if isinstance(self.known.batch, int) else []),
            *([self._codes(self.found.miscoded)] if self.found.miscoded is not None else []),
            *([self._opset(*self._holds.opsets)] if self._holds.opsets else []),
        )

    @property
    def _holds(self) -> Holds:
        return self.known.holds

    @cached_property
    def _interface(self) -> Interface:
        classes = len(self.promised.output.labels)
        return self.known.interface(self.promised.input.shape, classes, self.options)

    @cached_property
    def _precisions(self) -> Mapping[str, str]:
        """What operators give that are declared to be more precise, and how these compute."""
        declared = quantization_json.read(self.path.parent).get(self.known.name, {})
        kept: Mapping[str, str] = declared.get("kept", {})
        return kept

    @property
    def _exceptions(self) -> str:
        layers = ", ".join(f"{name} in {precision}" for name, precision in self._precisions.items())
        return f", but for {layers} as {quantization_json.FILE_NAME} declares" if layers else ""

    def _ends(self) -> Check:
        wrong = contradiction(self.found.interface, self._interface)
        taken, given = _in_words(self._interface.input), _in_words(self._interface.output)
        return _check(
            "input and output", [wrong] if wrong else [], f"it takes {taken}, gives {given}"
        )

    def _contract(self) -> Check:
        expected = f"it carries {contract.FILE_NAME}, and that is what the config asks for"
        return _check("contract", self._other_contracts(), expected, AGAIN)

    def _other_contracts(self) -> Iterator[str]:
        name, promised = self.known.name, contract.as_carried(self.promised)
        if promised.formats.get(name) != contract.of_format(name, self._interface):
            yield f"{contract.FILE_NAME} promises another input or output of {name}"
        yield from self._other_release()
        yield from (f"it {what}" for what in self.found.inconsistencies)
        try:
            carried = contract.from_json(exporter(name).read_contract(self.path))
        except (OSError, ValueError) as error:
            yield f"the contract inside it cannot be read: {error}"
            return
        for field in fields(Contract):
            if getattr(carried, field.name) != getattr(promised, field.name):
                yield f"the contract inside it has another {field.name}"

    def _other_release(self) -> Iterator[str]:
        promised = self.promised.formats.get(self.known.name)
        stated, found = promised and promised.runs_from, self.found.runs_from
        if stated is not None and stated != found:
            yield f"{contract.FILE_NAME} says that it runs from {stated} on, the file {found}"

    def _labels(self) -> Check:
        beside, labels = self.path.parent / LABELS_FILE_NAME, self.promised.output.labels
        listed = labels_text(labels).encode()
        stored = beside.read_bytes() if beside.exists() else b""
        places = {f"the {LABELS_FILE_NAME} beside it": stored, **self.found.labels}
        wrong = [f"{place} lists others" for place, found in places.items() if found != listed]
        if hashlib.sha256(listed).hexdigest() != self.promised.output.labels_sha256:
            wrong.append(f"{contract.FILE_NAME} has the hash of others")
        expected = f"all places list the same {len(labels)} labels in order"
        return _check("labels", wrong, expected, AGAIN)

    def _weights(self) -> Check:
        size = (
            f" of {self._holds.kernel_elements:,} numbers or more"
            if self._holds.kernel_elements
            else ""
        )
        expected = f"each kernel{size} is stored in {' or '.join(self._holds.kernels)}"
        if self._holds.is_per_channel:
            expected += " with a scale for each channel, or one in a dense layer"
        if self._holds.biases:
            expected += f", each bias in {' or '.join(self._holds.biases)}"
        expected += self._exceptions
        if self._precisions:
            expected += (
                f", and {LEAST_NAMED_SHARE:.0%} or more of all numbers in kernels are as named"
            )
        return _check("weights", self._wrong_weights(), expected)

    def _wrong_weights(self) -> Iterator[str]:
        kernels = [weight for weight in self.found.weights if weight.role == "kernel"]
        judged = [kernel for kernel in kernels if kernel.elements >= self._holds.kernel_elements]
        if not kernels:
            yield "it holds no kernel"
        # Others may stand beside the dtype that gives a format its name, but not alone.
        own, *others = self._holds.kernels
        if (
            judged
            and (others or self._precisions)
            and own not in {kernel.dtype for kernel in judged}
        ):
            yield f"no kernel is {own}"
        elif self._precisions and (share := self._named_share(judged)) < LEAST_NAMED_SHARE:
            yield f"of the numbers in kernels {share:.0%} are {' or '.join(self._holds.kernels)}"
        for kernel in judged:
            yield from self._wrong_kernel(kernel)
        for bias in self.found.weights:
            is_free = (
                bias.role != "bias" or not self._holds.biases or bias.reader in self._precisions
            )
            if not is_free and bias.dtype not in self._holds.biases:
                yield f"bias {bias.name} is {bias.dtype}"

    def _named_share(self, kernels: Sequence[Weight]) -> float:
        """How many of the numbers are stored in a dtype of the format's own."""
        named = sum(k.elements for k in kernels if k.dtype in self._holds.kernels)
        return named / max(1, sum(kernel.elements for kernel in kernels))

    def _wrong_kernel(self, kernel: Weight) -> Iterator[str]:
        kept_in = self._precisions.get(kernel.reader, "")
        if kernel.dtype not in (*self._holds.kernels, KERNELS_KEPT_IN.get(kept_in)):
            yield f"kernel {kernel.name} is {kernel.dtype}"
        elif kernel.dtype == "float32" or not self._holds.is_per_channel:
            return
        elif kernel.scales < kernel.channels and not (kernel.may_share and kernel.scales == 1):
            shares = f"{kernel.channels} channels share {kernel.scales} scales"
            yield f"in kernel {kernel.name} {shares}"

    def _computation(self) -> Check:
        kernels, others = self._holds.activations, self._other_dtypes
        expected = (
            f"kernels multiply in {' or '.join(kernels)} and all else is in {' or '.join(others)}"
        )
        return _check("computation", self._wrong_operators(), expected + self._exceptions)

    @property
    def _other_dtypes(self) -> tuple[str, ...]:
        return self._holds.others or self._holds.activations

    def _wrong_operators(self) -> Iterator[str]:
        for operator in self.found.operators:
            if operator.is_conversion:
                if operator.takes and not self._converts_where_allowed(operator):
                    yield f"{_name(operator)} converts {' and '.join(operator.dtypes)}"
                continue
            allowed = {*self._allowed(operator), *COUNTING}
            if wrong := [dtype for dtype in operator.dtypes if dtype not in allowed]:
                yield f"{_name(operator)} computes in {' and '.join(wrong)}"

    def _allowed(self, operator: Operator) -> tuple[str, ...]:
        """The dtypes in which an operator may compute."""
        if declared := [
            self._precisions[name] for name in operator.gives if name in self._precisions
        ]:
            return tuple(declared)
        return self._holds.activations if operator.has_kernel else self._other_dtypes

    def _converts_where_allowed(self, conversion: Operator) -> bool:
        """At an end, or beside an operator that is declared to be more precise."""
        ends = {self.found.interface.input.name, self.found.interface.output.name}
        reads = [o for o in self.found.operators if not set(conversion.gives).isdisjoint(o.takes)]
        beside = {*conversion.takes, *(name for reader in reads for name in reader.gives)}
        return (
            self._holds.converts_inside
            or not ends.isdisjoint((*conversion.takes, *conversion.gives))
            or not beside.isdisjoint(self._precisions)
        )

    def _operators(self) -> Check:
        others = [o for o in self.found.operators if o.kind != "builtin"]
        training = [o for o in self.found.operators if o.is_of_training]
        wrong = [f"{_name(operator)} is {operator.kind}" for operator in others]
        wrong += [f"{_name(operator)} is for training" for operator in training]
        wrong += [
            f"it asks for the operators of {domain}" for domain in self.found.opsets if domain
        ]
        expected = "every runtime has its operators, and none of them is for training"
        remedies = [_in_the_model(others, "ones that become the format's own operators")]
        remedies += [_in_the_model(training, "ones that do nothing while it answers")]
        return _check(
            "operators", wrong, expected, "; ".join(filter(None, remedies)) or AGAIN_OR_NOT
        )

    def _unused(self) -> Check:
        wrong = [f"{name} leads nowhere" for name in self.found.unused]
        return _check("nothing unused", wrong, "all that it holds leads to its answer")

    def _static(self) -> Check:
        computing = [operator for operator in self.found.operators if operator.computes_shape]
        wrong = [f"{name} has no fixed size" for name in self.found.unsized]
        wrong += [f"{_name(operator)} computes a shape" for operator in computing]
        remedy = _in_the_model(computing, "ones whose shapes are known from the image's")
        return _check(
            "fixed shapes", wrong, "all shapes are known before it runs", remedy or AGAIN_OR_NOT
        )

    def _codes(self, miscoded: Sequence[str]) -> Check:
        expected = (
            "its list of operators has both codes and the version of each, and it says which "
            "release runs them all"
        )
        return _check("operator codes", [f"it {what}" for what in miscoded], expected, AGAIN)

    def _opset(self, least: int, most: int) -> Check:
        found, asked = self.found.opsets.get("", 0), self.options.asked_opset
        expected = f"it asks for opset {asked or f'{least} to {most}'}"
        is_right = found == asked if asked else least <= found <= most
        wrong = [] if is_right else [f"it asks for opset {found}"]
        return _check("opset", wrong, expected)


def _check(name: str, offences: Iterable[str], expected: str, remedy: str = AGAIN_OR_NOT) -> Check:
    """Passes if nothing offends; `expected` is then what holds, as a sentence."""
    found = list(offences)
    if not found:
        return Check(name, 0, 0, True, expected)
    reason = f"{first_of(found, SHOWN)}; expected that {expected}; {remedy}"
    return Check(name, len(found), 0, False, reason)


def _in_the_model(operators: Sequence[Operator], by: str) -> str:
    """What to do where writing the file again gives the same operators."""
    if not operators:
        return ""
    layers = first_of([_name(operator) for operator in operators], SHOWN)
    return f"replace the layers of the model that become {layers} by {by}"


def _in_words(end: Tensor) -> str:
    stored = end.type
    kind = stored.dtype
    if stored.scale is not None:
        kind += f" with scale {stored.scale:g} and zero point {stored.zero_point}"
    return f"{end.name} {' x '.join(map(str, end.shape))} in {kind}"


def _name(operator: Operator) -> str:
    return f"{operator.name} {operator.gives[0] if operator.gives else ''}".rstrip()
