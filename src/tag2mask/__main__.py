"""``python -m tag2mask``."""

from tag2mask.cli import main

main()
