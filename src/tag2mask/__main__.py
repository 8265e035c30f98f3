"""``python -m tag2mask``."""

from tag2mask.cli import main

if __name__ == "__main__":
    main()
