"""What ``tag2mask run`` is asked for: the settings of its stages, and the folder that was begun with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tag2mask.beginnings import ANEW, require_begun_as, require_vacant
from tag2mask.files import write_json
from tag2mask.refine.settings import CRF
from tag2mask.refine.settings import PROBE as PROBE_REFINER
from tag2mask.settings import differences, merge
from tag2mask.stored import read_stored
from tag2mask.training.settings import epochs_for
from tag2mask.vit.weights import patch_of
from tag2mask.workflows.settings import WholeSettings as WholeSettings
from tag2mask.workflows.stages import DONE

PLAN, RUN, PROBE, SEGMENTER = "plan.json", "run", "probe", "segmenter"
# What was made with a group of settings; everything was with the others.
MADE_WITH = {"probe": PROBE, "masks": f"{RUN}/masks-*", "segment": SEGMENTER, "predict": "predicted-*"}
REFINERS = (PROBE_REFINER, CRF)  # of masks, unless others are asked for
# Quick: crops of so many patches a side, and so many images seen in all epochs together. With ViT-S one core
# needs about 0.12 s for a crop of 126 px in training; a decoder that starts from nothing gets the larger share.
QUICK_PATCHES, QUICK_TRAIN, QUICK_SEGMENT = 9, 3000, 4000


@dataclass(frozen=True)
class Plan:
    """What is asked for; ``given`` are the settings that are not defaults."""

    data: Path
    out: Path
    given: WholeSettings
    quick: bool = False

    def to_json(self) -> dict[str, Any]:
        """What ``plan.json`` holds: all that decides what comes of it."""
        settings = self.given.model_dump(mode="json", exclude_unset=True)
        return {"data": str(self.data.resolve()), "quick": self.quick, **settings}

    def settings(self, photographs: int) -> WholeSettings:
        """The stages' settings for this number of training images; soft targets need masks with scores."""
        masks = {"refine": {"names": list(REFINERS)}, "scores": self.given.segment.target == "soft"}
        values: dict[str, Any] = {"predict": {"overlay": True}, "masks": masks}
        if self.quick:
            merge(values, quick_settings(self.given, photographs))
        merge(values, self.given.model_dump(mode="json", exclude_unset=True))
        return WholeSettings.parse(values)


def quick_settings(given: WholeSettings, photographs: int) -> dict[str, Any]:
    """Settings for about ten minutes on two cores, where there are some hundred images."""
    side = QUICK_PATCHES * patch_of(given.train.backbone)
    return {
        "train": {"backbone": {"image_size": side}, "epochs": epochs_for(QUICK_TRAIN, photographs)},
        "segment": {"epochs": epochs_for(QUICK_SEGMENT, photographs)},
    }


def require_same_plan(plan: Plan) -> None:
    """The folder is new, or was begun with this plan; what nothing was made with yet may still change.

    Raises:
        RunError: it is neither.
    """
    path, out = plan.out / PLAN, plan.out
    if not path.is_file():
        require_vacant(out, ANEW)
        return
    before, wanted = read_stored(path, dict[str, Any]), plan.to_json()
    changed = [key for key, _, _ in differences(before, wanted)]
    unused = {key for key in changed if not any(out.glob(MADE_WITH.get(key.partition(".")[0], RUN)))}
    require_begun_as(out, before, wanted, ignored=unused, missing="its default")
    if changed:
        write_json(path, plan.to_json())
    if changed and not (out / RUN).exists():  # it may be other data
        (out / DONE).unlink(missing_ok=True)
