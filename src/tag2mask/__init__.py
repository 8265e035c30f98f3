"""Image tags in, segmentation masks out."""

__version__ = "0.1.0"
