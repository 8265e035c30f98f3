"""More cases of ``speed.py``: loader, converters, segmenter, probe, refiners, memory, optimiser, compiling, pruning."""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from baselines.walking import walk_by_squaring
from paired import Case, Work
from tag2mask.affinitynet.walk import pairs, transition, walk
from tag2mask.data import DataSettings, open_dataset
from tag2mask.data.loading import TaggedImages
from tag2mask.data.settings import AugmentSettings
from tag2mask.data.transforms import train_transform
from tag2mask.exporters import convert
from tag2mask.masks.write import MaskSetWriter, Painted
from tag2mask.methods import Ask, Progress
from tag2mask.methods.attended import Attended, AttendedSettings
from tag2mask.probe.linear import fit_probe
from tag2mask.refine import guided
from tag2mask.segmentation.clipping import clipped_loss, counted_pixels, thresholds
from tag2mask.segmentation.model import ViTSegmenter
from tag2mask.training.parts import split
from tag2mask.vit.vit import recompute_blocks
from tag2mask.workflows.bench import write_photos

SMALL = "vit_small_patch14_dinov2"
VOC = (375, 500)  # pixels of an image
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def attended(classes: int = 20, settings: AttendedSettings | None = None, size: int = 224) -> Attended:
    """``attended`` on ViT-S/14."""
    torch.manual_seed(0)
    return Attended(timm.create_model(SMALL, img_size=size, dynamic_img_size=True), classes, settings)


def tagged(images: int, classes: int) -> tuple[Tensor, Tensor]:
    """Random crops and tags."""
    return torch.randn(images, 3, 224, 224), (torch.rand(images, classes) < 0.1).float()


def step_of(
    method: Attended, images: Tensor, tags: Tensor, micro_batch: int | None = None, fused: bool = False
) -> Work:
    """A step of AdamW on a batch, in parts if a micro-batch is given."""
    optimiser = torch.optim.AdamW(method.parameters(), 1e-5, fused=fused)

    def work() -> None:
        optimiser.zero_grad()
        for part in split((images, tags), micro_batch):
            terms = method.loss(method(*part.fields), part.fields[1], Progress(0, 1, 0, 1))
            torch.autograd.backward(torch.stack(list(terms.values())).sum() * part.share)
        optimiser.step()

    return work


def within_memory(micro_batch: int | None, recompute: bool) -> Work:
    """A training step as a memory limit makes it."""
    method = attended().train()
    recompute_blocks(method, recompute)
    return step_of(method, *tagged(8, 20), micro_batch)


def optimising(fused: bool) -> Work:
    """AdamW alone, on the gradients of one step."""
    method = attended().train()
    step_of(method, *tagged(1, 20))()
    optimiser = torch.optim.AdamW(method.parameters(), 1e-5, fused=fused)
    return optimiser.step


def compiled(by_inductor: bool) -> Work:
    """Class maps of 8 images of one of two shapes in turn."""
    method = attended().eval()
    forward = torch.compile(method, dynamic=True) if by_inductor else method
    shapes = itertools.cycle([torch.randn(8, 3, 224, 224), torch.randn(8, 3, 224, 294)])
    return torch.inference_mode()(lambda: forward(next(shapes), ask=Ask(maps=True)))


def pruned(removed: bool) -> Work:
    """Class maps of 8 images with a third of the heads closed, which are removed or only multiplied by 0."""
    method = with_closed_heads()
    if removed:
        method.vit.prune()
    images = torch.randn(8, 3, 224, 224)
    return torch.inference_mode()(partial(method, images, ask=Ask(maps=True)))


def describe_pruning() -> dict[str, int]:
    """Parameters and floating-point operations of one image of 224 px, before and after heads are removed."""
    method, images = with_closed_heads(), torch.randn(1, 3, 224, 224)
    found = {}
    for name in ("kept", "removed"):
        counter = FlopCounterMode(display=False)
        with torch.inference_mode(), counter:
            method(images, ask=Ask(maps=True))
        found[f"parameters, heads {name}"] = sum(one.numel() for one in method.parameters())
        found[f"operations, heads {name}"] = counter.get_total_flops()
        method.vit.prune()
    return found


def with_closed_heads() -> Attended:
    """``attended`` with gates, two of the six heads of each layer closed."""
    method = attended(settings=AttendedSettings(pruning=True)).eval()
    with torch.no_grad():
        for gate in method.vit.gates():
            gate.log_alpha_H.fill_(3.0)
            gate.log_alpha_H[:2] = -3.0
    return method


