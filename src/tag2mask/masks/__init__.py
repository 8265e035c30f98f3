"""From class maps to a mask set: localize, paint, write."""
