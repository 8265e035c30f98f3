"""A batch in parts: the same gradients, half as many images when memory runs out, and a measured choice."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import default_collate

from interruption import interrupted_after
from tag2mask import train
from tag2mask.affinitynet.pair_labels import Labelled
from tag2mask.affinitynet.settings import WalkSettings
from tag2mask.affinitynet.train import WalkTrainer, build_net, collate_unstacked, resolve_walk
from tag2mask.data import open_dataset
from tag2mask.errors import RunError, SettingsError
from tag2mask.methods import METHODS
from tag2mask.segmentation.build import build_segmenter
from tag2mask.segmentation.crops import LabelledCrops
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.sources import open_labels
from tag2mask.segmentation.train import SegmentTrainer, resolve_segmenter
from tag2mask.training.epochs import EpochLoop
from tag2mask.training.interrupt import Interrupt
from tag2mask.training.loop import Material, Trainer, prepare_method
from tag2mask.training.memory import Costs, choose_fit
from tag2mask.training.parts import split
from tag2mask.training.run import open_run
from tag2mask.training.settings import TrainSettings
from tag2mask.training.start import complete, open_accelerator
from tag2mask.vit.vit import recompute_blocks

CALM = {"masking_ratio": 0.0, "pruning": False}
WITHOUT_CHANCE: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("attended", "tokenmasking", "tokenmasking-paper", "tokenmasking-released"), CALM),
    "attended-dynamic": {"pruning": False},
}


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses are computed in float32 on purpose; here they must not round."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


def gradients(loop: EpochLoop[Any], batch: tuple[Any, ...], micro_batch: int | None) -> dict[str, torch.Tensor]:
    loop.module.train()
    loop.module.zero_grad()
    loop.add_gradients(split(batch, micro_batch))
    found = {name: one.grad for name, one in loop.module.named_parameters() if one.grad is not None}
    return {name: grad.clone() for name, grad in found.items()}


def first_items(loop: EpochLoop[Any], count: int, collate: Callable[[Any], Any] = default_collate) -> tuple[Any, ...]:
    [keys] = islice(iter(loop.epoch_batches()), 1)
    doubled = [[one.double() if one.is_floating_point() else one for one in loop.items[key]] for key in keys[:count]]
    return tuple(collate([tuple(item) for item in doubled]))


def require_same_gradients(loop: EpochLoop[Any], batch: tuple[Any, ...]) -> None:
    """Those of the batch at once, of parts of two and one, and of blocks computed again, are equal and not all 0."""
    for module in loop.module.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    wanted = gradients(loop, batch, None)
    assert any(grad.any() for grad in wanted.values())
    for size, recompute in ((2, False), (1, False), (2, True), (None, True)):
        recompute_blocks(loop.module, recompute)
        found = gradients(loop, batch, size)
        assert found.keys() == wanted.keys()
        for name, grad in found.items():
            assert grad.dtype == torch.float64
            torch.testing.assert_close(
                grad, wanted[name], atol=1e-12, rtol=1e-8, msg=lambda text, n=name: f"{n}: {text}"
            )


def method_trainer(squares: Path, small: dict[str, object], out: Path, **changes: object) -> Trainer:
    settings = complete(TrainSettings.parse({**small, "batch_size": 5, **changes}), squares)
    images = open_dataset(squares, settings.data, "train")
    accelerator, method, settings, _ = prepare_method(settings, images.classes, "none")
    return Trainer(accelerator, method.double(), Material(images, [], squares), settings, out, Interrupt())


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("name", METHODS)
def test_gradients_of_parts_are_those_of_the_batch(
    name: str, squares: Path, small: dict[str, object], tmp_path: Path
) -> None:
    backbone = {**small["backbone"], "drop_path": 0.0, "depth": 12}
    chosen = {"method": name, "method_settings": WITHOUT_CHANCE.get(name, {}), "backbone": backbone}
    trainer = method_trainer(squares, small, tmp_path, **chosen)
    require_same_gradients(trainer, first_items(trainer, 5))


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize(
    "settings",
    [
        {"clipping": {"tau": 9.0}},
        {"clipping": {"tau": 9.0, "tiles": "batch"}, "potts": 2.0},
        {"clipping": {"tau": 0.0}},
        {"clipping": {"tau": 0.01}},
    ],
    ids=["clipped", "tiles of the batch", "never clipped", "not clipped yet"],
)
def test_gradients_of_a_segmenters_parts(settings: dict[str, object], run: Path, masks: Path, tmp_path: Path) -> None:
    opened = open_run(run)
    calm = {"batch_size": 5, "precision": "fp32", "backbone": {"drop_path": 0.0}}
    chosen = SegmentSettings.parse({**calm, **settings})
    chosen = resolve_segmenter(chosen, opened)
    source = open_labels(opened, masks, None, False, "train", "hard")
    built = build_segmenter(chosen, opened.settings.data, 4, "none")
    crops = LabelledCrops(
        source.images, opened.classes, chosen.crop, opened.settings.data, built.mean, built.std, chosen.augment
    )
    trainer = SegmentTrainer(open_accelerator(chosen), built.segmenter.double(), crops, chosen, tmp_path, Interrupt())
    batch = list(first_items(trainer, 5))
    batch[1][0, 0, :20], batch[1][3, 0] = 255, 255  # parts with few labels and with none
    require_same_gradients(trainer, tuple(batch))


@pytest.mark.usefixtures("in_float64")
def test_gradients_of_a_walks_parts(trained: Path, tmp_path: Path) -> None:
    run = open_run(trained / "run")
    settings = resolve_walk(WalkSettings.parse({"side": 48, "batch_size": 5}), run)
    generator = torch.Generator().manual_seed(0)
    labelled = [
        Labelled(sample, torch.randint(0, 3, (6, 6 + number % 2), generator=generator))
        for number, sample in enumerate(open_dataset(run.data, run.settings.data, "train"))
    ]
    trainer = WalkTrainer(
        open_accelerator(settings), run, build_net(run, settings).double(), labelled, settings, tmp_path, Interrupt()
    )
    require_same_gradients(trainer, first_items(trainer, 5, collate_unstacked))


class Short:
    """The device's memory: it runs out in the backward pass of more than ``images`` images."""

    def __init__(self, images: int, error: Callable[[], Exception]) -> None:
        self.images = images
        self.error = error
        self.found: list[int] = []
        self.size = 0

    def __enter__(self) -> Short:
        self.patch = pytest.MonkeyPatch()
        terms, backward = Trainer.terms, Accelerator.backward

        def counted(trainer: Trainer, part: Any) -> Any:
            self.size = len(part.fields[0])
            return terms(trainer, part)

        def limited(accelerator: Accelerator, loss: torch.Tensor) -> None:
            self.found.append(self.size)
            backward(accelerator, loss)  # gradients are there already when it fails
            if self.size > self.images:
                raise self.error()

        self.patch.setattr(Trainer, "terms", counted)
        self.patch.setattr(Accelerator, "backward", limited)
        return self

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


