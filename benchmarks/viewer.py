"""How fast the viewer scrolls and repaints, and how much memory its server takes.

    python benchmarks/viewer.py DIR [--images 5000] [--chromium /usr/bin/chromium]

Writes generated images, a small run and its masks into DIR unless they exist, starts ``tag2mask view`` on them, and
drives it in a headless Chromium (package playwright): scrolls from the first to the last image, drags a threshold, and
browses a thousand images while it watches the server's memory. Give the machine's load with the figures: other work
on the same cores costs frames.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image, ImageDraw

COLOURS = {"red": (200, 60, 50), "green": (60, 170, 80), "blue": (60, 80, 200), "yellow": (210, 190, 60)}
SIZE = (500, 375)
RUN: dict[str, Any] = {
    "backbone": {"name": "vit_tiny_patch16_224", "image_size": 112, "patch": 8, "width": 24, "depth": 2, "heads": 3},
    "method_settings": {"map_layers": 2, "attended_layers": 2},
    "weights": "none",
    "epochs": 1,
    "batch_size": 8,
    "precision": "fp32",
}
Labels = NDArray[np.int64]
TOKEN = "a-token-for-the-benchmark"

# Scrolls with requestAnimationFrame for some seconds and returns the time of each frame in milliseconds.
SCROLL = """([pixels, seconds]) => new Promise((resolve) => {
  const scroller = document.querySelector('.scroller');
  const times = [];
  let last = performance.now();
  const begin = last;
  function step(now) {
    times.push(now - last);
    last = now;
    scroller.scrollTop += pixels;
    if (now - begin < seconds * 1000) requestAnimationFrame(step);
    else resolve(times.slice(1));
  }
  requestAnimationFrame(step);
})"""
SLIDE = """async (values) => {
  const slider = document.querySelector('[data-threshold]');
  performance.clearMeasures();
  for (const value of values) {
    slider.value = value;
    slider.dispatchEvent(new Event('input'));
    await new Promise(requestAnimationFrame);
  }
  slider.dispatchEvent(new Event('change'));
  return performance.getEntriesByName('repaint').map((entry) => entry.duration);
}"""


def main() -> None:
    """Print frames per second, milliseconds per repaint and the server's memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--browsed", type=int, default=1000)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    masks = write_masks(arguments.root, arguments.images)
    run = write_run(arguments.root)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with served(masks) as (address, process), browser(arguments.chromium, address) as page:
        wait_for_ranking(page)
        scroll(page)
        browse(page, psutil.Process(process.pid), min(arguments.browsed, arguments.images))
    with served(run / "masks-all") as (address, _), browser(arguments.chromium, address) as page:
        slide(page)


def write_masks(root: Path, count: int) -> Path:
    """Write images and masks that show what is in them."""
    from tag2mask.data import Classes
    from tag2mask.masks.write import MaskSetWriter, Painted

    masks = root / "masks"
    if masks.exists():
        return masks
    origin = {"labels_used": "image tags, given", "truth_used": "none", "settings": {"tags": "given"}}
    writer = MaskSetWriter(masks, Classes(tuple(COLOURS), "background"), {**origin, "data": str(root / "data")})
    for name, labels, tag in write_images(root / "data", count):
        writer.add(name, Painted(labels, [tag], fallback=False))
    writer.finish({})
    return masks


def write_images(data: Path, count: int) -> Iterator[tuple[str, Labels, str]]:
    """Write a data folder of images with a shape each, 50 different ones; yield name, labels and tag of each."""
    (data / "images").mkdir(parents=True)
    (data / "classes.txt").write_text("\n".join(["background", *COLOURS]) + "\n")
    drawn = [draw(seed) for seed in range(50)]
    lines = ["image,labels"]
    for number in range(count):
        image, labels, tag = drawn[number % len(drawn)]
        name = f"image_{number:05d}"
        image.save(data / f"images/{name}.jpg", quality=80)
        lines.append(f"{name}.jpg,{tag}")
        yield name, labels, tag
    (data / "labels.csv").write_text("\n".join(lines) + "\n")


