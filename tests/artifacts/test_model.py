"""One function opens every model, and it answers about images from files and from memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import tag2mask
from tag2mask.data.reading import read_mask
from tag2mask.errors import DataError, RunError
from tag2mask.masks.write import open_mask_set


@pytest.fixture(scope="module")
def models(trained: Path, student: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run, a segmenter, and both as ONNX files where the extra is there."""
    found = {"run": trained / "run", "segmenter": student}
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        return found
    folder = tmp_path_factory.mktemp("models")
    for kind, path in list(found.items()):
        tag2mask.export(path, folder / f"{kind}.onnx")
        found[f"{kind}.onnx"] = folder / f"{kind}.onnx"
    return found


KINDS = ("run", "segmenter", "run.onnx", "segmenter.onnx")


def opened(models: dict[str, Path], kind: str) -> tag2mask.Model:
    if kind not in models:
        pytest.skip("the extra is not there: pip install 'tag2mask[onnx]'")
    return tag2mask.load(models[kind])


@pytest.fixture(scope="module")
def photo(trained: Path) -> Path:
    return trained / "squares/images/p08.png"


@pytest.mark.parametrize("kind", KINDS)
def test_predict_is_what_the_verb_writes(models: dict[str, Path], photo: Path, tmp_path: Path, kind: str) -> None:
    labels = opened(models, kind).predict(photo)
    assert labels.dtype == np.uint8
    tag2mask.predict(models[kind], photo, tmp_path / "set")
    assert np.array_equal(labels, read_mask(open_mask_set(tmp_path / "set").mask("p08")))


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_the_same_in_every_form(models: dict[str, Path], photo: Path, kind: str) -> None:
    model = opened(models, kind)
    image = Image.open(photo)
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).movedim(2, 0)
    forms: list[Any] = [photo, str(photo), image, array, array.astype(np.float32) / 255, tensor, tensor.numpy()]
    wanted = model.predict(photo)
    for form in forms:
        assert np.array_equal(model.predict(form), wanted)
    assert all(np.array_equal(one, wanted) for one in model.predict(forms))
    assert len(model.predict(np.stack([array, array]))) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_tags_restrict_and_probabilities_add_up(models: dict[str, Path], photo: Path, kind: str) -> None:
    model = opened(models, kind)
    names, size = model.classes.pixel_names, np.asarray(Image.open(photo)).shape[:2]
    labels = model.predict(photo, tags=["red"])
    assert set(np.unique(labels)) <= {0, names.index("red")}
    shares = model.predict(photo, tags=["red"], proba=True)
    assert shares.shape == (len(names), *size)
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-5)
    assert (shares[[value for value, name in enumerate(names) if name not in ("red", names[0])]] == 0).all()
    np.testing.assert_allclose(model.predict(photo, proba=True).sum(0), 1, atol=1e-5)
    if "segmenter" in kind:
        assert np.array_equal(model.predict(photo, proba=True).argmax(0), model.predict(photo))


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_named_and_lie_between_0_and_1(models: dict[str, Path], photo: Path, kind: str) -> None:
    maps = opened(models, kind).localize(photo, tags=["red", "blue"])
    assert sorted(maps) == ["blue", "red"]
    for map_YX in maps.values():
        assert map_YX.dtype == np.float32
        assert map_YX.shape == np.asarray(Image.open(photo)).shape[:2]
        assert 0 <= map_YX.min() <= map_YX.max() <= 1
    assert set(opened(models, kind).localize(photo)) <= set(opened(models, kind).classes.names)


