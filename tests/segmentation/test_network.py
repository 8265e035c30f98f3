"""The refiner ``segmenter``: a segmenter takes part in painting the masks of tagged images."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tag2mask.data import Classes, open_dataset
from tag2mask.data.loading import load_image
from tag2mask.errors import RunError, SettingsError
from tag2mask.files import write_json
from tag2mask.masks.paint import label_shares
from tag2mask.masks.resolve import resolve_masks
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import open_mask_set
from tag2mask.painting.make import make_masks
from tag2mask.painting.painter import Painter
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.network import open_trained
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.train import segment
from tag2mask.training.run import open_run


def with_segmenter(student: Path, **changes: object) -> MaskSettings:
    return MaskSettings.parse(
        {"split": "val", "refine": {"names": ("segmenter",), "segmenter": str(student)}, **changes}
    )


def test_its_probabilities_are_those_within_the_tags(student: Path, trained: Path) -> None:
    opened = open_run(trained / "run")
    image = load_image(open_dataset(opened.data, opened.settings.data, "val")[0].image, opened.settings.data)
    trained_one = open_trained(student, opened.classes)
    all_KYX = trained_one(image, range(4))
    some_SYX = trained_one(image, [0, 2])
    assert some_SYX.shape == (2, *image.shape[1:])
    torch.testing.assert_close(all_KYX.sum(0), torch.ones(image.shape[1:]), atol=1e-5, rtol=0)
    torch.testing.assert_close(some_SYX.sum(0), torch.ones(image.shape[1:]), atol=1e-5, rtol=0)
    assert ((some_SYX[0] > some_SYX[1]) == (all_KYX[0] > all_KYX[2])).float().mean() > 0.98


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_it_works_in_the_precision_of_its_training(
    student: Path, trained: Path, tmp_path: Path, precision: str
) -> None:
    """Without a GPU, fp16 is what ``auto`` chooses."""
    opened = open_run(trained / "run")
    image = load_image(open_dataset(opened.data, opened.settings.data, "val")[0].image, opened.settings.data)
    half = Path(shutil.copytree(student, tmp_path / "half"))
    config = (half / "config.yaml").read_text()
    assert "precision: fp32" in config
    (half / "config.yaml").write_text(config.replace("precision: fp32", f"precision: {precision}"))
    exact_KYX, found_KYX = (open_trained(path, opened.classes)(image, range(4)) for path in (student, half))
    assert found_KYX.dtype == torch.float32
    torch.testing.assert_close(found_KYX, exact_KYX, atol=0.02, rtol=0)
    if precision == "bf16":
        assert not torch.equal(found_KYX, exact_KYX)


def test_both_have_the_same_weight(student: Path, trained: Path) -> None:
    run = open_run(trained / "run")
    sample = open_dataset(run.data, run.settings.data, "val")[0]
    batch = [(sample, load_image(sample.image, run.settings.data))]
    tags = sorted(sample.tags or ())
    scores = []
    for settings in (MaskSettings(split="val"), with_segmenter(student)):
        painter = Painter(run, resolve_masks(settings, run))
        scores.append(torch.from_numpy(painter.scores(painter.look(batch)[0], tags, batch[0][1])))
    own_SYX = torch.from_numpy(label_shares(scores[0].numpy(), False))
    voted_SYX = open_trained(student, run.classes)(batch[0][1], [0, *(tag + 1 for tag in tags)])
    torch.testing.assert_close(scores[1], (own_SYX + voted_SYX) / 2)


def test_the_manifest_names_it_and_the_truth_it_learned(
    run: Path, masks: Path, student: Path, tmp_path: Path, tiny: SegmentSettings
) -> None:
    segment(run, masks, tmp_path / "weak", tiny)
    for path, truth in ((tmp_path / "weak", "none"), (student, "training: all labels are truth")):
        out = make_masks(run, out=tmp_path / f"by-{path.name}", settings=with_segmenter(path)).path
        manifest = open_mask_set(out).manifest
        assert manifest["student"] == {"name": path.name, "sha256": open_segmenter(path).checkpoint_hash()}
        assert manifest["truth_used"] == truth


def test_what_does_not_fit_is_refused(run: Path, student: Path, tmp_path: Path) -> None:
    for settings, message in (
        (with_segmenter(student, paint={"rule": "ordered"}), "--refine segmenter gives probabilities"),
        (MaskSettings.parse({"refine": "segmenter"}), "--refine segmenter and --segmenter SEGMENTER must be given"),
    ):
        with pytest.raises(SettingsError, match=message):
            make_masks(run, out=tmp_path / "out", settings=settings)
    with pytest.raises(RunError, match="is a run of tag2mask train"):
        make_masks(run, out=tmp_path / "out", settings=with_segmenter(run))
    other = Path(shutil.copytree(student, tmp_path / "other"))
    write_json(other / "classes.json", Classes(("red", "green", "cow"), "background").to_json())
    with pytest.raises(SettingsError, match="has other classes than the run"):
        make_masks(run, out=tmp_path / "out", settings=with_segmenter(other))
    assert not (tmp_path / "out").exists()
