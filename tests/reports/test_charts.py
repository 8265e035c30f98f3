from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tag2mask.data import Classes
from tag2mask.evaluation import confusion
from tag2mask.reports.charts import Chart, bar_chart, heat_chart, line_chart
from tag2mask.reports.mask_charts import MOST, confusion_chart, taken_for
from tag2mask.reports.tag_charts import TagGuesses, calibration_chart, recall_chart


class Texts(HTMLParser):
    """The texts of an SVG, and what it is drawn with."""

    def __init__(self, chart: Chart) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.feed(chart.svg)

    def handle_data(self, data: str) -> None:
        self.texts += [data.strip()] if data.strip() else []


def numbers(chart: Chart) -> list[float]:
    found = [text.replace("\N{MINUS SIGN}", "-") for text in Texts(chart).texts]
    return [float(text) for text in found if re.fullmatch(r"-?[\d.]+", text)]


def test_a_chart_names_its_axes_and_series_and_takes_its_colours_from_the_page() -> None:
    chart = line_chart("Loss", "loss", [1, 2], {"bce": [0.5, 0.4], "gates": [0.2, 0.1]})
    assert {"epoch", "loss", "bce", "gates"} <= set(Texts(chart).texts)
    assert {"var(--s0)", "var(--s1)", "var(--soft)", "var(--line)"} <= set(re.findall(r"var\(--\w+\)", chart.svg))
    assert re.findall(r"#[0-9a-f]{6}", re.sub(r"#[mp][0-9a-f]{10}", "", chart.svg)) == []
    assert not re.search(r"<style|<metadata|<!|<script", chart.svg)
    assert line_chart("Loss", "loss", [1, 2], {"bce": [0.5, 0.4], "gates": [0.2, 0.1]}) == chart


def test_names_are_text() -> None:
    names = ["_hidden", "$x$", "<script>", "a\nb", "\udcff"]
    chart = line_chart("<b>", "y", [1, 2], {name: [0.0, 1.0] for name in names})
    assert {"\u200b_hidden", "$x$", "<script>", "a?b", "?"} <= set(Texts(chart).texts)
    assert "<script" not in chart.svg
    assert 'aria-label="&lt;b&gt;"' in chart.svg


def test_the_axis_starts_at_0_or_below_and_ends_at_its_given_top() -> None:
    assert min(numbers(line_chart("t", "y", [1, 2], {"a": [0.5, 0.87]}))) == 0
    assert max(numbers(line_chart("t", "y", [0, 1], {"a": [0.1, 0.2]}, top=1.0))) == 1
    assert min(numbers(line_chart("t", "y", [1, 2], {"a": [0.7, 0.2], "b": [0.1, -0.25]}))) < 0


@pytest.mark.parametrize(
    "values", [[0.0, 0.0], [-3.0, -1.0], [5e-324, 0.0], [3e38, -3e38], [1e308, -1e308], [0, 1e-31]]
)
def test_any_finite_loss_can_be_drawn(values: list[float]) -> None:
    assert "nan" not in line_chart("t", "y", [1, 2], {"a": values}).svg


def test_a_chart_of_one_epoch() -> None:
    assert 1 in numbers(line_chart("t", "y", [1], {"a": [0.5]}))


def test_cells_show_percent_and_leave_out_what_does_not_occur() -> None:
    shares = np.array([[0.25, 0.75], [np.nan, np.nan]])
    chart = heat_chart("t", shares, ["one", "two"], ["one", "two"], ("x", "y"))
    assert numbers(chart) == [25, 75]
    assert chart.svg.count("var(--s0)") == 2


def test_bars_show_their_lengths_and_chance() -> None:
    chart = bar_chart("t", "mIoU", {"attended": (63.81, 1.0), "linear": (30.7, 0.0)}, ("at random", 26.0))
    assert {"attended", "linear", "63.8", "30.7", "at random"} <= set(Texts(chart).texts)


CLASSES = Classes(("cow", "grass"), "background")


def test_the_confusion_matrix_is_in_percent_of_the_truth() -> None:
    truth = np.array([1, 1, 1, 1, 2, 2, 0, 0])
    masks = np.array([1, 1, 1, 2, 2, 255, 0, 0])
    counts = confusion(truth, masks, 3, 255)
    assert sorted(numbers(confusion_chart(CLASSES, counts))) == [25, 50, 50, 75, 100]
    assert taken_for(CLASSES, counts) == {"background": [], "cow": [("grass", 0.25)], "grass": [("no class", 0.5)]}


def test_of_many_classes_the_most_confused_are_shown() -> None:
    names = tuple(f"c{number}" for number in range(60))
    counts = np.zeros((60, 61), np.int64)
    counts[np.arange(60), np.arange(60)] = 10
    counts[41, 7] = 5
    chart = confusion_chart(Classes(names, None), counts)
    assert "c41" in Texts(chart).texts
    assert f"The {MOST} classes with the most wrong pixels are shown" in chart.note
    assert chart.wide


def test_calibration_knows_a_model_that_is_too_sure() -> None:
    generator = np.random.default_rng(0)
    shares = generator.uniform(0.05, 0.95, (4000, 2))
    tags = generator.uniform(size=shares.shape) < shares
    logits = np.log(shares / (1 - shares))
    errors = []
    for sharper in (1, 4):
        note = calibration_chart(TagGuesses(sharper * logits, tags)).note
        errors.append(float(note.rpartition(": ")[2].rstrip(".")))
    assert errors[0] < 0.02 < 0.1 < errors[1]


def test_the_worst_classes_have_their_own_curve() -> None:
    generator = np.random.default_rng(0)
    tags = generator.uniform(size=(200, 5)) < 0.5
    logits = np.where(tags, 1.0, -1.0)
    logits[:, 2] = generator.normal(size=200)
    texts = Texts(recall_chart(TagGuesses(logits, tags), ("a", "b", "noise", "d", "e"))).texts
    assert {"all tags", "noise"} <= set(texts)
    assert len({"a", "b", "d", "e"} & set(texts)) == 2
