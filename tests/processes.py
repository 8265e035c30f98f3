"""Trainings in several processes: a way to start them, and what each of them does.

python processes.py SCENARIO FOLDER
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from command import SMALL as WORDS
from command import call
from interruption import interrupted_after
from squares import SMALL
from tag2mask import segment, train
from tag2mask.affinitynet.settings import WalkSettings
from tag2mask.affinitynet.train import train_walk
from tag2mask.segmentation import decoder
from tag2mask.training import loop, together

DATA = "seven"  # images to learn from, beside the scenario's folder
LOSSES: dict[str, dict[str, Any]] = {
    "segmenter": {"clipping": {"tau": 2.0}},
    "all-pixels": {"clipping": {"tau": 0.0, "tiles": "batch"}},
    "neighbours": {"clipping": {"tau": 2.0}, "potts": 0.5},
}
RANK = int(os.environ.get("RANK", 0))


def start(count: int, scenario: str, folder: Path) -> list[subprocess.Popen[str]]:
    """So many processes that know of each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared |= {"ACCELERATE_USE_CPU": 1, "OMP_NUM_THREADS": 1}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return [
        subprocess.Popen(
            [sys.executable, __file__, scenario, str(folder)],
            env=environment | {key: str(value) for key, value in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def learn(folder: Path, batch_size: int) -> None:
    """A run and three segmenters, with nothing random that depends on the process."""
    backbone = {**SMALL["backbone"], "drop_path": 0.0}
    alike = {"epochs": 3, "batch_size": batch_size, "precision": "fp32", "backbone": backbone}
    method = SMALL["method_settings"]
    train(folder.parent / DATA, folder / "run", weights="none", method_settings=method, **alike)
    block = decoder.Block
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "Block", lambda *a, **k: block(*a, **{**k, "proj_drop": 0.0, "attn_drop": 0.0}))
        truth = folder.parent / DATA / "masks"
        for name, losses in LOSSES.items():
            segment(folder / "run", None, folder / name, truth=truth, fully_supervised=True, **losses, **alike)


def contrast(folder: Path, batch_size: int) -> None:
    """A run of a method with local crops and a teacher; nothing random depends on the process."""
    alike = {**SMALL, "backbone": {**SMALL["backbone"], "drop_path": 0.0}, "epochs": 3, "batch_size": batch_size}
    alike |= {"method": "toco", "method_settings": {"crop_side": 16, "low": 0.4}}
    train(folder.parent / DATA, folder / "run", **alike)


def leave_out(folder: Path) -> None:
    """A run of a method without a final norm, whose weights are in the network all the same."""
    without = {"method": "tokenmasking-released", "method_settings": {"map_layers": 2}, "batch_size": 2}
    train(folder.parent / DATA, folder / "run", **{**SMALL, **without})


def walk(folder: Path, batch_size: int) -> None:
    """A walk on the maps of a run that is there."""
    quick = {"side": 48, "trust": 0.0, "epochs": 3, "batch_size": batch_size}
    train_walk(folder.parent / "run", folder / "walk", WalkSettings.parse(quick))


def interrupted(folder: Path) -> None:
    """A whole training; one in which the second process alone gets Ctrl-C; that one again, to the end."""
    data, settings = folder.parent / DATA, {**SMALL, "batch_size": 2}
    train(data, folder / "whole", **settings)
    ended: dict[str, Any] = {"by": "itself"}
    try:
        with interrupted_after(3 if RANK == 1 else 0):
            train(data, folder / "halved", **settings)
    except KeyboardInterrupt:
        ended = {"by": "Ctrl-C", "saved": (folder / "halved/state.safetensors").is_file()}
    train(data, folder / "halved", resume=True, **settings)
    (folder / f"ended-{RANK}.json").write_text(json.dumps(ended))


def lost(folder: Path, signum: int) -> None:
    """The second process gets a signal after its first step, before its first tick, and is silent from then on."""
    step = loop.Trainer.step

    def lost_after(self: loop.Trainer, *batch: torch.Tensor) -> bool:
        moved = step(self, *batch)
        if RANK == 1 and self.state.step == 1:
            os.kill(os.getpid(), signum)
        return moved

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Trainer, "step", lost_after)
        patch.setattr(together, "TICK", 0.3)
        sys.exit(call(patch, "train", folder.parent / DATA, f"--out={folder / 'run'}", *WORDS, "--batch-size=2"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    scenarios = {
        "learn": lambda folder: learn(folder, batch_size=3),
        "contrast": lambda folder: contrast(folder, batch_size=3),
        "leave_out": leave_out,
        "walk": lambda folder: walk(folder, batch_size=3),
        "interrupted": interrupted,
        "killed": lambda folder: lost(folder, signal.SIGKILL),
        "stopped": lambda folder: lost(folder, signal.SIGSTOP),
    }
    scenarios[sys.argv[1]](Path(sys.argv[2]))
