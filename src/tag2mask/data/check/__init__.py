"""The checks behind ``tag2mask check``."""
