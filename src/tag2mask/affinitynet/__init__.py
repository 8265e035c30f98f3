"""The refiner ``walk``: a network that learns which patches belong together, and a random walk over them."""
