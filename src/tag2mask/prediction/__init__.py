"""Masks for new photographs: by a segmenter, a tagged run or an ONNX file."""
