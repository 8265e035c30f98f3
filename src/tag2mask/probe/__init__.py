"""The refiner ``probe``: one linear layer over all patches of a data set, learned from a run's class maps."""
