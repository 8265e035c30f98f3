"""From a run to a mask set, with all refiners: localising, refining, painting, writing."""
