"""All verbs, in the order of --help."""

from __future__ import annotations

from pathlib import Path

import click

from tag2mask._version import __version__
from tag2mask.cli.bridge import SET, Options, Verbs, argument, flag, path, verb, word

DATA = argument("data", "DATA", "The folder that holds images/ and labels.csv.")
RUN = argument("run", "RUN", "The folder that train wrote.")
MASKSET = argument("mask_set", "MASKSET", "The folder that masks wrote.")
RESUME = flag("resume", "Continue what is in --out.")
WHOLE = path("out", "DIR", "A folder for everything; called again, it continues there.", required=True)
ONLY_SET = ("assignments",)

VERBS = (
    verb(
        "run", "workflows.verbs.run",
        "The whole way from tags to masks of new images, and a report.\n\n"
        "It checks, trains, learns a probe, paints masks, trains a segmenter, predicts, scores and reports.\n"
        "--set names the stage (train, probe, masks, segment, predict), as in --set train.epochs=5.",
        DATA, WHOLE,
        flag("quick", "A first look in about ten minutes on two cores."),
        Options("workflows.settings.WholeSettings", "train.method train.backbone.name train.weights seed", ONLY_SET),
        fails="failures",
    ),
    verb(
        "check", "workflows.datasets.check",
        "Look a data set over: counts, and what is wrong.\n\n"
        "Exit code 1 if training could not work. --set takes settings of the data, or of the source.",
        DATA, word("source", "SOURCE", "In another layout, such as voc or coco; see prepare."),
        flag("quick", "Look at tables, lists and file names only; open no image."),
        SET,
        fails="fatal",
    ),
    verb(
        "prepare", "workflows.datasets.prepare",
        "Write any data set as a folder that train reads.\n\n"
        "Exit code 1 if images could not be used. --set takes settings of the source.",
        argument("source", "SOURCE", "voc, coco, ade20k, dfc2020, endotect, coco-json, labelme, imagefolder, csv, "
                "huggingface, yolo.", type=str),
        path("root", "DIR", "Where the data set lies.", required=True),
        path("out", "DATA", "A new folder.", required=True),
        Options("data.sources.prepare.PrepareSettings", "splits limit link", ()),
        SET,
        fails="failures",
    ),
    verb(
        "train", "training.loop.train", "Learn from tags; leaves a run.",
        DATA, path("out", "RUN", "A new folder for the run.", required=True),
        Options("training.settings.TrainSettings",
                "method backbone.name weights backbone.image_size split epochs batch_size seed precision"),
        RESUME,
    ),
    verb(
        "import", "training.imported.import_checkpoint",
        "Make a run of weights that a method's authors released.\n\nThe file is read without executing it.",
        argument("checkpoint", "CHECKPOINT", "The .pth file that the authors released."),
        word("method", "weaktr|mctformer-v1|mctformer-v2|mctformer-plus", "Its method.", required=True),
        path("classes", "FILE", "One class per line, in the order of its training.", required=True),
        path("out", "RUN", "A new folder for the run.", required=True),
        flag("background", "Pixels may belong to no class; a first line background says so, too."),
        word("image-size", "INTEGER", "Side of images in pixels [the training's].", type=int),
    ),
    verb(
        "train-probe", "probe.train.train_probe",
        "Learn what patches show, over the whole data set.\n\n"
        "The probe refines masks (--refine probe). It learns from the run's own class maps, without truth.",
        RUN, path("out", "PROBE", "A new folder for the probe; called again, it continues there.", required=True),
        Options("probe.settings.ProbeSettings", "masks.split", ONLY_SET),
    ),
    verb(
        "refine-train", "affinitynet.train.train_walk",
        "Learn which patches belong together.\n\n"
        "The walk refines masks (--refine walk). It learns from the run's own class maps, without truth.",
        RUN, path("out", "WALK", "A new folder for the walk.", required=True),
        Options("affinitynet.settings.WalkSettings", "masks.split backbone.name weights epochs", ONLY_SET),
        RESUME,
    ),
    verb(
        "masks", "workflows.verbs.masks", "Paint the masks of a split; leaves a mask set.",
        RUN, path("data", "DATA", "Another data set than the run's."),
        path("out", "DIR", "A new folder [RUN/masks-SPLIT]."),
        Options("masks.settings.MaskSettings",
                "split tags look.scales look.flip refine.names layers heads refine.probe refine.walk threshold scores "
                "paint.unsure", ("recipe", "assignments")),
        word("tune-on-truth", "SPLIT", "Choose the background's threshold by this split's true masks."),
        fails="failures",
    ),
    verb(
        "compare", "workflows.verbs.compare", "Train and score several methods alike.",
        DATA, WHOLE,
        word("methods", "A,B,C", "Methods, with commas between.", required=True),
        word("seeds", "0,1,2", "Seeds, with commas between [0].", default="0"),
        word("budget-minutes", "M", "Training time of each [until its epochs are done].", type=click.FloatRange(0.01)),
        Options("masks.settings.MaskSettings", "refine.names threshold", (), into="painting"),
        Options("training.settings.TrainSettings", "weights", ("config", "assignments")),
    ),
    verb(
        "segment", "workflows.rounds.segment_in_rounds",
        "Train a segmentation network on masks; leaves a segmenter.",
        RUN, path("out", "SEGMENTER", "A new folder for the segmenter.", required=True),
        path("masks", "MASKSET", "What to learn: a finished mask set."),
        Options("segmentation.settings.SegmentSettings",
                "epochs batch_size crop architecture backbone.name weights target potts seed"),
        word("rounds", "N", "Times to train, each on masks that the segmenter before repainted [1].", default=1),
        path("truth", "DIR", "True labels, only to score the precision of the masks."),
        path("val-truth", "DIR", "True validation labels, only to score the rounds [--truth]."),
        flag("fully-supervised", "Learn from --truth instead: the upper bound."),
        RESUME,
    ),
    verb(
        "predict", "prediction.predict.predict", "Paint masks of new images; leaves a mask set.",
        argument("model", "SEGMENTER|RUN|FILE.onnx", "What segment, train or export wrote."),
        argument("photographs", "IMAGES|FOLDER", "Images of any size.", nargs=-1),
        path("out", "DIR", "A new folder for the mask set.", required=True),
        word("split", "NAME", "Instead of images: a split of the data that the model learned from."),
        Options("prediction.settings.PredictSettings", "look.scales look.flip refine.names overlay", ONLY_SET),
        fails="failures",
    ),
    verb(
        "evaluate", "evaluation.evaluate.evaluate", "Score a mask set against truth and against chance.",
        MASKSET, path("truth", "DIR", "Label images NAME.png.", required=True),
        word("split", "NAME|FILE", "Score these images alone: splits/NAME.txt, or a file of names."),
    ),
    verb(
        "convert", "exporters.convert", "Write a mask set in another tool's format.",
        MASKSET, word("to", "coco|yolo|cvat|voc|png|geotiff|npz", "The format.", required=True),
        path("out", "PATH", "A new folder; for coco FILE.json, for cvat FILE.zip.", required=True),
        path("images", "DIR", "Where the images are now, for coco and geotiff [where they were]."),
        word("suffix", ".jpg", "Suffix of images that are gone, for coco."),
    ),
    verb(
        "report", "workflows.verbs.report", "Write one HTML page: pictures, curves, tables.",
        RUN, path("masks", "MASKSET", "The run's masks [RUN/masks-train, or its only ones]."),
        path("truth", "DIR", "True labels [the data set's, if it has any]."),
        path("segmented", "MASKSET", "What a segmenter predicted without tags, for a section more."),
        path("full", "MASKSET", "What the fully supervised segmenter predicted: weak / full in percent."),
        path("out", "FILE", "The page [RUN/report.html]."),
    ),
    verb(
        "export", "workflows.verbs.export", "Write a run or a segmenter as ONNX.",
        argument("run", "RUN|SEGMENTER", "The folder that train or segment wrote."),
        word("format", "onnx", "The format [onnx].", type=click.Choice(["onnx"]), default="onnx"),
        path("out", "FILE", "The file [RUN/model.onnx]."),
    ),
    verb(
        "recipes", "workflows.papers.recipes", "List the published recipes, or print one.",
        argument("name", "NAME", "Print this recipe; without a name, list all.", type=str, required=False),
    ),
    verb(
        "reproduce", "workflows.papers.reproduce",
        "Print the commands that lead to a published number.\n\n"
        "With --go they run, and the number stands beside ours. --set reaches train.",
        argument("row", "PAPER-TABLE", "A row of a table; without one, list all.", type=str, required=False),
        path("root", "DIR", "Where the data set lies.", default=Path("ROOT")),
        path("out", "DIR", "A folder for everything [ROW]."),
        word("weights", "hub|FILE|none", "Pretrained weights, for train [hub]."),
        SET,
        flag("go", "Run the commands; called again, it continues."),
    ),
    verb(
        "demo", "workflows.verbs.demo",
        "The whole way on scenes of handwritten digits.\n\nNo download; about three minutes on two cores.",
        path("out", "DIR", "A new folder [demo].", default=Path("demo")),
    ),
    verb(  # the name of recipes in version 0.1
        "presets", "workflows.papers.recipes", "", argument("name", "NAME", "", type=str, required=False), hidden=True
    ),
)  # fmt: skip


@click.group(cls=Verbs, commands=VERBS, invoke_without_command=True)
@click.version_option(__version__, message="%(version)s", help="Print the version.")
@click.pass_context
def app(context: click.Context) -> None:
    """Image tags in, segmentation masks out."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
