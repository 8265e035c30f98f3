"""The inference engine shared by all models: scales, flips and tiles around a network that takes single batches."""
