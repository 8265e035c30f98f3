"""Training: from image tags to a run folder."""