def test_features_have_a_row_a_patch(models: dict[str, Path], photo: Path) -> None:
    height, width = np.asarray(Image.open(photo)).shape[:2]
    run = opened(models, "run")
    features = run.embed(photo)
    method = run.predictor.painter.localizer.method  # type: ignore[attr-defined]
    assert features.shape == (-(-32 // 8), -(-round(32 * width / height) // 8), method.vit.width)
    one, other = run.embed([photo, photo])
    assert np.array_equal(one, other)
    assert opened(models, "segmenter").embed(photo).ndim == 3
    with pytest.raises(RunError, match="has no patch features"):
        opened(models, "run.onnx").embed(photo)


def test_settings_reach_the_model(models: dict[str, Path], photo: Path) -> None:
    plain, turned = (tag2mask.load(models["run"], look=look) for look in ({}, {"flip": True, "scales": [1.0, 1.5]}))
    assert not np.array_equal(plain.localize(photo, ["red"])["red"], turned.localize(photo, ["red"])["red"])


@pytest.mark.parametrize("kind", ["run", "run.onnx"])
def test_pixels_of_an_unsure_class_are_ignored(models: dict[str, Path], photo: Path, kind: str) -> None:
    opened(models, kind)  # skips where the extra is missing
    paint = {"unsure": 0.6}
    labels = tag2mask.load(models[kind], paint=paint).predict(photo)
    shares = tag2mask.load(models[kind], paint=paint).predict(photo, proba=True)
    unsure = np.max(list(shares.values()) if isinstance(shares, dict) else shares, 0) < 0.6
    assert 0 < unsure.sum() < unsure.size
    np.testing.assert_array_equal(labels == 255, unsure)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((5, 6, 4), np.uint8), r"has shape \(5, 6, 4\), expected \(height, width, 3\)"),
        (np.zeros((5, 6, 3), np.float32) + 7, "holds floats from 7 to 7; pass integers, or floats from 0 to 1"),
        (np.full((5, 6, 3), np.nan, np.float32), "holds values that are not finite"),
        (np.zeros((5, 6, 3), np.int64), "holds int64"),
        ("nowhere.jpg", "nowhere.jpg: the image is missing"),
        (None, "the image: is NoneType, expected a path, a Pillow image, a numpy array or a torch tensor"),
        ([1.0], "image 0: is float, expected a path"),
    ],
)
def test_what_is_no_image_is_said(models: dict[str, Path], image: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(models, "run").predict(image)
    with pytest.raises(DataError, match=r"tag 'redd' is not a class; did you mean red\?"):
        opened(models, "run").predict(np.zeros((32, 32, 3), np.uint8), tags=["redd"])
    for tags in ("red", [0], [["red"]]):
        with pytest.raises(DataError, match=r"tags are .*, expected a list of names"):
            opened(models, "run").predict(np.zeros((32, 32, 3), np.uint8), tags=tags)


def test_a_model_says_what_it_is_and_takes_bfloat16(models: dict[str, Path]) -> None:
    model = opened(models, "run")
    assert repr(model) == "Run of 3 classes (red, green, blue)"
    half = torch.zeros(3, 32, 32, dtype=torch.bfloat16)
    assert np.array_equal(model.predict(half), model.predict(half.float()))


def test_gray_images_are_repeated(models: dict[str, Path]) -> None:
    gray = np.random.default_rng(0).integers(0, 255, (40, 48), np.uint8)
    model = opened(models, "run")
    assert np.array_equal(model.predict(gray), model.predict(np.repeat(gray[..., None], 3, 2)))


def test_notebooks_show_masks_and_maps_over_the_image(models: dict[str, Path], photo: Path) -> None:
    model = opened(models, "run")
    labels, maps = model.predict(photo, tags=["red"]), model.localize(photo, tags=["red"])
    shown = labels._repr_html_()  # type: ignore[attr-defined]
    assert shown.startswith("<figure")
    assert "data:image/jpeg;base64," in shown
    assert "red" in shown
    assert "%" in shown
    assert maps._repr_html_().count("<figure") == 1
    assert (labels[2:] == 0)._repr_html_() is None  # a part is plain numbers


def test_scores_have_attributes_and_a_table(trained: Path, tmp_path: Path) -> None:
    made = tag2mask.make_masks(trained / "run", out=tmp_path / "set", split="val")
    scores = tag2mask.evaluate(made.path, trained / "squares/masks")
    told = scores.to_json()
    assert (scores.miou, scores.precision, scores.per_class["red"]) == (
        told["miou"],
        told["precision"],
        told["per_class"]["red"],
    )
    assert f"<td>{scores.per_class['red']:.1f}</td>" in scores._repr_html_()