def loading(ours: bool, images: int = 24) -> Work:
    """Crops of 224 px, mirrored and with other colours, from JPEG images of VOC's size."""
    folder = new_photos(images)
    if ours:
        transform = train_transform(224, MEAN, STD, AugmentSettings())
        found = TaggedImages(folder, open_dataset(folder, DataSettings()), DataSettings(), transform)
        return lambda: [found[0, index] for index in range(images)]
    released = transforms.Compose(
        [
            transforms.RandomResizedCrop(224, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.3, 0.3, 0.3),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    paths = sorted((folder / "images").iterdir())
    return lambda: [released(Image.open(path).convert("RGB")) for path in paths]


def new_photos(images: int) -> Path:
    """A data folder of generated JPEG images, deleted at the end with all that was written beside it."""
    folder = Path(tempfile.mkdtemp(prefix="tag2mask-speed-"))
    atexit.register(shutil.rmtree, folder)
    write_photos(folder / "data", images, VOC, 20)
    return folder / "data"


def converting(to: str, images: int = 12) -> Work:
    """A mask set of VOC's size in another form."""
    folder = new_photos(images)
    data = open_dataset(folder, DataSettings())
    draw = np.random.default_rng(0)
    writer = MaskSetWriter(folder.parent / "masks", data.classes, {"data": str(folder)})
    for sample in data:
        labels = np.kron(draw.integers(0, 6, (12, 16)), np.ones((32, 32), int))[: VOC[0], : VOC[1]]
        writer.add(sample.name, Painted(labels, ["0"], fallback=False))
    writer.finish({})
    numbers = itertools.count()
    suffix = {"coco": ".json", "cvat": ".zip"}.get(to, "")
    return lambda: convert(folder.parent / "masks", to, folder.parent / f"{to}-{next(numbers)}{suffix}")


def segmenting(clipped: bool) -> Work:
    """A step of our segmenter on 4 crops of 224 px, with gradient clipping or with plain cross-entropy."""
    torch.manual_seed(0)
    segmenter = ViTSegmenter(timm.create_model(SMALL, img_size=224, dynamic_img_size=True), 21).train()
    images, labels = torch.randn(4, 3, 224, 224), torch.randint(21, (4, 224, 224))
    labels[:, :40] = 255
    optimiser = torch.optim.AdamW(segmenter.parameters(), 1e-5)

    def work() -> None:
        optimiser.zero_grad()
        logits = segmenter(images)
        if not clipped:
            F.cross_entropy(logits, labels, ignore_index=255).backward()  # type: ignore[no-untyped-call]
        else:
            energy, labelled = F.cross_entropy(logits, labels, ignore_index=255, reduction="none"), labels != 255
            threshold = thresholds(energy, labelled, 9.0, 56)
            pixels = counted_pixels(labelled, "image").sum()
            torch.autograd.backward(clipped_loss(energy, labelled, threshold, pixels).loss)
        optimiser.step()

    return work


def probing(ours: bool, patches: int = 10_000) -> Work:
    """A linear layer from 384 features to 21 classes: ours in 600 steps, or scikit-learn's to convergence."""
    torch.manual_seed(0)
    labels = torch.randint(21, (patches,))
    features = (torch.randn(21, 384)[labels] + 3 * torch.randn(patches, 384)).half()
    if ours:
        given = (features, labels, torch.ones(patches), 21, 600, 4096, 3e-3, 1e-2)
        return lambda: fit_probe(*given, torch.Generator().manual_seed(0))
    return lambda: LogisticRegression(class_weight="balanced").fit(features.float().numpy(), labels.numpy())


def walking(walker: Callable[[Tensor, Tensor, int], Tensor]) -> Work:
    """64 steps of 4 scores over 24 x 32 patches."""
    torch.manual_seed(0)
    first, second = pairs((24, 32), 5)
    steps = transition(torch.rand(len(first)), first, second, 24 * 32, 8.0)
    return partial(walker, torch.rand(4, 24 * 32), steps, 6)


def guiding() -> Work:
    """Joint bilateral upsampling of 4 scores from 24 x 32 patches to an image of VOC's size."""
    torch.manual_seed(0)
    return partial(guided, torch.rand(3, *VOC), torch.rand(4, *VOC), (24, 32))


MORE: MappingProxyType[str, Case] = MappingProxyType(
    {
        "loader": Case(
            "24 crops of 224 px from JPEG images of 375 x 500 px",
            {"tag2mask": partial(loading, True), "torchvision on Pillow": partial(loading, False)},
        ),
        "segmenter": Case(
            "segmenter, a step on 4 crops of 224 px, ViT-S/14, 21 classes, fp32",
            {"tag2mask": partial(segmenting, True), "cross-entropy": partial(segmenting, False)},
        ),
        "probe": Case(
            "probe, 10,000 patches of 384 features, 21 classes",
            {"tag2mask": partial(probing, True), "scikit-learn": partial(probing, False)},
        ),
        "walk": Case(
            "random walk of 4 scores over 24 x 32 patches, 64 steps",
            {"tag2mask": partial(walking, walk), "squared matrix": partial(walking, walk_by_squaring)},
        ),
        "guided": Case("guided upsampling of 4 scores to 375 x 500 px", {"tag2mask": guiding}),
        **{
            f"convert-{to}": Case(f"12 masks of 375 x 500 px as {to}", {"tag2mask": partial(converting, to)})
            for to in ("png", "coco", "yolo")
        },
        "memory": Case(
            "training step, ViT-S/14, 8 images of 224 px, fp32, within less memory",
            {
                "at once": partial(within_memory, None, False),
                "2 at once": partial(within_memory, 2, False),
                "gradient checkpointing": partial(within_memory, None, True),
            },
        ),
        "pruned": Case(
            "class maps, ViT-S/14, 8 images of 224 px, a third of the heads closed",
            {"heads removed": partial(pruned, True), "heads kept": partial(pruned, False)},
        ),
        "adamw": Case(
            "AdamW alone, 22 million parameters",
            {"as it is": partial(optimising, False), "fused": partial(optimising, True)},
        ),
        "compile": Case(
            "class maps, ViT-S/14, 8 images of two sizes in turn",
            {"as it is": partial(compiled, False), "torch.compile": partial(compiled, True)},
        ),
    }
)
