import re

import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

from export.deployment import microcontroller
from pipeline.core.errors import ExportError


def test_the_operators_are_exactly_those_of_the_network(exported):
    assert microcontroller.operators(exported.path("tflite_int8")) == (
        "AddQuantize",
        "AddConv2D",
        "AddMaxPool2D",
        "AddReshape",
        "AddFullyConnected",
        "AddSoftmax",
    )


@pytest.mark.parametrize(
    ("operator", "method"),
    [
        ("CONV_2D", "AddConv2D"),
        ("DEPTHWISE_CONV_2D", "AddDepthwiseConv2D"),
        ("RELU6", "AddRelu6"),
        ("SPACE_TO_BATCH_ND", "AddSpaceToBatchNd"),
        ("REVERSE_V2", "AddReverseV2"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("PADV2", "AddPadV2"),
    ],
)
def test_a_resolver_method_is_named_as_the_library_names_it(operator, method):
    assert microcontroller.resolver_method(operator) == method


def test_an_operator_of_ones_own_making_is_refused(exported, tmp_path):
    model = schema.ModelT.InitFromPackedBuf(exported.path("tflite_int8").read_bytes(), 0)
    code = model.operatorCodes[0]
    code.deprecatedBuiltinCode = code.builtinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = "Mine"
    builder = Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path = tmp_path / "custom.tflite"
    path.write_bytes(builder.Output())
    with pytest.raises(ExportError, match=r"custom\.tflite: has the operator 'Mine'"):
        microcontroller.operators(path)


def test_four_patches_of_the_largest_convolution_are_counted(exported):
    height, width, channels = 3, 3, 1
    in_whole_rows_of_16 = 16
    assert height * width * channels <= in_whole_rows_of_16
    assert microcontroller.patches_bytes(exported.path("tflite_int8")) == 4 * in_whole_rows_of_16


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("T-shirt/top", '"T-shirt/top"'),
        ('say "a\\b"', r'"say \042a\134b\042"'),
        ("fünf1", r'"f\303\274nf1"'),
        ("what??/", r'"what\077\077/"'),
        ("tab\t", r'"tab\011"'),
    ],
)
def test_labels_become_literals_of_their_bytes(text, literal):
    assert microcontroller.string_literal(text) == literal


def test_an_array_holds_each_byte_in_order():
    data = bytes(range(256)) + b"\x07"
    rows = microcontroller.array_rows(data)
    assert bytes(int(number, 16) for number in re.findall("0x..", rows)) == data
    assert rows.startswith("  0x00, 0x01, ")
    assert len(rows.splitlines()) == 17
