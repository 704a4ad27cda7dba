from export.formats import quantization_json


def attempt(kept, drop, size, failure="", dense_scales=""):
    return {
        "engine": "litert-quantizer",
        "dense_scales": dense_scales,
        "kept": kept,
        "drop_points": drop,
        "size_bytes": size,
        "failure": failure,
    }


def test_of_several_tries_the_first_and_the_one_taken_are_told():
    tries = [
        attempt({}, 4.2, 89_000),
        attempt({"a": "int16", "b": "int16"}, None, None, "RuntimeError: no kernel"),
        attempt({"a": "float32"}, 0.1, 101_400),
    ]
    first = "every layer, by litert-quantizer, loses 4.20 points on validation images at 89 kB"
    assert quantization_json.in_words({"tflite_int8": {"tries": tries, "chosen": 2}}) == (
        f"tflite_int8 took 3 tries: {first}; taken was 1 layer in float32, loses 0.10 points on "
        "validation images at 101 kB"
    )
    assert quantization_json.in_words({"tflite_int8": {"tries": tries, "chosen": 0}}) == (
        f"tflite_int8 took 3 tries: none did better than the first, {first}"
    )


def test_it_is_told_how_the_kernels_of_dense_layers_are_scaled():
    tries = [
        attempt({}, 0.5, 89_000, dense_scales="one"),
        attempt({}, 0.1, 89_100, dense_scales="channel"),
    ]
    assert quantization_json.in_words({"tflite_int8": {"tries": tries, "chosen": 1}}) == (
        "tflite_int8 took 2 tries: every layer with one scale a dense kernel, by litert-quantizer, "
        "loses 0.50 points on validation images at 89 kB; taken was every layer with a scale a "
        "channel, by litert-quantizer, loses 0.10 points on validation images at 89 kB"
    )


def test_a_format_that_held_at_once_needs_no_words():
    records = {"tflite_int8": {"tries": [attempt({}, 0.0, 89_000)]}}
    assert quantization_json.in_words(records) == ""


def test_an_artifact_without_quantised_formats_has_an_empty_record(tmp_path):
    assert quantization_json.gather(tmp_path, ["onnx"], tmp_path) == {}
    assert quantization_json.read(tmp_path) == {}
    assert quantization_json.read(tmp_path / "older") == {}


def test_a_number_that_json_does_not_know_loses_no_record(tmp_path):
    inside = {"tries": ({"accuracy": float("nan")},), "layers": [{"output_error": float("inf")}]}
    quantization_json.note(inside, tmp_path, "tflite_int8")
    noted = quantization_json.gather(tmp_path, ["tflite_int8"], tmp_path)["tflite_int8"]
    assert noted == {"tries": [{"accuracy": None}], "layers": [{"output_error": None}]}


def test_the_first_layer_that_gives_no_number_is_named():
    layers = [
        {"name": name, "kind": kind, "images_without_number": count}
        for name, kind, count in (("a", "CONV_2D", 0), ("b", "DIV", 3), ("c", "SOFTMAX", 3))
    ]
    made = {"tries": [attempt({}, 0.0, 89_000)], "layers": layers, "layer_images": 100}
    assert quantization_json.in_words({"tflite_int8": made}) == (
        "tflite_int8: the layer b (DIV) gives no number (nan or infinite) on 3 of 100 validation "
        "images"
    )
