"""Label images against truth: scores."""
