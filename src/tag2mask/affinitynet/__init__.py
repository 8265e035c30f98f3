"""A trained network that says which patches belong together, and the random walk over them."""
