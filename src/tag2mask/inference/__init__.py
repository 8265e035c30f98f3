"""One way of looking for every model: scales, flips and tiles around a network that takes one batch at a time."""
