from dataclasses import replace

import pytest

from export.formats import contract
from export.formats.format import formats
from export.formats.recommendation import TARGETS, Limits, recommend, remarks
from export.formats.verdict import Check, Content, FormatVerdict, Micro


def row(name, accuracy, size_kb, latency_ms, passed=True):
    checks = (Check("same predictions", 0, 0, passed, ""),)
    micro = Micro(images=10, different=0, arena_bytes=1000) if "int8" in name else None
    return FormatVerdict(
        name,
        formats()[name].path,
        checks,
        size_bytes=int(1000 * size_kb),
        accuracy=accuracy,
        latency_p50_ms=latency_ms,
        micro=micro,
    )


ROWS = [
    row("saved_model", 0.9960, 389, 1.09),
    row("tflite_float32", 0.9960, 314, 0.12),
    row("tflite_dynamic", 0.9951, 88, 0.06),
    row("tflite_int8", 0.9949, 86, 0.05),
    row("onnx", 0.9960, 310, 0.17),
]


def obstacles(result):
    return {candidate.row.name: candidate.obstacle for candidate in result.candidates}


def test_every_target_has_a_format_and_every_format_a_known_target():
    known = {target for format_ in formats().values() for target in format_.targets}
    assert known == set(TARGETS)
    assert all(format_.targets for format_ in formats().values())


def test_a_microcontroller_takes_int8_alone():
    result = recommend(ROWS, "microcontroller", Limits())
    assert result.pick == "tflite_int8"
    assert result.reason == "tflite_int8 is the only one that fits: 99.49%, 86 kB, 0.050 ms"
    assert obstacles(result)["onnx"] == "no runtime for microcontroller"


def test_the_reason_names_the_first_release_that_runs_the_pick():
    (int8,) = (row for row in ROWS if row.name == "tflite_int8")
    known = replace(int8, content=Content({}, {}, "TFLite 2.4.0"))
    reason = recommend([known], "android", Limits()).reason
    assert reason.endswith("86 kB, 0.050 ms; it runs from TFLite 2.4.0 on")


@pytest.mark.parametrize(
    ("micro", "obstacle"),
    [
        (Micro(refusal="no such operator"), "refused by TensorFlow Lite Micro"),
        (
            Micro(absence="no such library"),
            "not run in TensorFlow Lite Micro, which the machine that verified lacks",
        ),
        (None, "not asked in TensorFlow Lite Micro"),
    ],
)
def test_a_microcontroller_takes_nothing_that_did_not_run_in_its_interpreter(micro, obstacle):
    rows = [replace(ROWS[3], micro=micro)]
    result = recommend(rows, "microcontroller", Limits())
    assert result.reason == f"no format fits microcontroller: tflite_int8 ({obstacle})"


def test_a_browser_takes_the_smallest_within_a_tenth_of_a_point():
    result = recommend(ROWS, "browser", Limits())
    assert result.pick == "tflite_dynamic"  # int8 is smaller, but 0.11 points below the best
    assert result.reason == (
        "tflite_dynamic is the smallest of the 3 within 0.1 points of the most accurate "
        "(99.60%): 99.51%, 88 kB, 0.060 ms"
    )


def test_a_server_takes_the_fastest_of_the_accurate():
    assert recommend(ROWS, "server", Limits()).pick == "tflite_dynamic"
    assert recommend(ROWS, "server", Limits(min_accuracy=0.9955)).pick == "tflite_float32"


def test_of_times_that_are_nearly_equal_the_smaller_file_wins():
    fast, small, slow = (
        row("saved_model", 0.99, 389, 1.0),
        row("tflite_float32", 0.99, 314, 1.29),
        row("onnx", 0.99, 310, 1.31),
    )
    result = recommend([fast, small, slow], "server", Limits())
    assert result.pick == "tflite_float32"
    assert result.reason == (
        "tflite_float32 is nearly as fast as saved_model, the fastest, and smaller, of the 3 "
        "within 0.1 points of the most accurate (99.00%): 99.00%, 314 kB, 1.290 ms"
    )
    result = recommend([replace(fast, size_bytes=1000), small, slow], "server", Limits())
    assert result.reason.startswith("saved_model is the fastest of the 3 within")


