"""The list of operators that a TFLite file asks for: what the schema wants of each entry."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from export.tflite.flatbuffer import attach, attached, code_of, operator_name
from export.tflite.versions import releases, rules

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT

LEAST_RUNTIME = "min_runtime_version"
# The older of the two fields has no room for more; this stands there for all newer operators.
NEWER = 127
PADDED_BYTES = 16  # of the release, as TensorFlow's converter writes it


def settle(model: "ModelT") -> None:
    """Writes codes into both fields, versions, and the least release that runs them all.

    Readers differ in which field they take: a file with one of them set is another file to some.
    A version is never lowered: of operators that no rule here knows the writer knows more.
    """
    for code, version in zip(model.operatorCodes, rules.expected(model), strict=True):
        code.builtinCode = code_of(code)
        code.deprecatedBuiltinCode = min(code.builtinCode, NEWER)
        code.version = max(code.version, version or 1)
    least = releases.least(model, _stated(model)).encode()
    attach(model, LEAST_RUNTIME, least.ljust(PADDED_BYTES, b"\0"))


def runs_from(model: "ModelT") -> str | None:
    """The first release that runs a file, as it says itself, such as `TFLite 2.4.0`."""
    try:
        return f"TFLite {attached(model, LEAST_RUNTIME).rstrip(bytes(1)).decode()}"
    except ValueError:
        return None


def wrong(model: "ModelT") -> Iterator[str]:
    """What an entry, or the release, should be otherwise; each ends a sentence on the file."""
    for code, version in zip(model.operatorCodes, rules.expected(model), strict=True):
        yield from _wrong_entry(code, version)
    stated, least = runs_from(model), releases.least(model, _stated(model))
    if stated is None:
        yield f"carries no {LEAST_RUNTIME}"
    elif stated != f"TFLite {least}":
        yield f"says that it runs from {stated} on, its operators do from {least}"


def _stated(model: "ModelT") -> str:
    """The release that a file says in numbers; the first of all where it says none."""
    found = re.fullmatch(r"TFLite (\d+(\.\d+)*)", runs_from(model) or "")
    return found[1] if found else releases.FIRST


def _wrong_entry(code: Any, version: int | None) -> Iterator[str]:
    name, older = operator_name(code), min(code_of(code), NEWER)
    if code.builtinCode != code_of(code):
        yield f"has builtin_code {code.builtinCode} for {name}"
    if code.deprecatedBuiltinCode != older:
        yield f"has deprecated_builtin_code {code.deprecatedBuiltinCode} for {name}, not {older}"
    if version is not None and code.version != version:
        yield f"has version {code.version} for {name}, not {version}"
