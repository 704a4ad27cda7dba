"""Brings an ONNX graph to another version of ONNX' operators."""

from typing import TYPE_CHECKING

from pipeline.core.errors import ExportError

if TYPE_CHECKING:
    import onnx


def at_opset(model: "onnx.ModelProto", opset: int) -> "onnx.ModelProto":
    """Gives the model with the operators of this version.

    Raises:
        ExportError: one of its operators cannot be written so.
    """
    import onnx

    (found,) = (known.version for known in model.opset_import if known.domain in ("", "ai.onnx"))
    if found == opset:
        return model
    try:
        result = onnx.version_converter.convert_version(model, opset)
        onnx.checker.check_model(result, full_check=True)
    except Exception as error:  # the converter raises bare RuntimeErrors from C++, and others
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ExportError(
            f"its operators of opset {found} cannot be written in opset {opset} ({why}); set "
            f"export.onnx_int8.opset to {found}"
        ) from error
    return result
