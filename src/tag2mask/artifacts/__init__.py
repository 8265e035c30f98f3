"""Trained models in memory: ``load`` opens a run, a segmenter or an ONNX file, and answers are numpy arrays."""