def draw(seed: int) -> tuple[Image.Image, Labels, str]:
    """Draw an ellipse of one colour on a noisy ground: the image, its labels and its tag."""
    generator = np.random.default_rng(seed)
    value = int(generator.integers(len(COLOURS)))
    tag = list(COLOURS)[value]
    ground = generator.normal(120, 25, (SIZE[1] // 5, SIZE[0] // 5, 3)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(ground).resize(SIZE, Image.Resampling.BICUBIC)
    labels = Image.new("L", SIZE)
    left, upper = int(generator.integers(20, 220)), int(generator.integers(20, 150))
    box = (left, upper, left + int(generator.integers(120, 260)), upper + int(generator.integers(100, 200)))
    ImageDraw.Draw(image).ellipse(box, COLOURS[tag])
    ImageDraw.Draw(labels).ellipse(box, value + 1)
    return image, np.asarray(labels, np.int64), tag


def write_run(root: Path) -> Path:
    """Train a small network for an epoch, whose maps the slider repaints."""
    from tag2mask import make_masks, train

    run = root / "run"
    if not run.exists():
        for _ in write_images(root / "small", 24):
            pass
        train(root / "small", run, probe=False, **RUN)
        make_masks(run, split="all", scores=True)
    return run


@contextmanager
def served(masks: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run ``tag2mask view``; yield its address."""
    command = [sys.executable, "-m", "tag2mask", "view", str(masks), "--no-open", "--token", TOKEN]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield next(line.strip() for line in process.stderr if line.startswith("http")), process
        finally:
            process.terminate()


@contextmanager
def browser(chromium: str, address: str) -> Iterator[Any]:
    """Open the address in a headless browser; yield the page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": 1400, "height": 900})
        page.goto(address)
        page.wait_for_selector(".tile")
        yield page
        opened.close()


def wait_for_ranking(page: Any) -> None:
    """Wait until the server has read and ranked all masks, which takes a core."""
    while True:
        ranking = page.evaluate("fetch('/api/ranking').then((answer) => answer.json())")
        if min(ranking["done"], ranking["read"]) >= ranking["total"]:
            return
        page.wait_for_timeout(2000)


def scroll(page: Any) -> None:
    """Scroll at several speeds: pictures load at the slow one, and only tiles move at the fast ones."""
    height = page.evaluate("document.querySelector('.scroller').scrollHeight")
    for pixels in (8, 60, 600):
        page.evaluate("document.querySelector('.scroller').scrollTop = 0")
        page.wait_for_timeout(1500)
        times = page.evaluate(SCROLL, [pixels, min(10.0, height / pixels / 60)])
        rate = 1000 * len(times) / sum(times)
        late = sum(time > 34 for time in times) / len(times)
        print(
            f"scrolling {pixels} pixels a frame: {rate:.1f} frames/s, median {statistics.median(times):.1f} ms, "
            f"longest {max(times):.0f} ms, {late:.1%} of the frames later than 34 ms"
        )


def browse(page: Any, server: psutil.Process, count: int) -> None:
    """Fetch image, mask and thumbnails of many images, as a person does who opens one after the other."""
    fetch = """async (ids) => { for (const id of ids) for (const part of ['thumb', 'thumb-mask', 'image', 'mask'])
        await (await fetch(`/api/${part}/${id}`)).arrayBuffer(); }"""
    held = []
    start, before = time.perf_counter(), sum(server.cpu_times()[:2])
    for first in range(0, count, 100):
        page.evaluate(fetch, list(range(first, min(first + 100, count))))
        held.append(server.memory_info().rss // 2**20)
    minutes = (time.perf_counter() - start) / 60
    work = 1000 * (sum(server.cpu_times()[:2]) - before) / count
    print(f"{count} images, {count / minutes:.0f} a minute, {work:.0f} ms of the server's CPU time each")
    print(f"server memory after each hundred images, MiB: {held}")


def slide(page: Any) -> None:
    """Drag a threshold of an image back and forth."""
    page.evaluate("location.hash = '#/image/0'")
    page.wait_for_selector("[data-threshold]")
    page.wait_for_timeout(2000)
    times = page.evaluate(SLIDE, [i / 100 for i in range(5, 95)])
    size = page.evaluate("(({ width, height }) => `${width} x ${height}`)(document.querySelector('canvas.stage'))")
    print(
        f"threshold: median {statistics.median(times):.1f} ms, longest {max(times):.1f} ms for an image of "
        f"{SIZE[0]} x {SIZE[1]} pixels on a canvas of {size}"
    )


if __name__ == "__main__":
    main()
