from datetime import UTC, datetime

from export.formats.verdict import Verdict
from pipeline.evaluation.report import verdict as verdict_page

MADE = datetime(2026, 3, 3, 14, 2, tzinfo=UTC)


def layer(output_error):
    return {
        "name": "hidden",
        "kind": "FULLY_CONNECTED",
        "computes_in": "int8",
        "weights_stored_in": "int8",
        "weight_sqnr_db": 40.0,
        "weights_at_ends": 0.125,
        "output_error": output_error,
        "clipped": 0.0625,
    }


def page(record):
    verdict = Verdict(60, 0.9, threads=1, warmup_runs=1, timed_runs=1, formats=())
    subject = verdict_page.Subject(verdict, {"tflite_int8": record}, (), "photos", "0" * 16)
    return verdict_page.render(subject, MADE)


def test_a_layer_without_an_output_error_has_a_dash():
    shown = page({"layers": [layer(0.25), layer(None)], "tries": [], "input_pixels_clipped": 0})
    first, second = shown.split('title="hidden"')[1:]
    assert '<td class="num">25.00' in first
    assert '<td class="num">–</td><td class="num">40.0' in second


def test_pixels_that_the_input_clips_are_told():
    shown = page({"layers": [layer(0.25)], "tries": [], "input_pixels_clipped": 0.0325})
    assert "cannot hold as they are: 3.25" in shown


def test_the_page_is_named_after_the_config():
    shown = page({"layers": [], "tries": [], "input_pixels_clipped": 0})
    assert "<h1>Exported files of photos</h1>" in shown
    assert "<title>photos: 0 of 0 exported files pass</title>" in shown
    assert f"model {'0' * 16}, verified" in shown
