"""Paint a mask with an exported segmenter, without tag2mask: python onnx_mask.py MODEL.onnx IMAGE MASK.png.

Needs numpy, onnxruntime and Pillow. For colour images whose long side is at most 16 times the short side.
"""

import json
import math
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model = onnxruntime.InferenceSession(sys.argv[1])
notes = model.get_modelmeta().custom_metadata_map
before, after = json.loads(notes["preprocessing"]), json.loads(notes["to_masks"])
window, overlap = after["window"], after["overlap"]


def starts(length):  # of windows
    count = 1 + max(math.ceil((length - window) / (window - int(window * overlap))), 0)
    return [round(i * (length - window) / max(count - 1, 1)) for i in range(count)]


def stretch(values, size, axis):  # linear, corners not aligned
    old = values.shape[axis]
    places = (np.arange(size) + 0.5) * old / size - 0.5
    return np.apply_along_axis(lambda line: np.interp(places, np.arange(old), line), axis, values)


image = ImageOps.exif_transpose(Image.open(sys.argv[2])).convert("RGB")
bands = np.asarray(image, np.float32).transpose(2, 0, 1) / 255
factor = before["short_side"] / min(image.size)
size = [round(side * factor) for side in image.size]
resized = [np.asarray(Image.fromarray(band).resize(size, Image.BICUBIC)).clip(band.min(), band.max()) for band in bands]
logits, counts = 0, 0
for top in starts(size[1]):
    for left in starts(size[0]):
        place = np.s_[:, max(top, 0) : max(top, 0) + window, max(left, 0) : max(left, 0) + window]
        [[found]] = model.run(["logits"], {"images": np.stack(resized)[place][None]})
        whole, once = np.zeros((len(found), size[1], size[0]), np.float32), np.zeros((1, size[1], size[0]))
        whole[place], once[place] = found, 1
        logits, counts = logits + whole, counts + once
shares = np.exp(logits / counts - (logits / counts).max(0))
shares = stretch(stretch(shares / shares.sum(0), image.width, 2), image.height, 1)
Image.fromarray(shares.argmax(0).astype(np.uint8)).save(sys.argv[3])
