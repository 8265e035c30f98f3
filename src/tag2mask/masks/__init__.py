"""From a run to a mask set: localize, refine, paint, write."""
