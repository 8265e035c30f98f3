"""The plan of ``tag2mask run``: the settings of its stages, and the folder that was begun with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tag2mask.beginnings import ANEW, require_begun_as, require_vacant
from tag2mask.files import write_json
from tag2mask.refine.settings import CRF
from tag2mask.settings import differences, merge_settings
from tag2mask.stored import read_stored
from tag2mask.training.run import OWN_PROBE
from tag2mask.training.settings import epochs_for
from tag2mask.vit.weights import patch_of
from tag2mask.workflows.settings import WholeSettings as WholeSettings
from tag2mask.workflows.stages import DONE
from tag2mask.workflows.training import gets_probe

PLAN, RUN, SEGMENTER = "plan.json", "run", "segmenter"
# The products of each group of settings; groups not listed affect everything.
MADE_WITH = {"probe": f"{RUN}/{OWN_PROBE}", "masks": f"{RUN}/masks-*", "segment": SEGMENTER, "predict": "predicted-*"}
# --quick: patches per side of a crop, and images seen in all epochs of each training. With ViT-S, one core needs
# about 0.12 s to train on a crop of 126 px; the segmenter starts from the run, so it needs fewer.
QUICK_PATCHES, QUICK_TRAIN, QUICK_SEGMENT = 9, 3000, 1000


@dataclass(frozen=True)
class Plan:
    """The plan of a run; ``given`` are the settings that are not defaults."""

    data: Path
    out: Path
    given: WholeSettings
    quick: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``plan.json``: everything that determines the result."""
        settings = self.given.model_dump(mode="json", exclude_unset=True)
        return {"data": str(self.data.resolve()), "quick": self.quick, **settings}

    def settings(self, images: int) -> WholeSettings:
        """Return the settings of the stages for this number of training images; soft targets need masks with scores."""
        masks: dict[str, Any] = {"scores": self.given.segment.target == "soft"}
        if not gets_probe(self.given.train):
            masks["refine"] = {"names": CRF}
        values: dict[str, Any] = {"predict": {"overlay": True}, "masks": masks}
        if self.quick:
            merge_settings(values, quick_settings(self.given, images))
        merge_settings(values, self.given.model_dump(mode="json", exclude_unset=True))
        return WholeSettings.parse(values)


def quick_settings(given: WholeSettings, images: int) -> dict[str, Any]:
    """Return settings for about ten minutes on two cores, with a few hundred images."""
    side = QUICK_PATCHES * patch_of(given.train.backbone)
    return {
        "train": {"backbone": {"image_size": side}, "epochs": epochs_for(QUICK_TRAIN, images)},
        "segment": {"epochs": epochs_for(QUICK_SEGMENT, images)},
    }


def require_same_plan(plan: Plan) -> None:
    """Check that the folder is new, or was begun with this plan; settings that were not used yet may change.

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
    if changed and not (out / RUN).exists():  # the data may have changed
        (out / DONE).unlink(missing_ok=True)