def of_gpu() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def of_cpu() -> Exception:
    return RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you "
                        "tried to allocate 8 bytes. Error code 12 (Cannot allocate memory)")  # fmt: skip


def alike(one: Path, other: Path, **tolerance: float) -> None:
    a, b = (load_file(path / "model.safetensors") for path in (one, other))
    for name in a:
        torch.testing.assert_close(a[name], b[name], **tolerance)


@pytest.mark.parametrize("error", [of_gpu, of_cpu, MemoryError])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_out_of_memory_goes_on_with_half_and_the_same_result(
    error: Callable[[], Exception], accumulate: int, squares: Path, tmp_path: Path, small: dict[str, object],
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    small |= {"backbone": {**small["backbone"], "drop_path": 0.0}, "accumulate": accumulate}
    train(squares, tmp_path / "whole", **small)
    capfd.readouterr()
    with Short(1, error) as short:
        train(squares, tmp_path / "short", **small)
    said = [line for line in capfd.readouterr().err.splitlines() if "memory" in line]
    assert said == ["out of memory: from here on 1 of 4 images at once"]
    assert short.found == [4, 2] + [1] * 16  # eight images, two epochs
    alike(tmp_path / "whole", tmp_path / "short", atol=2e-4, rtol=1e-3)


def test_the_micro_batch_is_resumed(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    with Short(2, of_gpu):
        train(squares, tmp_path / "whole", **small)
        with interrupted_after(2), pytest.raises(KeyboardInterrupt):
            train(squares, tmp_path / "halves", **small)
    with Short(4, of_gpu) as short:  # there is room for four again, but the state says two
        train(squares, tmp_path / "halves", resume=True, **small)
    assert set(short.found) == {2}
    alike(tmp_path / "whole", tmp_path / "halves", atol=0, rtol=0)


def test_not_even_one_image_fits(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    with Short(0, of_gpu), pytest.raises(RunError, match="out of memory with 1 image at once: use smaller images"):
        train(squares, tmp_path / "run", **small)


def test_other_errors_stay(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    with Short(1, lambda: RuntimeError("a bug")), pytest.raises(RuntimeError, match="a bug"):
        train(squares, tmp_path / "run", **small)


def costs(recompute: bool) -> Costs:
    """100 bytes and 10 for each image; 4 for each if blocks are computed again."""
    return Costs.through(104, 108) if recompute else Costs.through(110, 120)


@pytest.mark.parametrize(
    ("room", "enough", "recomputes", "wanted"),
    [
        (180, 1, True, (8, False)),  # all of it fits
        (179, 1, True, (6, False)),  # in parts, 15 bytes more are taken
        (140, 1, True, (2, False)),  # slower, but nothing is computed twice
        (140, 4, True, (8, True)),
        (131, 4, True, (4, True)),
        (131, 4, False, (1, False)),
        (110, 1, True, (0, False)),
    ],
)
def test_the_choice(room: float, enough: int, recomputes: bool, wanted: tuple[int, bool]) -> None:
    fit = choose_fit(costs, room, batch=8, extra=15, enough=enough, recomputes=recomputes)
    assert (fit.micro_batch, fit.recompute) == wanted


def state_of(run: Path) -> dict[str, Any]:
    with safe_open(run / "state.safetensors", "pt") as file:
        return json.loads(file.metadata()["progress"])


def test_memory_that_suffices_changes_nothing(
    squares: Path, tmp_path: Path, small: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    train(squares, tmp_path / "one", **small)
    capfd.readouterr()
    train(squares, tmp_path / "other", **small, memory="100 GB")
    assert "memory 100 GB: all 4 images of a batch at once\n" in capfd.readouterr().err
    alike(tmp_path / "one", tmp_path / "other", atol=0, rtol=0)
    assert state_of(tmp_path / "other")["memory"] == "100 GB"


def test_little_memory_is_measured_and_kept(
    squares: Path, tmp_path: Path, small: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tag2mask.training.memory.used_bytes", lambda device: 0)
    small |= {"backbone": {**small["backbone"], "width": 48, "depth": 4, "image_size": 64}}
    sizes = []
    for memory in ("5MB", "8MB", "1GB"):
        train(squares, tmp_path / memory, **small, memory=memory)
        sizes.append(state_of(tmp_path / memory)["micro_batch"])
    assert sizes == sorted(sizes)
    assert 1 <= sizes[0] < sizes[2] == 4
    with pytest.raises(SettingsError, match=r"memory=1kB: too little for 1 image at once, since \d+ MB are taken"):
        train(squares, tmp_path / "tiny", **small, memory="1kB")


@pytest.mark.parametrize(
    ("memory", "wrong"), [("8", "expected a number and one of kB, MB"), (8, "such as 8GB"), ("8 apples", "one of kB")]
)
def test_memory_needs_a_unit(memory: object, wrong: str) -> None:
    with pytest.raises(SettingsError, match=f"train: memory: .*{wrong}"):
        TrainSettings.read({"memory": memory})
