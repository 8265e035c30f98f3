"""Image tags in, segmentation masks out."""
