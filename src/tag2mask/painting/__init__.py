"""From a run to a mask set, with everything that refines it: localize, refine, paint, write."""
