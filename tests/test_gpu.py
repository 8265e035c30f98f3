"""Everything on a GPU: with tensors without values where there is none, and for real where there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tag2mask
from backbones import FAMILIES, small
from gpus import needs_gpu, on_a_gpu
from numbered import START, numbered
from squares import SMALL, write_squares
from tag2mask.affinitynet.settings import WalkSettings
from tag2mask.affinitynet.train import train_walk
from tag2mask.affinitynet.walk import AffinityNet, pair_affinity, pairs, transition, walk
from tag2mask.evaluation.evaluate import evaluate
from tag2mask.methods import METHODS, Ask, Attended, AttendedSettings, build_method
from tag2mask.refine import crf, guided, pamr
from tag2mask.refine.lattice import Lattice
from tag2mask.segmentation.clipping import clipped_loss, counted_pixels, thresholds
from tag2mask.segmentation.losses import collision, potts
from tag2mask.segmentation.model import ViTSegmenter
from tag2mask.training.run import open_run
from tag2mask.vit.settings import BackboneSettings

CUDA = torch.device("cuda")


def random(*shape: int) -> Tensor:
    return torch.rand(shape, device=CUDA)


def test_a_tensor_on_the_cpu_would_be_noticed() -> None:
    with on_a_gpu(), pytest.raises(RuntimeError, match="devices"):
        random(2) + torch.rand(2)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_methods_make_no_tensor_on_the_cpu(name: str, precision: torch.dtype) -> None:
    backbone = BackboneSettings(name="vit_tiny_patch16_224", image_size=64)
    method = build_method(name, numbered(3), backbone, {}, "none")[0]
    with on_a_gpu(method):
        if name != "attended-dynamic":  # whose training asks for the values of tags
            views = [random(4, one.count, 3, one.side, one.side) for one in method.crops]
            tags = torch.ones(4, 3, device=CUDA)
            with torch.autocast("cuda", precision, enabled=precision != torch.float32):
                terms = method.train().loss(method(random(4, 3, 64, 64), tags, views=views), tags, START)
            assert all(term.device.type == "cuda" and term.requires_grad for term in terms.values())
        evidence = method.eval()(random(2, 3, 64, 96), ask=Ask(maps=name != "gradcam"))  # those need a backward pass
        assert evidence.scores_BC.is_cuda
        assert evidence.maps_BChw is None or evidence.maps_BChw.is_cuda


@pytest.mark.parametrize("family", FAMILIES)
def test_backbones_make_no_tensor_on_the_cpu(family: str) -> None:
    method = Attended(small(family), 3, AttendedSettings(map_layers=2, attended_layers=2)).eval()
    with on_a_gpu(method):
        assert method(random(1, 3, 3 * method.patch, 5 * method.patch), ask=Ask(maps=True)).maps_BChw.is_cuda


def test_segmenters_and_their_losses_make_no_tensor_on_the_cpu() -> None:
    segmenter = ViTSegmenter(small("deit"), 4)
    with on_a_gpu(segmenter):
        images = random(2, 3, 70, 64)
        logits = segmenter.train()(images)
        labelled = random(2, 70, 64) > 0.5
        energy = logits.logsumexp(1)
        for tiles in ("image", "batch"):
            threshold = thresholds(energy, labelled, 1.2, 16, tiles)
            assert clipped_loss(energy, labelled, threshold, counted_pixels(labelled, tiles).sum()).loss.is_cuda
        size = torch.tensor([[70, 64], [60, 30]], device=CUDA)
        assert potts(logits, images, size).is_cuda
        values = torch.zeros(2, 3, dtype=torch.int64, device=CUDA)
        assert collision(logits, random(2, 3, 70, 64), values, labelled).is_cuda


def test_a_walk_makes_no_tensor_on_the_cpu() -> None:
    net = AffinityNet(small("deit"))
    with on_a_gpu(net):
        first, second = pairs((4, 4), 3, CUDA)
        affinity = pair_affinity(net(random(1, 3, 64, 64))[0], first, second)
        steps = transition(affinity, first, second, 16, 8.0)
        assert walk(random(2, 16), steps, 3).is_cuda


def test_refiners_make_no_tensor_on_the_cpu() -> None:
    with on_a_gpu():
        image, maps = random(3, 40, 60), random(2, 40, 60)
        assert pamr(image, maps).is_cuda
        assert guided(image, maps, (4, 6)).is_cuda


# From here on, with values.


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that can be trained, on the GPU."""
    root = tmp_path_factory.mktemp("on-gpu")
    write_squares(root / "data", background=True)
    settings = {key: value for key, value in SMALL.items() if key != "precision"}
    tag2mask.train(root / "data", root / "run", **settings)
    tag2mask.train_probe(root / "run", root / "probe", scales=(1.0,), steps=20)
    train_walk(root / "run", root / "walk", WalkSettings.parse({"side": 48, "epochs": 1, "batch_size": 4}))
    tag2mask.make_masks(root / "run", out=root / "masks")
    tag2mask.segment(root / "run", root / "segmenter", masks=root / "masks", epochs=1, batch_size=4)
    return root


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_and_resumes(name: str, precision: str, tmp_path: Path) -> None:
    write_squares(tmp_path / "data", background=True)
    backbone = {**SMALL["backbone"], "depth": 12}
    settings = {**SMALL, "method": name, "method_settings": {}, "backbone": backbone, "precision": precision}
    tag2mask.train(tmp_path / "data", tmp_path / "run", **settings)
    again = tag2mask.train(tmp_path / "data", tmp_path / "run", resume=True, **settings)
    assert again.epochs == 2
    assert all(
        torch.isfinite(weight).all() for weight in open_run(tmp_path / "run").load_method().state_dict().values()
    )


