"""Notes in an ONNX file's metadata for use without tag2mask: its inputs and outputs, and how to paint masks.

All notes are JSON. Numbers that a program needs have keys of their own; sentences explain their use.
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
    """Return the notes by name."""
    segmenter = card.kind == SEGMENTER
    content = {
        "preprocessing": preprocessing(card),
        "inputs": {"images": {"shape": ["B", card.data_settings.bands, "Y", "X"], "dtype": "float32", "range": [0, 1]}},
        "outputs": segmenter_outputs(card) if segmenter else run_outputs(card),
        "to_masks": segmenter_steps(card) if segmenter else run_steps(card),
    }
    return {name: json.dumps(value) for name, value in content.items()}


def preprocessing(card: ModelCard) -> dict[str, Any]:
    """Describe the steps from a file's pixels to ``images``, in order."""
    segmenter = card.kind == SEGMENTER
    inside = "The graph pads with 0 to whole patches and crops its output: do not pad."
    outside = f"Pad right and below to multiples of {card.patch} pixels, repeating the edge; crop the maps accordingly."
    return {
        "orientation": "Turn the image upright according to EXIF.",
        "bands": card.data_settings.bands,
        "band_order": "As in the file; colour images are RGB, a gray image is repeated if there are 3 bands.",
        "range": [0, 1],
        "values": value_note(card.data_settings),
        "short_side": card.side,
        "resize": (
            f"Multiply both sides by {card.side} / short side and round them (if the long side is more than {LONGEST} "
            f"times the short side, by {LONGEST * card.side} / long side). Resize each band as float32 with Pillow's "
            "BICUBIC (antialiased), then clip it to its original lowest and highest value."
        ),
        "multiple_of": 1 if segmenter else card.patch,
        "padding": inside if segmenter else outside,
        "normalisation": "Do not normalise: the graph computes (images - mean) / std.",
        "normalisation_is_inside": True,
        "mean": list(card.mean),
        "std": list(card.std),
    }


def value_note(settings: DataSettings) -> str:
    """Describe how raw values are scaled to [0, 1]."""
    if settings.clip is not None:
        spans = [list(span) for span in settings.clips() or ()]
        text = f"Clip each band to (low, high) of {spans}, subtract low and divide by high - low."
    else:
        text = "Divide integers by the largest value of their type (255, 65535); leave floats unchanged."
    if settings.scale == "maximum":
        text += " Then divide each band by its maximum in the image."
    return text


def segmenter_outputs(card: ModelCard) -> dict[str, Any]:
    """Describe a segmenter's output."""
    return {
        "logits": {
            "shape": ["B", len(card.classes.pixel_names), "Y", "X"],
            "classes": list(card.classes.pixel_names),
            "meaning": "One logit per pixel and class; classes are in the order of pixel values.",
        }
    }


def run_outputs(card: ModelCard) -> dict[str, Any]:
    """Describe a tagged run's outputs."""
    names = list(card.classes.names)
    return {
        "logits": {
            "shape": ["B", len(names)],
            "classes": names,
            "meaning": "One logit per class; the class is predicted if its sigmoid is above to_masks.tag_threshold.",
        },
        "maps": {
            "shape": ["B", len(names), f"Y / {card.patch}", f"X / {card.patch}"],
            "classes": names,
            "meaning": "How strongly each patch belongs to a class. Only differences within one map are meaningful.",
        },
    }


def segmenter_steps(card: ModelCard) -> dict[str, Any]:
    """Describe the steps from logits to a label image."""
    overlap = OVERLAP
    return {
        "window": card.crop,
        "overlap": overlap,
        "ignore": card.classes.ignore,
        "steps": [
            f"Run the model on windows of the resized image of at most {card.crop} x {card.crop} pixels, evenly spaced "
            f"from edge to edge and overlapping by at least {overlap:.2f} of their size.",
            "Where windows overlap, average their logits.",
            "Take the softmax over the classes, and resize it bilinearly (corners not aligned) to the image's original "
            "size.",
            "The mask is the argmax over the classes, an index into logits.classes.",
        ],
    }


def run_steps(card: ModelCard) -> dict[str, Any]:
    """Describe the steps from logits and maps to a label image, as in ``predict``."""
    classes, background = card.classes, PaintSettings().background
    if classes.background is None:
        shares = [f"Divide each map by the sum of all classes' maps at the patch (+ {SHARE_EPS:g})."]
        none, last = "if there is none, the class with the highest logit", "The mask is the class with the highest map"
    else:
        shares, none = [], f"if there is none, all of the mask is {classes.background} (0)"
        value = background.value
        cut = f"{value:g}" if isinstance(value, float) else f"its own threshold ({value})"
        last = f"The mask is {classes.background} (0) where no map is above {cut}, else the class with the highest map"
    return {
        "background": classes.background,
        "background_threshold": None if classes.background is None else background.value,
        "tag_threshold": card.tag_threshold,
        "first_pixel_value": classes.offset,
        "ignore": classes.ignore,
        "steps": [
            f"The image's classes are those whose logit has a sigmoid above {card.tag_threshold:.4g}; {none}.",
            *shares,
            "Resize the maps bilinearly (corners not aligned) to the size of the padded input, crop the padding, and "
            "resize the maps of the image's classes to the image's original size.",
            f"Normalise each of these maps to its own range: (map - min) / (max - min + {EPS:g}).",
            f"{last}: pixel value = index into maps.classes + {classes.offset}.",
        ],
    }
