from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from tag2mask.data import open_dataset
from tag2mask.data.loading import TaggedImages, multi_hot
from tag2mask.data.transforms import eval_resize
from tag2mask.methods import Method
from tag2mask.training import validation
from tag2mask.training.run import open_run
from tag2mask.training.scores import tag_scores
from tag2mask.training.validation import WholeImages, of_one_size, score_tags
from tag2mask.vit.weights import normalisation


@pytest.fixture
def method(trained: Path) -> Method:
    return open_run(trained / "run").load_method()


@pytest.fixture
def whole(trained: Path, method: Method) -> WholeImages:
    """All images of the training split, of two sizes in turn."""
    run = open_run(trained / "run")
    dataset = open_dataset(run.data, run.settings.data, "train")
    mean, std = normalisation(run.settings.backbone, run.settings.data)
    images = TaggedImages(run.data, dataset, run.settings.data, lambda image: image)
    return WholeImages(list(dataset), images, run.settings.backbone.image_size, method.patch, mean, std)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (3, 0), (8, 0), (3, 1)])
def test_in_batches_the_scores_are_those_of_one_image_after_another(
    method: Method, whole: WholeImages, monkeypatch: pytest.MonkeyPatch, batch_size: int, workers: int
) -> None:
    one_by_one = []
    for sample in whole.samples:
        pixels, _ = eval_resize(whole.images.read(sample), whole.side, whole.patch, whole.mean, whole.std)
        with torch.no_grad():
            one_by_one.append(method(pixels[None]).scores_BC[0].numpy())
    tags = np.stack([multi_hot(sample.tags or (), whole.images.classes).numpy() for sample in whole.samples])
    seen = []
    monkeypatch.setattr(validation, "tag_scores", lambda scores, tags: seen.append((scores, tags)) or "scores")
    assert score_tags(Accelerator(cpu=True), method.train(), whole, batch_size, workers) == "scores"
    assert not method.training
    [(scores, known)] = seen
    np.testing.assert_array_equal(known, tags)
    np.testing.assert_allclose(scores, np.stack(one_by_one), atol=1e-5)
    assert tag_scores(scores, tags) == tag_scores(np.stack(one_by_one), tags)
    if batch_size == 1:
        np.testing.assert_array_equal(scores, np.stack(one_by_one))


def test_batches_are_of_one_size_and_nothing_is_lost() -> None:
    sizes = [(index % 3 + 1) * 8 for index in range(40)] + [100 + index for index in range(20)]
    images = [(index, torch.zeros(3, 8, size)) for index, size in enumerate(sizes)]
    batches = list(of_one_size(iter(images), 4))
    assert sorted(index for batch in batches for index, _ in batch) == list(range(60))
    assert all(len({image.shape for _, image in batch}) == 1 for batch in batches)
    assert [len(batch) for batch in batches[:9]] == [4] * 9


def test_few_images_wait_for_others_of_their_size() -> None:
    read = 0

    def images() -> object:
        nonlocal read
        for index in range(200):
            read += 1
            yield index, torch.zeros(1, 1, index + 1)

    first = next(of_one_size(images(), 4))  # type: ignore[arg-type]
    assert (len(first), read) == (1, validation.WAITING * 4)
