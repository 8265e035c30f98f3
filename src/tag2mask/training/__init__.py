"""The loop: tags in, a run folder out."""
