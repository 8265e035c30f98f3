"""``labelmap.txt``: which colour of a VOC mask is which label. CVAT and Datumaro read it.

A line is ``label:color_rgb:parts:actions``. Without the file they take VOC's own twenty names for any colours.
"""

from __future__ import annotations

from tag2mask.data import Classes
from tag2mask.errors import DataError

HEADER = "# label:color_rgb:parts:actions"
IGNORED = "ignored"  # VOC's own name for its void


def labelmap(classes: Classes, ignored: bool = False) -> str:
    """Every label and its colour, background first; ``ignored`` is one of them if the masks have its colour.

    Raises:
        DataError: a name cannot stand in the file, or two labels have one colour.
    """
    names = [classes.background or "background", *classes.names]
    palette = classes.palette().tolist()
    colours = [[0, 0, 0], *palette[classes.offset : len(classes.pixel_names)]]
    if ignored:
        names, colours = [*names, IGNORED], [*colours, palette[classes.ignore]]
    unfit = [name for name in names if ":" in name or name.startswith("#") or names.count(name) > 1]
    if unfit:
        raise DataError(f"class {unfit[0]!r} cannot stand in labelmap.txt: names have no : or leading #, and differ")
    if len({tuple(colour) for colour in colours}) < len(names):
        raise DataError(f"{len(classes)} classes and {IGNORED} are too many for the colours of labelmap.txt")
    lines = [f"{name}:{red},{green},{blue}::" for name, (red, green, blue) in zip(names, colours, strict=True)]
    return "\n".join([HEADER, *lines]) + "\n"
