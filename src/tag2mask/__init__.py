"""Image tags in, segmentation masks out.

from tag2mask import train, make_masks, evaluate
train("photos", out="run", epochs=10)
make_masks("run")
print(evaluate("run/masks-train", truth="photos/masks").to_json()["miou"])
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tag2mask._version import __version__
from tag2mask.threads import choose_threads

if TYPE_CHECKING:
    from tag2mask.api import (
        convert,
        evaluate,
        import_checkpoint,
        make_masks,
        predict,
        prepare,
        run,
        segment,
        train,
        train_probe,
    )

choose_threads(os.environ)

__all__ = [
    "__version__", "convert", "evaluate", "import_checkpoint", "make_masks", "predict", "prepare", "run", "segment",
    "train", "train_probe",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import the verbs when they are asked for: torch costs two seconds."""
    if name in __all__:
        from tag2mask import api

        return getattr(api, name)
    raise AttributeError(f"module 'tag2mask' has no attribute {name!r}")
