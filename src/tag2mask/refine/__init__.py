"""What spreads class maps: pure functions on tensors, and the dicts that name them (``refiners``)."""
