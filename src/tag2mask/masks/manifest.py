"""The manifest of a mask set: how its masks were made, from what, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from tag2mask.data import Classes
from tag2mask.stored import Count, Flag, Place, Stored

MASKS, CLASSES, MANIFEST, TAGS = "masks", "classes.json", "manifest.json", "tags.jsonl"


class HowMade(Stored, extra="allow"):
    """Those settings in a manifest that are read again."""

    split: str = ""
    tags: str = ""
    scores: Flag = False


class Manifest(Stored, extra="allow"):
    """The content of ``manifest.json``; missing entries get defaults."""

    complete: Flag = False
    run: str = ""
    segmenter: str = ""
    checkpoint_sha256: str = ""
    data: Place = "."
    settings: HowMade = HowMade()
    labels_used: str = ""
    truth_used: str = ""
    images: Count = 0
    image_tags: dict[str, list[str]] = Field(default_factory=dict)
    fallbacks: list[str] = Field(default_factory=list)
    failures: dict[str, str] = Field(default_factory=dict)

    def require_known(self, classes: Classes) -> None:
        """Check that all tags are classes.

        Raises:
            ValueError: one is not.
        """
        known = set(classes.names)
        for name, tags in self.image_tags.items():
            if unknown := set(tags) - known:
                raise ValueError(f"image_tags.{name}: {CLASSES} has no class {min(unknown)!r}")


def has_scores(manifest: Mapping[str, Any]) -> bool:
    """Whether a mask set with this manifest has scores."""
    return bool(manifest.get("settings", {}).get("scores", False))


def complete_manifest(
    origin: Mapping[str, Any],
    tags: Mapping[str, Sequence[str]],
    fallbacks: Sequence[str],
    failures: Mapping[str, str],
) -> dict[str, Any]:
    """Return the content of the manifest of a finished mask set; ``origin`` is everything that decided the masks."""
    return {
        **origin,
        "complete": True,
        "images": len(tags),
        "fallbacks": list(fallbacks),
        "failures": dict(failures),
        "image_tags": dict(tags),
    }
