"""From class maps to mask sets: localising, painting, writing."""

from tag2mask.masks.paint import paint

__all__ = ["paint"]
