"""Mask sets for new images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tag2mask
from tag2mask.data.reading import read_mask
from tag2mask.errors import DataError, MaskSetError, RunError, SettingsError
from tag2mask.exporters.label_images import read_label_images
from tag2mask.masks.write import open_mask_set
from tag2mask.prediction.predict import predict
from tag2mask.prediction.settings import PredictSettings

FIRST = PredictSettings()


def test_images_of_any_size_in_sub_folders(student: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    sizes = {"a/one": (33, 71), "a/b/two": (5, 9), "three": (90, 40), "four": (33, 71)}
    for name, size in sizes.items():
        path = tmp_path / f"new/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (*size, 3), np.uint8)).save(path)
    settings = PredictSettings(scales=(1.0, 1.5), flip=True, overlay=True)
    summary = predict(student, [tmp_path / "new"], tmp_path / "out", settings)
    assert (summary.images, summary.failures) == (4, {})
    made = open_mask_set(tmp_path / "out")
    assert made.names() == sorted(sizes)
    for name, size in sizes.items():
        labels = read_mask(made.mask(name))
        assert labels.shape == size
        assert labels.max() < 4
        assert Image.open(tmp_path / f"out/overlays/{name}.jpg").size == size[::-1]
        shown = {made.classes.pixel_names[value] for value in np.unique(labels)}
        assert set(made.manifest["image_tags"][name]) == shown - {"background"}
    assert made.manifest["complete"]
    assert made.manifest["settings"]["tags"] == "predicted"


def test_images_of_other_bands_say_what_the_model_takes(student: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "five.npy", np.zeros((8, 9, 5), np.uint8))
    told = predict(student, [tmp_path / "five.npy"], tmp_path / "out", FIRST).failures["five"]
    assert "has shape (8, 9, 5), expected (height, width, 3)" in told
    assert told.endswith("; a trained model takes only images with the bands of its training")


def test_single_files_and_what_cannot_be_read(student: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    given = [trained / "squares/images/p00.png", tmp_path / "bad.png"]
    summary = predict(student, given, tmp_path / "out", FIRST)
    assert (summary.images, list(summary.failures)) == (1, ["bad"])
    shutil.copy(given[0], tmp_path / "bad.png")
    assert predict(student, given, tmp_path / "out", FIRST).images == 2  # the same call goes on


def test_what_a_folder_holds_beside_images_is_told(
    student: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new"
    (folder / "deep.jpg").mkdir(parents=True)
    shutil.copy(trained / "squares/images/p00.png", folder / "one.png")
    (folder / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    for name in ("a.gif", "deep.jpg/b.GIF", "c.heic", "notes.txt", ".hidden.gif"):
        (folder / name).write_bytes(b"")
    summary = predict(student, [folder], tmp_path / "out", FIRST)
    assert (summary.images, sorted(summary.failures)) == (1, ["dangling", "loop"])
    assert "dangling.jpg: the image is missing" in summary.failures["dangling"]
    told = "new: not read: 3 images of unsupported formats (.gif 2, .heic 1); save them as .png or .jpg"
    assert capsys.readouterr().err.count(told) == 1


def test_a_split_of_the_runs_own_data(student: Path, tmp_path: Path) -> None:
    summary = tag2mask.predict(str(student), [], tmp_path / "out", split="val", flip=True)
    assert summary.images == 4
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["photographs"] == f"split val of {manifest['data']}"
    found = [image.path for image in read_label_images(open_mask_set(tmp_path / "out"), None, None)]
    assert [path.name for path in found if path] == ["p08.png", "p09.png", "p10.png", "p11.png"]


def test_what_is_wrong_is_one_line(student: Path, trained: Path, tmp_path: Path) -> None:
    image, out = trained / "squares/images/p00.png", tmp_path / "out"
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    for given, split, error, message in (
        ([], None, SettingsError, "no images: name files or a folder"),
        ([image], "val", SettingsError, "give images or a split, not both"),
        ([tmp_path / "none.png"], None, DataError, "does not exist"),
        ([tmp_path / "empty"], None, DataError, "holds no image"),
        ([tmp_path / "full/mine.txt"], None, DataError, "does not have the suffix of an image"),
        ([image, image], None, DataError, "has the same name"),
        ([], "none", DataError, "the split does not exist"),
    ):
        with pytest.raises(error, match=message):
            predict(student, given, out, FIRST, split)
        assert not out.exists()
    with pytest.raises(MaskSetError, match="full is not empty"):
        predict(student, [image], tmp_path / "full", FIRST)
    with pytest.raises(RunError, match="is neither a segmenter nor a run"):
        predict(tmp_path, [image], out, FIRST)
    unfinished = Path(shutil.copytree(student, tmp_path / "unfinished"))
    (unfinished / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"model\.safetensors is missing: the first epoch was never finished"):
        predict(unfinished, [image], out, FIRST)


def test_a_data_folder_is_not_taken_for_a_folder_of_images(student: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a data folder, whose masks are images too; give .*images"):
        predict(student, [trained / "squares"], tmp_path / "out", PredictSettings())
    assert not (tmp_path / "out").exists()
