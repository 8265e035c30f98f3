"""The page in a headless browser, against the real server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from driving import Viewer, served, until
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Route, expect, sync_playwright

from tag2mask.data import Classes
from tag2mask.masks.write import MaskSetWriter, Painted
from tag2mask.viewer.opening import opened_session
from tag2mask.viewer.session import Session

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1200, "height": 800})
    yield opened
    opened.close()


Show = Callable[[Session], Viewer]


@pytest.fixture
def show(context: BrowserContext) -> Iterator[Show]:
    """Serves a session and opens it; at the end, no tab may have had a problem."""
    with ExitStack() as stack:
        viewers: list[Viewer] = []

        def open_viewer(session: Session) -> Viewer:
            viewers.append(Viewer.open(session, stack.enter_context(served(session)), context))
            return viewers[-1]

        yield open_viewer
        for viewer in viewers:
            viewer.check()


@pytest.fixture
def viewer(session: Session, show: Show) -> Viewer:
    return show(session)


def tiles(viewer: Viewer) -> list[str]:
    """Names of the tiles in view, in their order."""
    script = """() => [...document.querySelectorAll('.tile:not([hidden])')]
        .sort((a, b) => a.dataset.position - b.dataset.position).map((tile) => tile.querySelector('b').textContent)"""
    found: list[str] = viewer.page.evaluate(script)
    return found


def test_all_images_are_shown_filtered_and_sorted(viewer: Viewer) -> None:
    page, names = viewer.page, [item.name for item in viewer.session.items]
    assert sorted(tiles(viewer)) == names
    page.get_by_label("Order").select_option("name")
    assert tiles(viewer) == names
    page.get_by_label("Search names and classes").fill(names[3])
    assert tiles(viewer) == [names[3]]
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert tiles(viewer) == names
    green = viewer.session.classes.pixel_names.index("green")
    page.get_by_label("Tag", exact=True).select_option(str(green))
    assert tiles(viewer) == [item.name for item in viewer.session.items if green in item.tags]
    expect(page.locator(".count").first).to_contain_text(f"of {len(names)} images")


def test_a_brush_stroke_is_saved_and_undone_after_a_reload(viewer: Viewer) -> None:
    viewer.open_image(0)
    before = viewer.labels(0)
    viewer.page.keyboard.press("0")
    viewer.drag(0, (10, 10), (20, 10))
    viewer.saved_when(lambda: (viewer.labels(0) != before).any())
    assert viewer.labels(0)[10, 10:20].tolist() == [0] * 10
    viewer.page.reload()
    viewer.ready()
    viewer.page.keyboard.press("Control+z")
    viewer.saved_when(lambda: np.array_equal(viewer.labels(0), before))
    viewer.page.keyboard.press("Control+y")
    viewer.saved_when(lambda: (viewer.labels(0) != before).any())


def fail_to_save(route: Route) -> None:
    if route.request.method == "PUT":
        route.abort()
    else:
        route.continue_()


def test_what_was_not_saved_survives_a_reload(viewer: Viewer) -> None:
    viewer.open_image(0)
    before = viewer.labels(0)
    viewer.expected = ("Failed to load resource", "net::ERR")
    viewer.page.route(
        "**/api/mask/0", lambda route: route.abort() if route.request.method == "PUT" else route.continue_()
    )
    viewer.page.keyboard.press("0")
    viewer.drag(0, (10, 10), (20, 10))
    viewer.page.wait_for_selector('.saved[data-state="failed"]')
    assert np.array_equal(viewer.labels(0), before)
    viewer.page.unroute("**/api/mask/0")
    viewer.page.reload()
    viewer.ready()
    viewer.saved_when(lambda: (viewer.labels(0) != before).any())


def test_the_right_button_erases(viewer: Viewer) -> None:
    viewer.open_image(1)
    viewer.page.keyboard.press("1")
    viewer.drag(1, (30, 30), (34, 30), button="right")
    viewer.saved_when(lambda: viewer.labels(1)[30, 30] == 0)
    touched = viewer.session.corrections.touched(viewer.name(1))
    assert touched is not None
    assert touched[30, 30]
    assert not touched[2, 2]


def test_a_lock_keeps_other_classes(viewer: Viewer) -> None:
    viewer.open_image(1)
    before = viewer.labels(1)
    viewer.page.keyboard.press("l")
    viewer.page.keyboard.press("3")
    viewer.drag(1, (5, 20), (45, 20))
    viewer.page.keyboard.press("Control+s")
    viewer.page.wait_for_timeout(300)
    kept = before != 0
    assert np.array_equal(viewer.labels(1)[kept], before[kept])


def test_a_component_is_relabelled_whole(viewer: Viewer) -> None:
    viewer.open_image(2)
    before = viewer.labels(2)
    x, y = 6, 24
    third = (set(viewer.session.classes.pixel_names[1:]) - {viewer.session.classes.pixel_names[before[y, x]]}).pop()
    viewer.page.keyboard.press("v")
    viewer.drag(2, (x, y))
    viewer.page.get_by_role("button", name=third, exact=True).click()
    wanted = viewer.session.classes.pixel_names.index(third)
    viewer.saved_when(lambda: viewer.labels(2)[y, x] == wanted)
    assert (viewer.labels(2) == wanted).sum() >= (before == before[y, x]).sum() - (before == wanted).sum()


def test_snap_paints_whole_superpixels(viewer: Viewer) -> None:
    viewer.open_image(0)
    before = viewer.labels(0)
    viewer.page.keyboard.press("s")
    viewer.page.keyboard.press("0")
    expect(viewer.page.locator(".hint")).to_have_text("Snap, medium superpixels · background")
    viewer.drag(0, (10, 10))
    viewer.saved_when(lambda: viewer.labels(0)[10, 10] == 0)
    assert (viewer.labels(0) != before).sum() > 20
    viewer.page.keyboard.press("Tab")
    expect(viewer.page.locator(".hint")).to_have_text("Snap, large superpixels · background")


def test_marks_spread_after_a_preview(viewer: Viewer) -> None:
    viewer.open_image(0)
    before = viewer.labels(0)
    viewer.page.keyboard.press("k")
    viewer.page.keyboard.press("0")
    viewer.drag(0, (10, 10))
    viewer.page.keyboard.press("2")
    viewer.drag(0, (40, 40))
    viewer.page.keyboard.press("q")
    preview = viewer.page.get_by_role("group", name="Preview")
    expect(preview).to_contain_text("Spread from 2 marks")
    viewer.page.keyboard.press("Escape")
    expect(preview).to_be_hidden()
    assert np.array_equal(viewer.labels(0), before)
    viewer.page.keyboard.press("q")
    expect(preview).to_be_visible()
    viewer.page.keyboard.press("Enter")
    viewer.saved_when(lambda: (viewer.labels(0) != before).any())


def test_a_correction_is_copied_to_ticked_images_only(viewer: Viewer) -> None:
    viewer.open_image(0)
    viewer.page.keyboard.press("1")
    viewer.drag(0, (4, 4), (20, 40))
    viewer.saved_when(lambda: viewer.session.corrections.is_corrected(viewer.name(0)))
    viewer.page.keyboard.press("i")
    dialog = viewer.page.get_by_role("dialog")
    expect(dialog).to_contain_text("open images with this tag were compared")
    boxes = dialog.get_by_role("checkbox")
    for number in range(1, boxes.count()):
        boxes.nth(number).uncheck()
    name = dialog.locator(".proposal b").first.inner_text()
    dialog.get_by_role("button", name="Apply to the ticked images").click()
    until(viewer.page, lambda: viewer.session.corrections.is_corrected(name))
    others = {item.name for item in viewer.session.items} - {name, viewer.name(0)}
    assert not any(map(viewer.session.corrections.is_corrected, others))


def test_a_threshold_is_applied_to_all_open_images(viewer: Viewer) -> None:
    viewer.open_image(0)
    viewer.page.keyboard.press("1")
    viewer.page.keyboard.press("}")
    viewer.saved_when(lambda: viewer.session.corrections.is_corrected(viewer.name(0)))
    viewer.page.keyboard.press("Control+Enter")
    viewer.page.get_by_role("dialog").get_by_role("button", name="Repaint").click()
    expect(viewer.page.locator("#notes")).to_contain_text("images repainted")
    viewer.saved_when(lambda: True)


def test_cells_of_the_confusion_matrix_open_their_images(viewer: Viewer) -> None:
    viewer.page.keyboard.press("x")
    cell = viewer.page.get_by_role("button", name="red painted as red")
    cell.click()
    expect(viewer.page.locator(".chip")).to_contain_text("red painted as red")
    red = viewer.session.classes.pixel_names.index("red")
    with_red = {item.name for item in viewer.session.items if red in item.tags}
    assert set(tiles(viewer)) <= with_red
    assert tiles(viewer)
    viewer.page.keyboard.press("Escape")
    assert len(tiles(viewer)) == len(viewer.session.items)


def test_two_masks_side_by_side(viewer: Viewer) -> None:
    viewer.open_image(0)
    viewer.page.keyboard.press("c")
    other = viewer.page.get_by_role("img", name=f"Truth of {viewer.name(0)}")
    expect(other).to_be_visible()
    viewer.page.get_by_label("Shown beside the mask").select_option("original")
    expect(viewer.page.get_by_role("img", name=f"Before corrections of {viewer.name(0)}")).to_be_visible()
    viewer.page.locator("canvas.stage").focus()
    viewer.page.keyboard.press("Escape")
    expect(viewer.page.locator("canvas.other")).to_have_count(0)


def test_maps_of_classes_layers_and_heads(viewer: Viewer) -> None:
    viewer.open_image(0)
    viewer.page.keyboard.press("1")
    viewer.page.keyboard.press("m")
    hint = viewer.page.locator(".hint")
    expect(hint).to_contain_text("all layers, all heads")
    viewer.page.keyboard.press("ArrowUp")
    expect(hint).to_contain_text("layer 1, all heads")
    viewer.page.keyboard.press("ArrowRight")
    expect(hint).to_contain_text("layer 1, head 1")
    viewer.page.keyboard.press("m")
    viewer.page.locator(".classes .class").nth(1).hover()
    expect(hint).to_contain_text("map of")


def test_whole_class_commands(viewer: Viewer) -> None:
    viewer.open_image(0)
    label = viewer.session.tags(viewer.session.items[0])[0]
    before = (viewer.labels(0) == label).sum()
    viewer.page.keyboard.press("1")
    viewer.page.keyboard.press("-")
    viewer.saved_when(lambda: (viewer.labels(0) == label).sum() < before)
    smaller = (viewer.labels(0) == label).sum()
    viewer.page.keyboard.press("+")
    viewer.saved_when(lambda: (viewer.labels(0) == label).sum() > smaller)


def test_the_threshold_repaints_what_nobody_touched(viewer: Viewer) -> None:
    viewer.open_image(0)
    index = viewer.session.tags(viewer.session.items[0])[0]
    viewer.page.keyboard.press("1")
    viewer.drag(0, (24, 2), (26, 2))
    viewer.saved_when(lambda: viewer.session.corrections.is_corrected(viewer.name(0)))
    painted = (viewer.labels(0) == index).sum()
    slider = viewer.page.locator(f'[data-threshold="{index}"]')
    slider.focus()
    viewer.page.keyboard.press("End")
    viewer.saved_when(lambda: (viewer.labels(0) == index).sum() < painted)
    assert viewer.labels(0)[2, 24] == index


def test_a_tag_repaints_the_mask(viewer: Viewer) -> None:
    viewer.open_image(0)
    item = viewer.session.items[0]
    first = viewer.session.tags(item)[0]
    viewer.page.keyboard.press("Shift+Digit1")
    until(viewer.page, lambda: first not in viewer.session.tags(item))
    until(viewer.page, lambda: not (viewer.labels(0) == first).any())
    box = viewer.page.get_by_label(f"{viewer.session.classes.pixel_names[first]} is a tag of the image")
    expect(box).not_to_be_checked()
    box.check()
    until(viewer.page, lambda: first in viewer.session.tags(item))


def test_accepting_goes_on_and_u_comes_back(viewer: Viewer) -> None:
    viewer.page.get_by_label("Order").select_option("name")
    viewer.page.locator(".tile").filter(has_text=viewer.name(0)).click()
    viewer.ready()
    state = viewer.session.corrections.state
    viewer.page.keyboard.press("a")
    expect(viewer.page.locator(".panel h1")).to_have_text(viewer.name(1))
    assert state(viewer.name(0)) == "accepted"
    viewer.ready()
    viewer.page.keyboard.press("r")
    expect(viewer.page.locator(".panel h1")).to_have_text(viewer.name(2))
    assert state(viewer.name(1)) == "rejected"
    viewer.ready()
    viewer.page.keyboard.press("u")
    expect(viewer.page.locator(".panel h1")).to_have_text(viewer.name(1))
    assert state(viewer.name(1)) == "open"
    viewer.ready()
    viewer.page.keyboard.press("Escape")
    viewer.page.get_by_label("State").select_option("accepted")
    assert tiles(viewer) == [viewer.name(0)]


def test_two_tabs_do_not_overwrite_each_other(viewer: Viewer, context: BrowserContext) -> None:
    other = Viewer.open(viewer.session, viewer.address, context)
    other.expected = ("412",)
    before = viewer.labels(0)
    for tab in (viewer, other):
        tab.open_image(0)
        tab.page.keyboard.press("0")
    viewer.drag(0, (10, 10), (14, 10))
    viewer.saved_when(lambda: viewer.labels(0)[10, 10] == 0)
    other.page.bring_to_front()
    other.drag(0, (10, 40), (14, 40))
    dialog = other.page.get_by_role("dialog")
    expect(dialog).to_contain_text("changed elsewhere")
    dialog.get_by_role("button", name="Put my strokes on theirs").click()
    other.saved_when(lambda: viewer.labels(0)[40, 10] == 0)
    assert viewer.labels(0)[10, 10] == 0
    assert np.array_equal(viewer.labels(0)[25], before[25])
    other.check()


def test_everything_works_from_the_keyboard(viewer: Viewer) -> None:
    press = viewer.page.keyboard.press
    viewer.page.get_by_label("Order").select_option("name")
    viewer.page.locator(".scroller").focus()
    press("End")
    press("Home")
    press("ArrowRight")
    press("Enter")
    expect(viewer.page.locator(".panel h1")).to_have_text(viewer.name(1))
    viewer.ready()
    press("0")
    for key in ("ArrowLeft", "ArrowUp", "Enter"):
        press(key)
    viewer.saved_when(lambda: viewer.session.corrections.is_corrected(viewer.name(1)))
    press("Escape")
    expect(viewer.page.locator(".tile[aria-selected=true] b")).to_have_text(viewer.name(1))


def test_held_keys_and_the_page_of_keys(viewer: Viewer) -> None:
    viewer.open_image(0)
    keyboard = viewer.page.keyboard
    keyboard.press("0")
    picture = "() => document.querySelector('canvas.stage').toDataURL()"
    plain = viewer.page.evaluate(picture)
    for key in (" ", "t"):
        keyboard.down(key)
        until(viewer.page, lambda: viewer.page.evaluate(picture) != plain)
        keyboard.up(key)
        until(viewer.page, lambda: viewer.page.evaluate(picture) == plain)
    keyboard.press("?")
    dialog = viewer.page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("accept the mask")
    keyboard.press("?")
    expect(dialog).to_have_count(0)


def test_light_and_dark_are_remembered(viewer: Viewer) -> None:
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = viewer.page.evaluate(ground)
    viewer.page.keyboard.press("d")
    dark = viewer.page.evaluate(ground)
    assert dark != light
    viewer.page.reload()
    viewer.page.wait_for_selector(".tile")
    assert viewer.page.evaluate(ground) == dark


def test_names_of_classes_stay_text(tmp_path: Path, show: Show) -> None:
    bad = "<img src=x onerror=document.title='caught'>"
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(tmp_path / "images/a.png")
    (tmp_path / "classes.txt").write_text(f"background\n{bad}\n")
    (tmp_path / "labels.csv").write_text(f"image,labels\na.png,{bad}\n")
    origin = {"settings": {"tags": "given"}, "data": str(tmp_path)}
    writer = MaskSetWriter(tmp_path / "masks-bad", Classes((bad,), "background"), origin)
    writer.add("a", Painted(np.ones((20, 30), np.int64), [bad], fallback=False))
    writer.finish({})
    with opened_session(tmp_path / "masks-bad") as session:
        viewer = show(session)
        expect(viewer.page.locator(".tile")).to_contain_text(bad)
        viewer.open_image(0)
        expect(viewer.page.locator(".classes li").first).to_contain_text(bad)
        assert viewer.page.locator("img[src=x]").count() == 0
        assert "caught" not in viewer.page.title()
