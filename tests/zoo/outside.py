"""Why something does not pass in a format, where the reason lies outside of this project."""

TFLITE = ("tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8", "tflite_int4")
BICUBIC, AREA = "Resizing(bicubic)", "Resizing(area)"
LANCZOS, ANTIALIAS = "Resizing(lanczos3)", "Resizing(antialias)"
LOOPS = ("LSTM", "GRU", "SimpleRNN", "Bidirectional(LSTM)")
# By rows, then formats: what is not there, or why. Each is one line of `docs/zoo.md`.
REASONS: dict[tuple[str, ...], dict[tuple[str, ...], str]] = {
    (BICUBIC, AREA, LANCZOS, ANTIALIAS): {
        TFLITE: "TFLite resizes by nearest pixels and bilinearly alone; resize the images when "
        "they are read (`data.image_size`)."
    },
    (AREA,): {
        (
            "onnx",
            "onnx_int8",
        ): "ONNX does not resize by area. tf2onnx writes another interpolation, "
        "and `verify` refuses the file."
    },
    LOOPS: {
        ("tflite_int8", "tflite_int4"): "TFLite's quantiser leaves out what is inside a loop; "
        "`unroll=True` writes the steps out, and then it is quantised."
    },
}


def outside(name: str) -> dict[str, str]:
    """By format; empty if it passes in all."""
    return {
        format_name: why
        for names, by_formats in REASONS.items()
        if name in names
        for formats, why in by_formats.items()
        for format_name in formats
    }