@needs_gpu
@pytest.mark.parametrize("name", ["none", "affinity", "pamr", "guided", "crf", "probe", "walk"])
def test_masks_with_every_refiner(name: str, made: Path, tmp_path: Path) -> None:
    folder = {name: str(made / name)} if name in ("probe", "walk") else {}
    refine = {"names": [] if name == "none" else [name], **folder}
    found = tag2mask.make_masks(made / "run", out=tmp_path / "masks", refine=refine)
    assert not found.failures
    assert evaluate(tmp_path / "masks", made / "data/masks").miou >= 0


@needs_gpu
def test_prediction_by_a_segmenter(made: Path, tmp_path: Path) -> None:
    for name, refine in (("plain", {}), ("crf", {"names": ["crf"]})):
        found = tag2mask.predict(made / "segmenter", made / "data/images", tmp_path / name, refine=refine)
        assert not found.failures


@needs_gpu
@pytest.mark.parametrize("refine", [pamr, crf, lambda image, maps: guided(image, maps, (6, 8))])
def test_refiners_are_those_of_the_cpu(refine: Callable[[Tensor, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    image, maps = torch.rand(3, 48, 64), torch.rand(3, 48, 64)
    torch.testing.assert_close(refine(image.cuda(), maps.cuda()).cpu(), refine(image, maps), atol=1e-4, rtol=1e-3)


@needs_gpu
def test_the_lattice_is_that_of_the_cpu() -> None:
    torch.manual_seed(0)
    features, values = 4 * torch.rand(500, 5), torch.rand(500, 3)
    found = Lattice(features.cuda()).filter(values.cuda()).cpu()
    torch.testing.assert_close(found, Lattice(features).filter(values), atol=1e-4, rtol=1e-4)


@needs_gpu
@pytest.mark.parametrize("name", METHODS)
def test_maps_are_those_of_the_cpu(name: str) -> None:
    torch.manual_seed(0)
    backbone = BackboneSettings(name="vit_tiny_patch16_224", image_size=64, drop_path=0.0)
    method = build_method(name, numbered(3), backbone, {}, "none")[0].eval()
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        wanted = method(images, ask=Ask(maps=True, affinity=True))
        found = method.cuda()(images.cuda(), ask=Ask(maps=True, affinity=True))
    for one in ("scores_BC", "maps_BChw", "affinity_BMM"):
        torch.testing.assert_close(getattr(found, one).cpu(), getattr(wanted, one), atol=1e-3, rtol=1e-2)


@needs_gpu
@pytest.mark.parametrize("first", ["cpu", "gpu"])
def test_a_run_is_resumed_on_another_device(first: str, tmp_path: Path) -> None:
    """In a process without a GPU, and in one with it."""
    write_squares(tmp_path / "data", background=True)
    call = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from tag2mask import train\nfrom interruption import interrupted_after\nfrom squares import SMALL\n"
        "resume = sys.argv[1] == 'resume'\n"
        f"data, out = {str(tmp_path / 'data')!r}, {str(tmp_path / 'run')!r}\n"
        "if resume: train(data, out, resume=True, **SMALL)\n"
        "else:\n    with interrupted_after(1): train(data, out, **SMALL)\n"
    )
    for device, what in ((first, "start"), ({"cpu": "gpu", "gpu": "cpu"}[first], "resume")):
        environment = {**os.environ, **({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})}
        code = subprocess.run([sys.executable, "-c", call, what], env=environment, check=False).returncode
        assert (code != 0) == (what == "start")
    assert len(open_run(tmp_path / "run").metrics()) == 2


@needs_gpu
def test_memory_is_measured_by_the_allocator(tmp_path: Path) -> None:
    write_squares(tmp_path / "data")
    tag2mask.train(tmp_path / "data", tmp_path / "run", **SMALL, memory="1GB")
    result = tag2mask.bench(tmp_path / "data", **SMALL)
    assert result.machine["gpu"] == torch.cuda.get_device_name()
    assert json.dumps(result.to_json())
