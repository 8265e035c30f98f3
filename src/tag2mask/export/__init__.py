"""Other formats: a run as ONNX."""
