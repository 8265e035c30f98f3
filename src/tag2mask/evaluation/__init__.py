"""Scores of label images against truth."""

from tag2mask.evaluation.confusion import confusion
from tag2mask.evaluation.iou import iou

__all__ = ["confusion", "iou"]
