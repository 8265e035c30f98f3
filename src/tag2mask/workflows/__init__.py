"""Workflows that run several commands in sequence."""
