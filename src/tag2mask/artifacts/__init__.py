"""Everything that lies on disk and answers about images: a run, a segmenter, an ONNX file, opened by one function."""
