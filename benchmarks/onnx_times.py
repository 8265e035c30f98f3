"""A segmenter in torch compared with its ONNX file in onnxruntime: seconds per image on one thread.

    python benchmarks/onnx_times.py [SEGMENTER] [--rounds 9] [--size 224 320] [--crop 224] [--large]

Without SEGMENTER, a ViT-S/14 with random weights and 21 classes is used, since time does not depend on the weights.
Both predict the same image in turn, as ``predict`` does but without reading and writing files. Seconds are CPU time, so
other load does not count; ratios are computed per round. ``--large`` then predicts one image of 6000 x 4000 pixels with
an overlay, from the folder and from the file, and prints the peak memory of each process.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from PIL import Image
from safetensors.torch import save_file

from tag2mask.data import Classes, DataSettings, Sample
from tag2mask.data.batches import ImageBatch
from tag2mask.exporters.onnx import export_onnx
from tag2mask.files import write_json, write_yaml
from tag2mask.prediction.onnx import OnnxSegmenter
from tag2mask.prediction.onnx_file import OnnxModel
from tag2mask.prediction.segmenter import SegmenterPredictor
from tag2mask.prediction.settings import PredictSettings
from tag2mask.segmentation.build import build_segmenter
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.vit.settings import BackboneSettings

CLASSES = Classes(tuple(f"class {index}" for index in range(20)), "background")
LARGE = (4000, 6000)


def main() -> None:
    """Print the times, and the memory if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("segmenter", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", type=int, nargs=2, default=(224, 320))
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--large", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        segmenter = arguments.segmenter or write_random_segmenter(folder / "segmenter", arguments.crop)
        summary = export_onnx(segmenter, folder / "model.onnx")
        print(f"{summary.bytes / 2**20:.0f} MiB, largest difference {summary.largest_difference:.1e}")
        compare_times(segmenter, summary.path, tuple(arguments.size), arguments.rounds)
        if arguments.large:
            measure_large(folder, [segmenter, summary.path])


def write_random_segmenter(path: Path, crop: int) -> Path:
    """Write a segmenter's folder as ``segment`` does, but untrained."""
    settings = SegmentSettings(backbone=BackboneSettings(image_size=crop), crop=crop)
    segmenter = build_segmenter(settings, DataSettings(), len(CLASSES.pixel_names), "none").segmenter
    path.mkdir()
    save_file(segmenter.state_dict(), path / "model.safetensors")
    write_json(path / "classes.json", CLASSES.to_json())
    write_yaml(
        path / "config.yaml",
        {
            "kind": "segmenter",
            "settings": settings.model_dump(mode="json"),
            "origin": {"labels_used": "none", "truth_used": "none"},
            "data": "none",
            "data_settings": DataSettings().model_dump(mode="json"),
            "mean": [0.5] * 3,
            "std": [0.2] * 3,
        },
    )
    return path


def one_thread(path: Path) -> OnnxModel:
    """Open the file with one thread."""
    model = OnnxModel(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return model


def compare_times(segmenter: Path, file: Path, size: tuple[int, ...], rounds: int) -> None:
    """Print the seconds per image of both, measured in turn, one image at a time."""
    settings = PredictSettings()
    by_torch, by_onnx = SegmenterPredictor(segmenter, settings), OnnxSegmenter(file, one_thread(file), settings)
    image = np.random.default_rng(0).random((3, *size), np.float32)
    batch: ImageBatch = [(Sample("noise", Path()), image)]
    equal = float((by_torch.paint(batch)[0].labels == by_onnx.paint(batch)[0].labels).mean())
    pairs = [(seconds(lambda: by_torch.paint(batch)), seconds(lambda: by_onnx.paint(batch))) for _ in range(rounds)]
    torches, files = zip(*pairs, strict=True)
    ratios = [first / second for first, second in pairs]
    print(f"{size[0]} x {size[1]}, CPU seconds on one thread, best and median of {rounds} rounds")
    print(f"equal pixels: {equal:.4f}")
    print(f"torch {min(torches):.3f} s, {statistics.median(torches):.3f} s")
    print(f"onnxruntime {min(files):.3f} s, {statistics.median(files):.3f} s")
    print(f"torch / onnxruntime: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def seconds(work: Callable[[], object]) -> float:
    """CPU time of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure_large(folder: Path, models: list[Path]) -> None:
    """Predict one large image in a separate process and print its peak memory."""
    coarse = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(coarse).resize(LARGE[::-1], Image.Resampling.BICUBIC).save(folder / "large.jpg")
    for model in models:
        out = folder / "masks"
        shutil.rmtree(out, ignore_errors=True)
        command = [sys.executable, "-m", "tag2mask", "predict", str(model), str(folder / "large.jpg")]
        process = subprocess.Popen([*command, "--out", str(out), "--overlay"])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(process.returncode)
        took = usage.ru_utime + usage.ru_stime
        print(f"{model.name}: 6000 x 4000, peak {usage.ru_maxrss / 1024:.0f} MiB, {took:.0f} s of CPU time")


if __name__ == "__main__":
    main()
