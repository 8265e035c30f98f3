"""Image tags in, segmentation masks out.

import tag2mask
tag2mask.train("photos", out="run", epochs=10)
tag2mask.make_masks("run")
print(tag2mask.evaluate("run/masks-train", truth="photos/masks").miou)

model = tag2mask.load("run")
labels = model.predict("cow.jpg", tags=["cow"])
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tag2mask._version import __version__
from tag2mask.threads import choose_threads

if TYPE_CHECKING:
    from tag2mask.api import (
        Model,
        bench,
        check,
        compare,
        convert,
        doctor,
        evaluate,
        export,
        import_checkpoint,
        load,
        make_masks,
        merge,
        predict,
        prepare,
        push,
        report,
        run,
        segment,
        train,
        train_probe,
        view,
    )
    from tag2mask.errors import Tag2MaskError

choose_threads(os.environ)

__all__ = [
    "Model", "Tag2MaskError", "__version__", "bench", "check", "compare", "convert", "doctor", "evaluate", "export",
    "import_checkpoint", "load", "make_masks", "merge", "predict", "prepare", "push", "report", "run", "segment",
    "train", "train_probe", "view",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import the API when it is first used, since importing torch takes two seconds."""
    if name == "Tag2MaskError":
        from tag2mask.errors import Tag2MaskError

        return Tag2MaskError
    if name in __all__:
        from tag2mask import api

        return getattr(api, name)
    raise AttributeError(f"module 'tag2mask' has no attribute {name!r}")
