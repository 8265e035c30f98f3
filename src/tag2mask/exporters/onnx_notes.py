"""What an ONNX file says of itself to those who use it without tag2mask: what goes in, what comes out, how to paint.

All of it is JSON. Numbers that a program needs stand by themselves; the sentences beside them say what they are for.
"""

from __future__ import annotations

import json
from typing import Any

from tag2mask.data import DataSettings
from tag2mask.data.resizing import LONGEST
from tag2mask.inference.networks import OVERLAP
from tag2mask.masks.paint import EPS
from tag2mask.masks.settings import SHARE_EPS, PaintSettings
from tag2mask.prediction.onnx_file import ModelCard
from tag2mask.segmentation.kinds import SEGMENTER


def notes(card: ModelCard) -> dict[str, str]:
    """Metadata by name."""
    segmenter = card.kind == SEGMENTER
    content = {
        "preprocessing": preprocessing(card),
        "inputs": {"images": {"shape": ["B", card.data_settings.bands, "Y", "X"], "dtype": "float32", "range": [0, 1]}},
        "outputs": segmenter_outputs(card) if segmenter else run_outputs(card),
        "to_masks": segmenter_steps(card) if segmenter else run_steps(card),
    }
    return {name: json.dumps(value) for name, value in content.items()}


def preprocessing(card: ModelCard) -> dict[str, Any]:
    """From a file's pixels to ``images``, in the order in which it is done."""
    segmenter = card.kind == SEGMENTER
    inside = "The graph pads with 0 to whole patches and cuts its output again: pad nothing."
    outside = (
        f"Right and below to multiples of {card.patch} pixels, repeating the edge; cut off again what lies there in "
        "the maps."
    )
    return {
        "orientation": "Turn the image upright as EXIF says.",
        "bands": card.data_settings.bands,
        "band_order": "As in the file; a colour image is RGB, a gray one is repeated where there are 3 bands.",
        "range": [0, 1],
        "values": value_note(card.data_settings),
        "short_side": card.side,
        "resize": (
            f"Multiply both sides by {card.side} / short side and round them (an image more than {LONGEST} times as "
            f"long as it is short: by {LONGEST * card.side} / long side). Each band as float32 by Pillow's BICUBIC "
            "(antialiased), then clipped to the lowest and highest value that the band had."
        ),
        "multiple_of": 1 if segmenter else card.patch,
        "padding": inside if segmenter else outside,
        "normalisation": "normalisation is inside: the graph computes (images - mean) / std. Do not normalise.",
        "normalisation_is_inside": True,
        "mean": list(card.mean),
        "std": list(card.std),
    }


def value_note(settings: DataSettings) -> str:
    """How raw values come to [0, 1]."""
    if settings.clip is not None:
        spans = [list(span) for span in settings.clips() or ()]
        text = f"Clip each band to (low, high) of {spans}, subtract low and divide by high - low."
    else:
        text = "Divide integers by the largest value of their type (255, 65535); take floats as they are."
    if settings.scale == "maximum":
        text += " Then divide each band by its own maximum in the image."
    return text


def segmenter_outputs(card: ModelCard) -> dict[str, Any]:
    """A segmenter's output."""
    return {
        "logits": {
            "shape": ["B", len(card.classes.pixel_names), "Y", "X"],
            "classes": list(card.classes.pixel_names),
            "meaning": "One logit a pixel and class, by pixel value.",
        }
    }


def run_outputs(card: ModelCard) -> dict[str, Any]:
    """A tagged run's outputs."""
    names = list(card.classes.names)
    return {
        "logits": {
            "shape": ["B", len(names)],
            "classes": names,
            "meaning": "One logit a class: above 0 the class is somewhere in the image.",
        },
        "maps": {
            "shape": ["B", len(names), f"Y / {card.patch}", f"X / {card.patch}"],
            "classes": names,
            "meaning": "How much each patch belongs to a class. Only differences within one map mean something.",
        },
    }


def segmenter_steps(card: ModelCard) -> dict[str, Any]:
    """From logits to a label image."""
    overlap = OVERLAP
    return {
        "window": card.crop,
        "overlap": overlap,
        "ignore": card.classes.ignore,
        "steps": [
            f"Look at the resized image in windows of {card.crop} x {card.crop} pixels at most, evenly spaced from "
            f"edge to edge and overlapping by a share of {overlap:.2f} at least.",
            "Where windows overlap, average their logits.",
            "Take the softmax over the classes, and resize it bilinearly (corners not aligned) to the image's own "
            "size.",
            "The mask is the argmax over the classes: the index into logits.classes.",
        ],
    }


def run_steps(card: ModelCard) -> dict[str, Any]:
    """From logits and maps to a label image, as ``predict`` does it."""
    classes, background = card.classes, PaintSettings().background
    if classes.background is None:
        shares = [f"Divide each map by the sum of all classes' maps at the patch (+ {SHARE_EPS:g})."]
        none, last = "if there is none, the class with the highest logit", "The mask is the class of the highest map"
    else:
        shares, none = [], f"if there is none, all of the mask is {classes.background} (0)"
        value = background.value
        cut = f"{value:g}" if isinstance(value, float) else f"the map's own threshold ({value})"
        last = f"The mask is {classes.background} (0) where no map is above {cut}, else the class of the highest map"
    return {
        "background": classes.background,
        "background_threshold": None if classes.background is None else background.value,
        "first_pixel_value": classes.offset,
        "ignore": classes.ignore,
        "steps": [
            f"The image's classes are those with a logit above 0; {none}.",
            *shares,
            "Resize the maps bilinearly (corners not aligned) to the padded input, cut the padding off, and resize the "
            "maps of the image's classes to the image's own size.",
            f"Stretch each of these maps to its own range: (map - min) / (max - min + {EPS:g}).",
            f"{last}: pixel value = index into maps.classes + {classes.offset}.",
        ],
    }
