"""From class maps to a mask set: localize, paint, write."""

from tag2mask.masks.paint import paint

__all__ = ["paint"]
