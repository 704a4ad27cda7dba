import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest

from pipeline.data.dataset_json import Preparation
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.report import report
from pipeline.evaluation.report.history import History, Kept
from pipeline.evaluation.report.number_format import THIN_SPACE
from pipeline.evaluation.report.provenance import Fact
from pipeline.evaluation.report.summary import summarize

MADE = datetime(2026, 3, 3, 14, 2, tzinfo=UTC)
HISTORY = History((1.0, 2.0), {"loss": (0.5, 0.25), "val_loss": (0.4, 0.3), "accuracy": (0.8, 0.9)})
VOID = {"meta", "link", "img", "br", "wbr"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and refuses tags that do not match."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def evaluation(num_classes=3, count=60, classes=None):
    random = np.random.default_rng(0)
    labels = np.arange(count) % num_classes
    probabilities = random.dirichlet(np.ones(num_classes), count).astype(np.float32)
    predictions = Predictions(labels, probabilities)
    return report.Evaluation(
        summary=summarize(predictions, 5),
        predictions=predictions,
        history=HISTORY,
        dataset=report.Dataset(
            classes=classes or [f"c{i}" for i in range(num_classes)],
            counts={"train": [9] * num_classes, "test": np.bincount(labels).tolist()},
            images=random.integers(0, 256, (count, 8, 8, 1), np.uint8),
            origin="Made up.",
            preview=b"\x89PNG",
        ),
        origin=report.Origin("mnist", "compact_cnn", {"Training": [Fact("device", "CPU")]}),
    )


def render(shown, worst_mistakes=4, made=MADE):
    return report.render(shown, worst_mistakes=worst_mistakes, made=made)


def test_the_page_has_every_part_in_order():
    html = render(evaluation())
    page = Page(html)
    assert re.findall("<h2.*?>(.*?)</h2>", html) == [
        "Data",
        "Confusions",
        "Classes",
        "Training",
        "Calibration",
        "Worst mistakes",
        "How it was made",
    ]
    assert "3 March 2026, 14:02 UTC" in page.text
    assert "compact_cnn" in page.text
    assert "images of 8 × 8 pixels in grey. Source: Made up." in page.text
    assert "ink on an even ground" not in page.text


def test_how_ink_lies_in_the_images_is_told():
    shown = evaluation()
    known = Preparation(20, "mass", (28, 29))
    page = Page(render(replace(shown, dataset=replace(shown.dataset, preparation=known))))
    assert (
        "ink on an even ground, 20 pixels large, with the centre of mass 14.0 pixels" in page.text
    )
    assert "from the top and 14.5 from the left" in page.text


def test_the_page_asks_for_nothing_from_outside():
    html = render(evaluation())
    page = Page(html)
    targets = [v for _, a in page.tags for k, v in a.items() if k in ("src", "href", "srcset")]
    assert targets
    assert all(target.startswith("data:") for target in targets)
    assert not re.search(r"url\(|@import|//\w|<script|<iframe|<object", html)


def test_every_picture_and_chart_has_words_for_those_who_cannot_see_it():
    page = Page(render(evaluation()))
    charts = [svg for svg in page.all("svg") if "aria-hidden" not in svg]
    assert len(charts) == 3
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert all(image["alt"] for image in page.all("img"))


def test_two_pages_differ_in_their_date_alone():
    shown = evaluation()
    later = render(shown, made=MADE.replace(year=2027))
    assert render(shown) == render(shown)
    assert later.replace("2027", "2026") == render(shown)


def test_names_are_text_and_never_markup():
    name = "<script>alert('x')</script>"
    page = Page(render(evaluation(classes=[name, "b", "c"])))
    assert page.all("script") == []
    assert name in page.text


def test_as_many_mistakes_are_shown_as_asked_for_worst_first():
    shown = evaluation()
    alts = [image["alt"] for image in Page(render(shown)).all("img")][1:]
    worst = shown.predictions.worst_mistakes(4)
    assert [int(re.search(r"image (\d+):", alt).group(1)) for alt in alts] == worst.tolist()


def test_without_mistakes_there_is_no_such_part():
    shown = evaluation()
    perfect = Predictions(shown.predictions.labels, np.eye(3, dtype=np.float32)[np.arange(60) % 3])
    html = render(replace(shown, predictions=perfect, summary=summarize(perfect, 5)))
    assert "Worst mistakes" not in html
    assert "Most frequent" not in html
    assert "100.0" in Page(html).text


def test_without_a_history_there_are_no_curves():
    assert "<h2>Training</h2>" not in render(replace(evaluation(), history=History((), {})))


def test_of_several_networks_the_report_says_that_the_curves_are_their_mean():
    words = Page(render(replace(evaluation(), history=replace(HISTORY, members=3)))).text
    assert "The curves are the mean of 3 networks, each on its own" in words
    assert "mean of" not in Page(render(evaluation())).text.partition("Training")[2]


def test_the_report_names_the_epoch_that_was_kept_and_gives_its_figures():
    went = replace(HISTORY, kept=Kept(1, "val_loss"))
    html = render(replace(evaluation(), history=went))
    text = Page(html).text
    assert "of epoch 1, which was kept for its lowest validation loss" in text
    assert "validation 0.400" in text
    assert html.count('class="kept"') == 2
    assert "The figures are of the last epoch." in Page(render(evaluation())).text


def test_a_class_without_test_images_has_no_scores():
    shown = evaluation()
    labels = np.minimum(shown.predictions.labels, 1)
    absent = Predictions(labels, shown.predictions.probabilities)
    page = Page(render(replace(shown, predictions=absent, summary=summarize(absent, 5))))
    assert page.text.count("–") == 3


@pytest.mark.parametrize(("num_classes", "look"), [(10, "matrix"), (47, "matrix dense")])
def test_a_large_matrix_is_set_tight(num_classes, look):
    page = Page(render(evaluation(num_classes, 500)))
    assert look in [table.get("class") for table in page.all("table")]
    cells = [cell for cell in page.all("td") if cell.get("class") == "hit"]
    assert len(cells) == num_classes


def test_a_matrix_too_large_to_read_leaves_its_most_frequent_confusions():
    page = Page(render(evaluation(130, 520)))
    assert "matrix dense" not in [table.get("class") for table in page.all("table")]
    assert "Most frequent" in page.text


def test_the_most_frequent_confusions_come_first():
    confusion = np.array([[8, 2, 0], [0, 5, 5], [0, 0, 0]])
    found = report.most_confused(confusion, ("a", "b", "c"))
    assert found == [report.Confusion("b", "c", 5, 0.5), report.Confusion("a", "b", 2, 0.2)]


def test_the_colour_of_a_cell_grows_with_its_share_of_the_true_class():
    # Of 1,000: 4 are under 0.5 %, 5 are not; of 10: 1 is 10 %.
    confusion = np.array([[991, 4, 5], [1, 9, 0], [0, 0, 0]])
    levels = [[level for _, level in row] for row in report.matrix_cells(confusion)]
    assert levels == [[6, 1, 2], [6, 6, 0], [0, 0, 0]]


def test_the_colours_that_the_matrix_shows_are_explained_and_no_others():
    # 4 of 1,000 are under 0.5 %; 6 of 100 lie between 5 and 10 %; the diagonal does not count.
    confusion = np.array([[996, 4, 0], [6, 94, 0], [0, 0, 0]])
    key = report.colour_key(report.matrix_cells(confusion))
    assert key == [(1, f"under 0.5{THIN_SPACE}%"), (5, f"5 to 10{THIN_SPACE}%")]
    half = report.colour_key(report.matrix_cells(np.array([[1, 1], [0, 2]])))
    assert half == [(6, f"10{THIN_SPACE}% and more")]
    assert report.colour_key(None) == []


def test_long_names_of_settings_may_break_and_short_values_may_not():
    facts = {"Settings": [Fact("augmentation.a_<b>", "0.5"), Fact("device", "x" * 60)]}
    shown = replace(evaluation(), origin=report.Origin("mnist", "compact_cnn", facts))
    html = render(shown)
    assert '<dt>augmentation.<wbr>a_<wbr>&lt;b&gt;</dt><dd class="short">0.5</dd>' in html
    assert f"<dd>{'x' * 60}</dd>" in html


def with_checks(*findings):
    shown = evaluation()
    facts = {"images": 27, "mean": [12.34], "deviation": [56.78]}
    checks = {"findings": findings, "statistics": {"train": facts, "test": facts}}
    return replace(shown, dataset=replace(shown.dataset, checks=checks))


def test_findings_are_told_with_examples_and_never_as_markup():
    images = [{"name": "<b>.png", "split": "train", "label": "a"}] * 2
    finding = {
        "check": "near_duplicates",
        "level": "warn",
        "message": "3 images nearly equal",
        "examples": [images],
    }
    html = render(with_checks(finding))
    page = Page(html)
    assert "<h2>Data checks</h2>" in html
    assert "Near duplicates" in page.text
    assert "3 images nearly equal." in page.text
    assert "<b>.png (train) = <b>.png (train)" in page.text
    assert "Training 27 12.3 56.8 Test 27 12.3 56.8" in re.sub(
        r"\s+", " ", re.sub("<[^>]*>", " ", html)
    )


def test_pairs_found_alike_are_shown_with_words_and_never_as_markup():
    images = [{"name": f"<{n}>.png", "split": "test", "label": "a", "number": n} for n in (7, 8)]
    finding = {"check": "leakage", "level": "warn", "message": "1 image", "examples": [images]}
    shown = with_checks(finding)
    alike = {number: np.full((8, 8, 1), number, np.uint8) for number in (7, 8)}
    page = Page(render(replace(shown, dataset=replace(shown.dataset, alike=alike))))
    assert "Found alike" in page.text
    described = [image["alt"] for image in page.all("img")]
    assert {"<7>.png, a in test", "<8>.png, a in test"} <= set(described)
    assert "Found alike" not in render(shown)


def test_pixels_of_each_class_are_folded_away():
    shown = with_checks()
    classes = {name: {"images": 3, "mean": [9.87], "deviation": [6.54]} for name in "ab"}
    facts = {**shown.dataset.checks["statistics"]["train"], "classes": classes}
    checks = {"findings": [], "statistics": {"train": facts, "test": facts}}
    page = Page(render(replace(shown, dataset=replace(shown.dataset, checks=checks))))
    assert len(page.all("details")) == 1
    assert page.text.count("9.9 ± 6.5") == 4


def test_without_findings_the_report_says_so():
    assert "before any training found nothing" in render(with_checks())
    assert "Data checks" not in render(evaluation())
