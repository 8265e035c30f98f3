from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tag2mask.data import DataSettings, open_dataset
from tag2mask.data.loading import TaggedImages, multi_hot, read_batches
from tag2mask.data.settings import AugmentSettings
from tag2mask.data.transforms import train_transform
from tag2mask.errors import DataError

TRANSFORM = train_transform(32, (0.5,) * 3, (0.25,) * 3, AugmentSettings())


def test_tags_become_zeros_and_ones() -> None:
    assert multi_hot((0, 2), 4).tolist() == [1, 0, 1, 0]
    assert multi_hot((), 2).tolist() == [0, 0]


def test_an_item_depends_on_its_seed_and_index_alone(squares: Path) -> None:
    images = TaggedImages(squares, open_dataset(squares, DataSettings(), "train"), DataSettings(), TRANSFORM)
    first, tags = images[(7, 2)]
    state = torch.get_rng_state()
    torch.rand(5)
    before = torch.get_rng_state()
    again, _ = images[(7, 2)]
    other, _ = images[(8, 2)]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(state, before)
    assert (first.shape, tags.shape, tags.sum()) == ((3, 32, 32), (3,), 2)


def test_only_images_with_known_tags_are_learned_from(squares: Path) -> None:
    (squares / "labels.csv").write_text("image,labels\np00.png,red\np01.png,\n")
    dataset = open_dataset(squares, DataSettings(), "train")
    images = TaggedImages(squares, dataset, DataSettings(), TRANSFORM)
    assert [sample.name for sample in images.samples] == ["p00", "p01"]
    with pytest.raises(DataError, match="no image of this split has tags"):
        TaggedImages(squares, open_dataset(squares, DataSettings(), "val"), DataSettings(), TRANSFORM)


def test_training_opens_images_and_no_truth(squares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def identity(image: Tensor) -> Tensor:
        return image

    from tag2mask.data import loading

    read = loading.read_scaled
    monkeypatch.setattr(loading, "read_scaled", lambda path, data: opened.append(path) or read(path, data))
    images = TaggedImages(squares, open_dataset(squares, DataSettings(), "train"), DataSettings(), identity)
    for index in range(len(images)):
        images[(0, index)]
    assert opened == [squares / f"images/p{i:02d}.png" for i in range(8)]


def test_an_image_that_went_missing_is_named(squares: Path) -> None:
    dataset = open_dataset(squares, DataSettings(), "train")
    (squares / "images/p03.png").unlink()
    with pytest.raises(DataError, match=r"p03\.png: the image is missing"):
        TaggedImages(squares, dataset, DataSettings(), TRANSFORM)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_worker_cannot_read_is_one_line(squares: Path, workers: int) -> None:
    images = TaggedImages(squares, open_dataset(squares, DataSettings(), "train"), DataSettings(), TRANSFORM)
    (squares / "images/p03.png").write_bytes(b"no image")
    loader = DataLoader(images, batch_sampler=[[(0, 2), (0, 3)]], num_workers=workers)
    with pytest.raises(DataError) as error:
        list(read_batches(loader))
    path = squares / "images/p03.png"
    kinds = "JPEG, PNG, BMP, WebP, TIFF"
    assert (
        str(error.value)
        == f"{path}: is not an image in a supported format ({kinds}); replace it or remove it from the lists"
    )
