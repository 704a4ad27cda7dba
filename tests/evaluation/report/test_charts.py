import pytest

from pipeline.evaluation.calibration import Bin
from pipeline.evaluation.metrics import Interval
from pipeline.evaluation.report import charts
from pipeline.evaluation.report.history import History, Kept

BOTTOM = charts.HEIGHT - charts.BOTTOM
RIGHT = charts.WIDTH - charts.RIGHT


def curves(column, **columns):
    length = len(next(iter(columns.values())))
    epochs = tuple(float(i + 1) for i in range(length))
    return charts.learning_curves(History(epochs, columns), "Title", column)


def test_an_axis_maps_its_ends_and_its_middle():
    axis = charts.Axis(0, 10, 100, 0)
    assert [axis.place(v) for v in (0, 5, 10)] == [100, 50, 0]


def test_a_logarithmic_axis_puts_the_geometric_mean_in_the_middle():
    assert charts.Axis(0.01, 1, 0, 100, is_log=True).place(0.1) == 50


def test_curves_span_the_width_and_stay_within_the_height():
    found = curves("loss", loss=(0.9, 0.5, 0.3), val_loss=(0.8, 0.6, 0.5))
    assert [line.name for line in found.lines] == ["training", "validation"]
    for line in found.lines:
        assert (line.points[0][0], line.points[-1][0]) == (charts.LEFT, RIGHT)
        assert all(charts.TOP <= y <= BOTTOM for _, y in line.points)
    assert [line.value for line in found.lines] == [0.3, 0.5]
    assert [line.mark for line in found.lines] == [line.points[-1] for line in found.lines]
    assert found.kept is None


def test_the_epoch_that_was_kept_is_marked_and_gives_the_figures():
    columns = {"loss": (0.9, 0.5, 0.3), "val_loss": (0.8, 0.4, 0.5)}
    went = History((1.0, 2.0, 3.0), columns, Kept(2, "val_loss"))
    found = charts.learning_curves(went, "Loss", "loss")
    assert [line.value for line in found.lines] == [0.5, 0.4]
    assert [line.mark for line in found.lines] == [line.points[1] for line in found.lines]
    assert found.kept == (charts.LEFT + RIGHT) / 2


def test_better_losses_lie_lower():
    line = curves("loss", loss=(0.9, 0.3)).lines[0]
    assert line.points[1][1] > line.points[0][1]


def test_a_wide_range_gets_ticks_of_equal_ratio():
    ticks = [t.value for t in curves("loss", loss=(2.0, 0.002)).y_ticks]
    assert ticks == pytest.approx([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3])


def test_a_narrow_range_gets_ticks_of_equal_steps():
    ticks = [t.value for t in curves("accuracy", accuracy=(0.91, 0.99)).y_ticks]
    assert ticks == pytest.approx([0.9, 0.92, 0.94, 0.96, 0.98, 1.0])


def test_a_single_epoch_and_equal_values_still_make_a_chart():
    found = curves("loss", loss=(0.5,))
    assert [t.value for t in found.x_ticks] == [1]
    assert found.lines[0].points[0][1] == pytest.approx((charts.TOP + BOTTOM) / 2)


def test_a_quantity_without_values_makes_no_chart():
    assert curves("accuracy", loss=(0.5, 0.4)) is None


def test_a_perfectly_calibrated_bin_lies_on_the_diagonal():
    perfect = Bin(0.4, 0.6, 10, 0.5, 0.5, Interval(0.25, 0.75))
    dot = charts.reliability_diagram([perfect]).dots[0]
    assert dot.x - charts.LEFT == charts.SQUARE_HEIGHT - charts.BOTTOM - dot.y
    assert dot.high < dot.y < dot.low