@pytest.mark.parametrize(
    ("tails", "is_busy"), [((3.1, 3.1, 1), True), ((3.1, 1, 1), False), ((3, 3, 3), False)]
)
def test_times_that_spread_on_most_formats_tell_of_a_busy_machine(tails, is_busy):
    rows = [
        replace(row, latency_p50_ms=1.0, latency_p95_ms=t)
        for row, t in zip(ROWS, tails, strict=False)
    ]
    untimed = replace(ROWS[0], name="onnx", latency_p50_ms=None)
    assert recommend([*rows, untimed], "server", Limits()).was_busy is is_busy
    assert not recommend([untimed], "server", Limits()).was_busy


def test_the_front_holds_those_that_no_other_beats():
    result = recommend(ROWS, "server", Limits())
    unbeaten = {candidate.row.name for candidate in result.candidates if candidate.is_unbeaten}
    # saved_model is beaten by both float files; onnx is smaller, tflite_float32 faster.
    assert unbeaten == {"tflite_float32", "tflite_dynamic", "tflite_int8", "onnx"}


def test_each_limit_takes_out_those_beyond_it():
    assert (
        obstacles(recommend(ROWS, "server", Limits(max_kb=86)))["tflite_dynamic"]
        == "88.0 kB is over 86"
    )
    assert obstacles(recommend(ROWS, "server", Limits(max_kb=86)))["tflite_int8"] == ""
    assert obstacles(recommend(ROWS, "server", Limits(max_ms=0.1)))["onnx"] == "over 0.1 ms"
    found = obstacles(recommend(ROWS, "server", Limits(min_accuracy=0.995)))
    assert found["tflite_int8"] == "under 99.50%"


def test_what_failed_verification_is_never_picked():
    rows = [row("tflite_int8", 0.999, 10, 0.01, passed=False), row("onnx", 0.9, 300, 2)]
    result = recommend(rows, "server", Limits())
    assert result.pick == "onnx"
    assert obstacles(result)["tflite_int8"] == "failed verification"


def test_a_target_without_any_format_says_so():
    result = recommend(ROWS[:1], "browser", Limits())
    assert result.reason == "no format fits browser: none that runs there was exported"


@pytest.mark.parametrize("target", TARGETS)
def test_limits_that_nothing_holds_leave_no_pick(target):
    result = recommend(ROWS, target, Limits(max_kb=1))
    assert result.pick is None
    assert result.reason.startswith(f"no format fits {target}: ")
    assert "tflite_int8 (86.0 kB is over 1)" in result.reason
    assert not any(candidate.is_unbeaten for candidate in result.candidates)


def promised(**onnx):
    options = {"onnx": formats()["onnx"].options(**onnx)}
    entries = {
        name: contract.of_format(name, known.interface((28, 28, 1), 10, options.get(name)))
        for name, known in formats().items()
    }
    image, output = contract.image_input((28, 28, 1), "dark"), contract.output(["0"])
    return contract.Contract(image, output, entries, "a", "b", {})


def test_a_phone_is_told_what_an_onnx_file_for_any_batch_costs_there():
    result = recommend(ROWS, "android", Limits())
    (batch, layout) = remarks(promised(), result, "android")
    assert batch.startswith("onnx: for any number of images")
    assert "export.onnx.batch=1" in batch
    assert "export.onnx.layout=nchw" in layout
    assert remarks(promised(batch=1, layout="nchw"), result, "android") == ()


def test_nothing_is_said_of_a_format_that_does_not_fit():
    result = recommend(ROWS, "android", Limits(max_kb=100))
    assert remarks(promised(), result, "android") == ()
