"""The table that ends `make faults` claims no more than was tested."""

from types import SimpleNamespace

import pytest

from tests.faults.conftest import pytest_terminal_summary


def summary(**reports):
    lines = []
    pytest_terminal_summary(
        SimpleNamespace(
            getreports=lambda how: reports.get(how, []),
            section=lines.append,
            write_line=lines.append,
        )
    )
    return lines


def report(*figures):
    return SimpleNamespace(user_properties=list(figures))


def test_what_fired_is_added_up():
    passed = [report(("kills", 1000), ("cuts", 2)), report(("kills", 5)), report()]
    assert summary(passed=passed) == [
        "faults that fired; lost, corrupt or different: 0",
        "  1,005  kills",
        "      2  cuts",
    ]


@pytest.mark.parametrize("how", ["failed", "error"])
def test_where_a_test_failed_the_heading_says_so_and_claims_nothing(how):
    found = summary(passed=[report(("kills", 3))], **{how: [report(("kills", 7))]})
    assert found == ["faults that fired; 1 tests FAILED", "      3  kills"]
