"""Masks for new images: by a segmenter, a tagged run or an ONNX file."""
