"""One of every kind of folder that tag2mask writes, and how each of its files is read again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from tag2mask.affinitynet.settings import WalkSettings
from tag2mask.affinitynet.walk import AffinityNet, open_walk
from tag2mask.data import Classes, DataSettings
from tag2mask.data.sources.prepare import prepare
from tag2mask.data.statistics import write_statistics
from tag2mask.evaluation.evaluate import evaluate
from tag2mask.files import write_json, write_yaml
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import MaskSetWriter, open_finished
from tag2mask.notation import from_json
from tag2mask.painting.make import make_masks
from tag2mask.prediction.onnx_file import ModelCard
from tag2mask.prediction.predict import open_predictor, predict
from tag2mask.prediction.settings import PredictSettings
from tag2mask.reports.page import write_report
from tag2mask.reports.segmenter import segmenter_section
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.sources import SUPERVISED
from tag2mask.shown import say
from tag2mask.tensors import write_tensors
from tag2mask.training.loop import train
from tag2mask.training.run import Run, open_run
from tag2mask.training.settings import TrainSettings
from tag2mask.vit.weights import build_backbone
from tag2mask.workflows.compare import Comparison, finished_row, markdown, planned_epochs, summary
from tag2mask.workflows.plan import Plan, require_same_plan
from tag2mask.workflows.rounds import require_rounds
from tag2mask.workflows.run import Way, WholeResult
from tag2mask.workflows.settings import WholeSettings
from tag2mask.workflows.stages import Stages

CLASSES = Classes(("red", "green", "blue"), "background")
CARD = ModelCard("run", "r", "m", CLASSES, DataSettings(), (0.5,) * 3, (0.5,) * 3, 32, 32, 8, "0" * 64, "tags", "none")
ORIGIN = {"labels_used": "image tags, given", "truth_used": "none", "settings": {"tags": "given", "split": "train"}}
SCORES = {
    "mask_set": "run/masks-train",
    "images": 8,
    "tags": "given",
    "miou": 50.0,
    "random_miou": 25.0,
    "miou_interval_95": [40.0, 60.0],
}


class OwnPlace:
    """The folders below ``root``, around a run and a segmenter that are copied there."""

    def __init__(self, root: Path, trained: Path, student: Path) -> None:
        self.root = root
        self.data = Path(shutil.copytree(trained / "squares", root / "squares"))
        self.run = Path(shutil.copytree(trained / "run", root / "run"))
        self.student = Path(shutil.copytree(student, root / "student"))
        for folder in (self.run, self.student):
            config = folder / "config.yaml"
            text = config.read_text().replace(str(trained), str(root))
            config.write_text(text.replace(SUPERVISED, "none"))  # as if it had learned from masks
        self.settings = open_run(self.run).settings
        make_masks(self.run, settings=MaskSettings(split="val"))
        predict(self.student, [], root / "predicted", PredictSettings(), "val")
        self.write_rest(open_run(self.run))

    def write_rest(self, run: Run) -> None:
        """What is made without training."""
        root, backbone = self.root, self.settings.backbone
        for name in ("weights", "walk", "card", "config", "whole", "compared", "rounds/round-1"):
            (root / name).mkdir(parents=True)
        model, _ = build_backbone(backbone, "none")
        write_tensors(root / "weights/w.safetensors", model.state_dict(), {"num_heads": "3"})
        torch.save({"state_dict": model.state_dict()}, root / "weights/w.pth")
        walk = WalkSettings(backbone=backbone).model_dump(mode="json")
        write_yaml(root / "walk/config.yaml", {"settings": walk, "data": "d", "mean": [0.5] * 3, "std": [0.5] * 3})
        write_tensors(root / "walk/walk.safetensors", AffinityNet(model).state_dict(), {})
        write_json(root / "card/card.json", CARD.to_metadata())
        write_yaml(root / "config/config.yaml", TrainSettings().model_dump(mode="json"))
        write_statistics(self.data)
        for name, stem in (("red", "p00"), ("green", "p01")):
            (root / "folders" / name).mkdir(parents=True)
            shutil.copy(self.data / f"images/{stem}.png", root / "folders" / name)
        prepare("imagefolder", root / "folders", root / "prepared")
        writer = MaskSetWriter(root / "half", run.classes, ORIGIN)
        for mask in sorted((self.data / "masks").iterdir())[:3]:
            (root / "half/masks" / mask.name).write_bytes(mask.read_bytes())
            with (root / "half/tags.jsonl").open("a") as file:
                file.write(f'{{"name": "{mask.stem}", "tags": ["red", "blue"], "fallback": false}}\n')
        assert not writer.tags
        write_json(root / "whole/plan.json", self.plan().to_json())
        checked = {"tagged": 8, "splits": {"train": 8, "val": 4}, "warnings": 0}
        write_json(root / "whole/done.json", {"check": checked, "evaluate": {"scores": [SCORES]}})
        write_json(
            root / "compared/plan.json", {"budget_minutes": 3.0, "train": {}, "masks": {}, "epochs": {"linear": 7}}
        )
        row = {"method": "linear", "seed": 0, "epochs": 7, "mIoU": 50.0, "random_miou": 25.0, "val AP": 0.5}
        write_json(root / "compared/row.json", {**row, "minutes": 1.0, "peak MiB": 900, "million parameters": 5.5})
        write_json(root / "rounds/rounds.json", {"rounds": 2, "finished": []})

    def plan(self) -> Plan:
        """What was asked of ``run``."""
        return Plan(self.data, self.root / "whole", WholeSettings.parse({"train": {"seed": 3}}))

    def read_run(self) -> None:
        """The run and its weights, as predict and the report take them."""
        open_run(self.run).load_method()
        open_predictor(self.run, PredictSettings())

    def read_report(self) -> None:
        """The page: metrics, weights' report, mask set."""
        write_report(self.run, self.run / "masks-val", out=self.root / "out/report.html")

    def read_state(self) -> None:
        """A training goes on; it was at its end."""
        train(self.data, self.run, self.settings, resume=True)

    def read_masks(self) -> None:
        """A mask set is scored and shown."""
        open_finished(self.run / "masks-val")
        say(evaluate(self.run / "masks-val", self.data / "masks").shown())
        self.read_report()

    def read_half(self) -> None:
        """A mask set goes on."""
        MaskSetWriter(self.root / "half", CLASSES, ORIGIN).finish({})

    def read_student(self) -> None:
        """A segmenter and its weights."""
        open_segmenter(self.student).load()

    def read_section(self) -> None:
        """A segmenter's masks and its metrics."""
        segmenter_section(self.run, self.root / "predicted", truth=self.data / "masks")

    def read_walk(self) -> None:
        """A walk and its weights."""
        open_walk(self.root / "walk")

    def read_card(self) -> None:
        """An ONNX file's metadata, which are texts by name."""
        path = self.root / "card/card.json"
        try:
            texts = from_json(path.read_bytes())
        except ValueError:  # the container itself is onnxruntime's
            return
        if isinstance(texts, dict):
            ModelCard.from_metadata({str(key): str(value) for key, value in texts.items()}, path)

    def read_whole(self) -> None:
        """What a call of ``run`` left."""
        plan = self.plan()
        require_same_plan(plan)
        stages = Stages(plan.out)
        Way(plan, stages.before.get("check", {}))
        scores = stages.before.get("evaluate", {}).get("scores", [])
        say(WholeResult(plan.out, plan.out, {}, stages.before, scores).shown())

    def read_compared(self) -> None:
        """What a call of ``compare`` left."""
        out = self.root / "compared"
        planned_epochs(Comparison(self.data, out, ["linear"], [0], 3.0, TrainSettings(), MaskSettings()))
        row = finished_row(out)
        assert row is not None
        markdown(summary([row, row]))

    def read_rounds(self) -> None:
        """What a call of ``segment --rounds`` left."""
        require_rounds(self.root / "rounds", 2)

    def read_prepared(self) -> None:
        """A data set that is prepared again."""
        prepare("imagefolder", self.root / "folders", self.root / "prepared")

    def read_weights(self, name: str) -> None:
        """Pretrained weights."""
        build_backbone(self.settings.backbone, self.root / "weights" / name)

    def read_settings(self) -> None:
        """A file of settings."""
        TrainSettings.read({}, config=self.root / "config/config.yaml")

    def read_data(self) -> None:
        """How a data set is to be read."""
        DataSettings().completed(self.data)

    def readers(self) -> dict[str, Callable[[], None]]:
        """By file."""
        return {
            "run/config.yaml": self.read_run,
            "run/classes.json": self.read_run,
            "run/model.safetensors": self.read_run,
            "run/metrics.jsonl": self.read_report,
            "run/weights.json": self.read_report,
            "run/state.safetensors": self.read_state,
            "run/masks-val/manifest.json": self.read_masks,
            "run/masks-val/classes.json": self.read_masks,
            "half/manifest.json": self.read_half,
            "half/tags.jsonl": self.read_half,
            "student/config.yaml": self.read_student,
            "student/classes.json": self.read_student,
            "student/model.safetensors": self.read_student,
            "student/metrics.jsonl": self.read_section,
            "predicted/manifest.json": self.read_section,
            "walk/config.yaml": self.read_walk,
            "walk/walk.safetensors": self.read_walk,
            "card/card.json": self.read_card,
            "whole/plan.json": self.read_whole,
            "whole/done.json": self.read_whole,
            "compared/plan.json": self.read_compared,
            "compared/row.json": self.read_compared,
            "rounds/rounds.json": self.read_rounds,
            "prepared/prepared.json": self.read_prepared,
            "prepared/prepared.jsonl": self.read_prepared,
            "weights/w.safetensors": lambda: self.read_weights("w.safetensors"),
            "weights/w.pth": lambda: self.read_weights("w.pth"),
            "config/config.yaml": self.read_settings,
            "squares/dataset.yaml": self.read_data,
        }

    def restore(self, before: dict[Path, bytes]) -> None:
        """Every file is what it was."""
        for path in [path for path in self.root.rglob("*") if path.is_file() and path not in before]:
            path.unlink()
        for path, content in before.items():
            if not path.is_file() or path.read_bytes() != content:
                path.unlink(missing_ok=True)
                path.write_bytes(content)

    def contents(self) -> dict[Path, bytes]:
        """Of every file."""
        return {path: path.read_bytes() for path in self.root.rglob("*") if path.is_file()}


FILES = tuple(OwnPlace.readers(object.__new__(OwnPlace)))
