from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tag2mask import make_masks, predict, train
from tag2mask.errors import MaskSetError, RunError
from tag2mask.reports.page import head_rows, own_mask_set, unbroken, write_page, write_report
from tag2mask.reports.tag_charts import tag_charts
from tag2mask.training.run import open_run


class Nesting(HTMLParser):
    """The elements that are open."""

    ALONE = frozenset({"meta", "img", "line", "circle", "polyline", "br"})  # have no end

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.ALONE:
            assert self.open, tag
            assert self.open.pop() == tag


def require_whole(page: str) -> None:
    """Every element that begins ends, and what began last ends first."""
    nesting = Nesting()
    nesting.feed(page)
    nesting.close()
    assert nesting.open == []
    assert "{{" not in page
    assert "None" not in re.sub("<dd>None</dd>", "", page)


def test_an_element_that_does_not_end_is_found() -> None:
    with pytest.raises(AssertionError):
        require_whole("<div><p></div>")


def test_the_page_stands_alone_and_shows_everything(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained / "run", tmp_path / "run"))
    made = make_masks(run, split="val")
    page = write_report(run, made.path, trained / "squares/masks").read_text()
    require_whole(page)
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "<script" not in page
    sheet, _, by_class = page.partition("Class by class")
    assert sheet.count("<img") == 4 * 5  # image, mask, truth and two maps for each of four images
    assert by_class.count("<img") == 4 * 2  # each of four images once for each of its two classes
    for part in (
        "Training loss",
        "Precision and recall of tags",
        "Calibration of tags",
        "Confusion of classes",
        "mIoU by background threshold",
        "(tag2mask doctor)",
        "painted at random",
        ">precision<",
        ">recall<",
        "backbone.image_size",
        "checkpoint_sha256",
        "green",
    ):
        assert part in page


def test_names_are_escaped(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    evil, evil_file = "<script>alert(1)</script>", "p00<i onload=1>"
    for name in ("classes.txt", "labels.csv", "splits/train.txt"):
        path = squares / name
        path.write_text(path.read_text().replace("red", evil).replace("p00", evil_file))
    for folder in ("images", "masks"):
        (squares / folder / "p00.png").rename(squares / folder / f"{evil_file}.png")
    train(squares, tmp_path / "run", **small)
    make_masks(tmp_path / "run")
    page = write_report(tmp_path / "run").read_text()
    assert "<script" not in page
    assert "<i onload" not in page
    assert "&lt;script&gt;" in page
    assert "p00&lt;i onload=1&gt;" in page


def test_without_masks_it_says_how_to_make_some(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained / "run", tmp_path / "run"))
    with pytest.raises(MaskSetError, match="has no mask set yet: paint one with tag2mask masks"):
        write_report(run)


def test_truth_of_the_data_set_is_shown_unasked_if_there_is_any(trained: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(trained / "squares", tmp_path / "data"))
    shutil.rmtree(data / "masks")
    for images, shown in ((trained / "squares", True), (data, False)):
        made = make_masks(trained / "run", images, tmp_path / f"set-{shown}", split="val")
        page = write_report(trained / "run", made.path, out=tmp_path / "new/report.html").read_text()
        assert ("painted at random" in page) == (">truth<" in page) == shown
        assert page.partition("Class by class")[0].count("<img") == (4 if shown else 3) * 4 + 4
        assert ("Confusion of classes" in page) == shown


def test_of_several_mask_sets_that_of_train_is_shown(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained / "run", tmp_path / "run"))
    assert own_mask_set_after(run, "val") == run / "masks-val"
    make_masks(run, out=run / "masks-other", split="val")
    with pytest.raises(MaskSetError, match="has 2 mask sets: name one with --masks"):
        write_report(run)
    assert own_mask_set_after(run, "train") == run / "masks-train"


def own_mask_set_after(run: Path, split: str) -> Path:
    make_masks(run, split=split)
    return own_mask_set(run)


def test_an_unfinished_mask_set_is_refused(trained: Path, tmp_path: Path) -> None:
    made = make_masks(trained / "run", out=tmp_path / "set", split="val")
    manifest = json.loads((made.path / "manifest.json").read_text())
    (made.path / "manifest.json").write_text(json.dumps({**manifest, "complete": False}))
    with pytest.raises(MaskSetError, match="is not finished: run the same tag2mask command again"):
        write_report(trained / "run", made.path)


def test_masks_of_other_images_are_refused(trained: Path, tmp_path: Path) -> None:
    predict(trained / "run", trained / "squares/images", tmp_path / "masks")
    with pytest.raises(
        MaskSetError, match="masks was not painted by tag2mask masks; give the masks of a segmenter with"
    ):
        write_report(trained / "run", tmp_path / "masks")


def test_masks_of_other_classes_are_refused(run: Path) -> None:
    masks = make_masks(run, split="val").path
    path = masks / "classes.json"
    path.write_text(path.read_text().replace('"background": "background"', '"background": "ground"'))
    with pytest.raises(MaskSetError, match="its classes are not those of"):
        write_report(run, masks)


def test_open_heads_are_told_for_some_epochs_the_first_and_the_last_among_them() -> None:
    rows = head_rows([{"epoch": epoch, "open_heads": [4, 6 - epoch % 3]} for epoch in range(1, 31)])
    assert len(rows) == 8
    assert [rows[0]["epoch"], rows[-1]["epoch"]] == ["1", "30"]
    assert rows[-1]["cells"] == [(4, 67), (6, 100)]
    assert rows[-1]["sum"] == 10
    assert head_rows([{"epoch": 1, "open_heads": None}]) == []


def test_a_name_that_is_no_utf8_is_shown_by_its_bytes(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", "<b>p\udcff</b>")
    assert (tmp_path / "page.html").read_bytes() == b"<b>p\\udcff</b>"


def test_only_a_report_about_the_same_run_is_replaced(run: Path) -> None:
    data, masks = run.parent / "squares", make_masks(run).path
    before = (data / "labels.csv").read_text()
    with pytest.raises(
        RunError, match=r"labels\.csv already exists and is not a report about .*run; choose another --out"
    ):
        write_report(run, masks, out=data / "labels.csv")
    assert (data / "labels.csv").read_text() == before
    page = write_report(run, masks)
    assert write_report(run, masks) == page
    page.write_text(page.read_text().replace("<title>run:", "<title>other:"))
    with pytest.raises(RunError, match="is not a report about"):
        write_report(run, masks)


def test_options_are_not_broken_at_their_hyphens_and_all_else_is_text() -> None:
    assert unbroken("masks --threshold 0.2 <b> -- x") == (
        'masks <span class="unbroken">--threshold</span> 0.2 &lt;b&gt; -- x'
    )


def test_a_run_without_validation_images_has_no_charts_of_tags(squares: Path, tmp_path: Path, small: Any) -> None:
    train(squares, tmp_path / "run", **{**small, "epochs": 1, "val_split": None})
    assert tag_charts(open_run(tmp_path / "run")) == []
