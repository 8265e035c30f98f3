"""The student: a segmentation network trained on masks."""
