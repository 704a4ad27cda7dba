import pytest
from ai_edge_litert import schema_py_generated as schema

from export.tflite.flatbuffer import is_custom, kind, operators, parse


@pytest.fixture
def model(exported):
    return parse(exported.path("tflite_int8").read_bytes())


def with_code(model, old, new, name=None):
    step = model.subgraphs[0].operators[0]
    code = model.operatorCodes[step.opcodeIndex]
    code.deprecatedBuiltinCode, code.builtinCode, code.customCode = old, new, name
    return step


def test_an_operator_is_known_by_whichever_field_its_writer_knew(model):
    older = with_code(model, schema.BuiltinOperator.SOFTMAX, 0)
    assert (kind(model, older), is_custom(model, older)) == ("SOFTMAX", False)
    # Of those that the old field has no room for; writers put 127 there.
    newer = with_code(model, 127, schema.BuiltinOperator.GELU)
    assert (kind(model, newer), is_custom(model, newer)) == ("GELU", False)


def test_an_operator_that_is_not_tflite_s_has_its_own_name(model):
    custom = schema.BuiltinOperator.CUSTOM
    own = with_code(model, custom, custom, b"Mine")
    assert (kind(model, own), is_custom(model, own)) == ("Mine", True)
    assert operators(model)[0].kind == "Mine"
