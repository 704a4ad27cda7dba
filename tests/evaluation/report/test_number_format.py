from datetime import UTC, datetime

import pytest

from pipeline.evaluation.report import number_format


def plain(text):
    return text.replace(number_format.THIN_SPACE, " ")


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [
        (0.9953, 2, "99.53 %"),
        (0.5, 0, "50 %"),
        (1.0, 1, "100.0 %"),
        (0.99996, 1, "> 99.9 %"),
        (0.999, 0, "> 99 %"),
    ],
)
def test_only_certainty_reads_as_100_percent(share, decimals, text):
    assert plain(number_format.percent(share, decimals)) == text


def test_ticks_have_no_more_decimals_than_they_need():
    assert [plain(number_format.tick_percent(v)) for v in (1.0, 0.975)] == ["100 %", "97.5 %"]


@pytest.mark.parametrize(("value", "text"), [(0.015234, "0.0152"), (0.14, "0.140"), (2.0, "2.00")])
def test_figures_have_three_significant_digits(value, text):
    assert number_format.figure(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (48.4, "48 s"), (200, "3 min 20 s"), (7_509, "2 h 5 min"), (3600, "1 h")],
)
def test_durations_name_their_two_largest_units(seconds, text):
    assert number_format.duration(seconds) == text


def test_a_moment_is_written_out():
    assert (
        number_format.moment(datetime(2026, 3, 3, 14, 2, tzinfo=UTC)) == "3 March 2026, 14:02 UTC"
    )
