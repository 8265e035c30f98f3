"""``labelmap.txt``: the label of each colour in a VOC mask. CVAT and Datumaro read it.

A line is ``label:color_rgb:parts:actions``. Without the file, they assign VOC's twenty names to the colours.
"""

from __future__ import annotations

from tag2mask.data import Classes
from tag2mask.errors import DataError

HEADER = "# label:color_rgb:parts:actions"
IGNORED = "ignored"  # VOC's name for void pixels


def labelmap(classes: Classes, ignored: bool = False) -> str:
    """Return the file's content, background first; ``ignored`` adds a label for void pixels.

    Raises:
        DataError: a name cannot be written to the file, or two labels have the same colour.
    """
    names = [classes.background or "background", *classes.names]
    palette = classes.palette().tolist()
    colours = [[0, 0, 0], *palette[classes.offset : len(classes.pixel_names)]]
    if ignored:
        names, colours = [*names, IGNORED], [*colours, palette[classes.ignore]]
    unfit = [name for name in names if ":" in name or name.startswith("#") or names.count(name) > 1]
    if unfit:
        raise DataError(
            f"class {unfit[0]!r} cannot be written to labelmap.txt: names must be unique, without : or a leading #"
        )
    if len({tuple(colour) for colour in colours}) < len(names):
        raise DataError(f"{len(classes)} classes and {IGNORED} are too many for the colours of labelmap.txt")
    lines = [f"{name}:{red},{green},{blue}::" for name, (red, green, blue) in zip(names, colours, strict=True)]
    return "\n".join([HEADER, *lines]) + "\n"
