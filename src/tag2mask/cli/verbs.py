"""All verbs, in the order of --help."""

from __future__ import annotations

from pathlib import Path

import click

from tag2mask._version import __version__
from tag2mask.cli.bridge import ALL_FROM_URL, FROM_URL, SET, TO_URL, Options, Verbs, argument, flag, path, verb, word

DATA = argument("data", "DATA", "Folder with images/ and labels.csv.")
RUN = argument("run", "RUN", "Folder written by train.")
ANY_RUN = argument("run", "RUN", "Folder written by train, or its URL.", type=FROM_URL)
MASKSET = argument("mask_set", "MASKSET", "Folder written by masks.", type=ALL_FROM_URL)
RESUME = flag("resume", "Continue the training in --out.")
WHOLE = path("out", "DIR", "Folder for all results; run again to continue there.", required=True)
SHARD = word(
    "shard",
    "I/N|auto|ray/N",
    "Paint part I of N, or all N on a Ray cluster, each into a file of --out; see merge and docs/clusters.md.",
)
ONLY_SET = ("assignments",)

VERBS = (
    verb(
        "run", "workflows.verbs.run",
        "Run all steps, from tags to masks of new images.\n\n"
        "It checks, trains, learns a probe, paints masks, trains a segmenter, predicts, scores and reports.\n"
        "--set names the stage (train, probe, masks, segment, predict), as in --set train.epochs=5.",
        DATA, WHOLE,
        flag("quick", "A first result in about ten minutes on two cores."),
        Options("workflows.settings.WholeSettings",
                "train.method train.backbone.name train.weights seed memory", ONLY_SET),
        fails="failures",
    ),
    verb(
        "check", "workflows.datasets.check",
        "Check a data set: counts and problems.\n\n"
        "Exit code 1 if training could not work. --set takes settings of the data, or of the source.",
        DATA, word("source", "SOURCE", "Another layout of DATA, such as voc or coco; see prepare."),
        flag("quick", "Check only tables, lists and file names; open no image."),
        SET,
        fails="fatal",
    ),
    verb(
        "prepare", "workflows.datasets.prepare",
        "Convert a data set to a folder that train reads.\n\n"
        "Exit code 1 if some images could not be used. --set takes settings of the source.",
        argument("source", "SOURCE", "voc, coco, ade20k, dfc2020, endotect, coco-json, labelme, imagefolder, csv, "
                "huggingface, yolo, and installed plug-ins.", type=str),
        path("root", "DIR", "Folder of the data set.", required=True),
        path("out", "DATA", "A new folder.", required=True),
        Options("data.sources.prepare.PrepareSettings", "splits limit link", ()),
        SET,
        fails="failures",
    ),
    verb(
        "train", "workflows.verbs.train",
        "Train on tags and write a run with its probe.\n\n"
        "The probe classifies patches, and learns from the run's own class maps. masks and predict use it by default.",
        DATA, path("out", "RUN", "A new folder for the run.", required=True),
        Options("training.settings.TrainSettings",
                "method backbone.name weights backbone.image_size split epochs batch_size seed precision memory"),
        RESUME, flag("no-probe", "Leave out the probe; networks trained from scratch have none."),
    ),
    verb(
        "import", "training.imported.import_checkpoint",
        "Turn weights released by a method's authors into a run.\n\nNothing in the file is executed.",
        argument("checkpoint", "CHECKPOINT", "The .pth file that the authors released."),
        word("method", "weaktr|mctformer-v1|mctformer-v2|mctformer-plus", "Method of the checkpoint.", required=True),
        path("classes", "FILE", "List of classes, one per line, in the order of training.", required=True),
        path("out", "RUN", "A new folder for the run.", required=True),
        flag("background", "Pixels may belong to no class; a first line background in --classes means the same."),
        word("image-size", "INTEGER", "Side of images in pixels [as in training].", type=int),
    ),
    verb(
        "train-probe", "probe.train.train_probe",
        "Train a probe to classify patches, as train does.\n\n"
        "The probe refines masks (--refine probe). It learns from the run's own class maps over the whole data set, "
        "without truth.",
        RUN, path("out", "PROBE", "A new folder for the probe [RUN/probe]; run again to continue there."),
        Options("probe.settings.ProbeSettings", "masks.split", ONLY_SET),
    ),
    verb(
        "refine-train", "affinitynet.train.train_walk",
        "Train a walk: learn which patches belong together.\n\n"
        "The walk refines masks (--refine walk). It learns from the run's own class maps, without truth.",
        RUN, path("out", "WALK", "A new folder for the walk.", required=True),
        Options("affinitynet.settings.WalkSettings", "masks.split backbone.name weights epochs memory", ONLY_SET),
        RESUME,
    ),
    verb(
        "masks", "workflows.verbs.masks", "Paint the masks of a split and write a mask set.",
        ANY_RUN,
        path("data", "DATA", "A data set other than the run's.", type=FROM_URL),
        path("out", "DIR", "A new folder [RUN/masks-SPLIT].", type=TO_URL),
        Options("masks.settings.MaskSettings",
                "split tags look.scales look.flip refine.names layers heads refine.probe refine.walk refine.segmenter "
                "threshold scores paint.unsure", ("recipe", "assignments")),
        word("tune-on-truth", "SPLIT", "Choose the background threshold by the true masks of this split."), SHARD,
        fails="failures",
    ),
    verb(
        "compare", "workflows.verbs.compare", "Train and score several methods under the same conditions.",
        DATA, WHOLE,
        word("methods", "A,B,C", "Methods, separated by commas.", required=True),
        word("seeds", "0,1,2", "Seeds, separated by commas [0].", default="0"),
        word("budget-minutes", "M", "Training minutes per method [all epochs].", type=click.FloatRange(0.01)),
        Options("masks.settings.MaskSettings", "refine.names threshold", (), into="painting"),
        Options("training.settings.TrainSettings", "weights", ("config", "assignments")),
    ),
    verb(
        "segment", "workflows.rounds.segment_in_rounds",
        "Train a segmentation network on masks and write a segmenter.",
        ANY_RUN,
        path("out", "SEGMENTER", "A new folder for the segmenter.", required=True),
        path("masks", "MASKSET", "The finished mask set to learn from.", type=ALL_FROM_URL),
        Options("segmentation.settings.SegmentSettings",
                "epochs batch_size crop architecture backbone.name weights target potts seed memory"),
        word("rounds", "N", "Number of trainings, each on masks repainted by the previous segmenter [1].", default=1),
        path("truth", "DIR", "True masks, used only to score the precision of the masks."),
        path("val-truth", "DIR", "True validation masks, used only to score the rounds [--truth]."),
        flag("fully-supervised", "Learn from --truth instead: the upper bound."),
        path("corrections", "DIR", "Corrections of the masks, from tag2mask view; rejected images are left out."),
        RESUME,
    ),
    verb(
        "predict", "workflows.on_ray.predict", "Paint masks of new images and write a mask set.",
        argument("model", "SEGMENTER|RUN|FILE.onnx", "Model written by segment, train or export.",
                 type=FROM_URL),
        argument("images", "IMAGES|FOLDER", "Images of any size.", nargs=-1, type=FROM_URL),
        path("out", "DIR", "A new folder for the mask set.", required=True, type=TO_URL),
        word("split", "NAME", "Instead of images: a split of the data that the model was trained on."), SHARD,
        Options("prediction.settings.PredictSettings", "look.scales look.flip refine.names overlay", ONLY_SET),
        fails="failures",
    ),
    verb(
        "merge", "masks.merge.merge", "Write the mask set of all shards.",
        argument("shards", "DIR", "Their folder.", type=ALL_FROM_URL),
        path("out", "DIR", "A new folder for the mask set.", required=True),
    ),
    verb(
        "evaluate", "evaluation.evaluate.evaluate", "Score a mask set against true masks and random painting.",
        MASKSET, path("truth", "DIR", "Folder of true label images NAME.png.", required=True, type=ALL_FROM_URL),
        word("split", "NAME|FILE", "Score only these images: splits/NAME.txt, or a file of names."),
        path("corrections", "DIR", "Corrections of the masks, from tag2mask view."),
    ),
    verb(
        "convert", "exporters.convert", "Write a mask set in another tool's format.",
        MASKSET, word("to", "coco|yolo|cvat|voc|png|geotiff|npz", "These and installed plug-ins.", required=True),
        path("out", "PATH", "A new folder; FILE.json for coco, FILE.zip for cvat.", required=True),
        path("images", "DIR", "Folder of the images, for coco and geotiff [where they were].", type=ALL_FROM_URL),
        word("suffix", ".jpg", "File suffix of images that no longer exist, for coco."),
        path("corrections", "DIR", "Corrections of the masks, from tag2mask view; rejected images are left out."),
    ),
    verb(
        "view", "viewer.serve.view",
        "Look at masks and correct them in a browser.\n\n"
        "It serves a page on this machine until Ctrl-C. Corrections are saved beside the masks, never over them.",
        argument("path", "RUN|MASKSET|SEGMENTER", "Folder written by train, masks, predict or segment."),
        path("data", "DATA", "The data set of the images [where they were]."),
        path("compare", "MASKSET", "Masks of the same images to compare with."),
        path("corrections", "DIR", "Folder for corrections [MASKSET-corrections]."),
        word("who", "NAME", "Your name, saved with each correction [your user name]."),
        word("host", "ADDRESS", "Address to serve on; others than 127.0.0.1 need --token.", default="127.0.0.1"),
        word("port", "N", "Port [a free one].", type=click.IntRange(0, 65535), default=0),
        word("token", "SECRET", "The secret in the page's address [a random one]."),
        flag("no-open", "Do not open a browser."),
    ),
    verb(
        "report", "workflows.verbs.report", "Write one HTML page with pictures, curves and tables.",
        RUN, path("masks", "MASKSET", "The run's masks [RUN/masks-train, or its only ones]."),
        path("truth", "DIR", "True masks [the data set's, if it has any]."),
        path("segmented", "MASKSET", "Masks predicted by a segmenter without tags, for an extra section."),
        path("full", "MASKSET", "Masks predicted by a fully supervised segmenter, for weak / full in percent."),
        path("out", "FILE", "The page [RUN/report.html]."),
    ),
    verb(
        "export", "workflows.verbs.export", "Export a run or a segmenter: ONNX, or a folder for the hub.\n\n"
        "onnx writes one file; hub a folder in the layout of the Hugging Face hub, with weights, settings and a model\n"
        "card, which tag2mask also opens.",
        argument("run", "RUN|SEGMENTER", "Folder written by train or segment."),
        word("format", "onnx|hub", "The format [onnx].", type=click.Choice(["onnx", "hub"]), default="onnx"),
        path("out", "PATH", "The file [RUN/model.onnx] or the new folder [RUN/hub]."),
    ),
    verb(
        "push", "workflows.verbs.push",
        "Write a model as a folder for the Hugging Face hub.\n\n"
        "The same as export --format hub. Nothing is uploaded: do that with hf upload OWNER/NAME FOLDER.",
        argument("run", "RUN|SEGMENTER", "Folder written by train or segment."),
        path("to", "FOLDER", "A new folder.", required=True),
    ),
    verb(
        "recipes", "workflows.papers.recipes", "List the published recipes, or print one.",
        argument("name", "NAME", "Print this recipe; without a name, list all.", type=str, required=False),
    ),
    verb(
        "reproduce", "workflows.papers.reproduce",
        "Print the commands that reproduce a published number.\n\n"
        "--go runs them and shows the number next to ours. --set takes settings of train.",
        argument("row", "PAPER-TABLE", "A row of a table; without one, list all.", type=str, required=False),
        path("root", "DIR", "Folder of the data set.", default=Path("ROOT")),
        path("out", "DIR", "Folder for all results [ROW]."),
        word("weights", "hub|FILE|none", "Pretrained weights, for train [hub]."),
        SET,
        flag("go", "Run the commands; run again to continue."),
    ),
    verb(
        "bench", "workflows.bench.bench",
        "Measure this machine: images per second and hours.\n\n"
        "About a minute of train, masks, segment and predict, with random weights. --set takes settings of train.",
        argument("data", "[DATA]", "Images like these; without it, 1000 images like VOC's.", required=False),
        Options("training.settings.TrainSettings", "method backbone.name backbone.image_size batch_size", ONLY_SET),
    ),
    verb(
        "demo", "workflows.verbs.demo",
        "Run all steps on scenes of handwritten digits.\n\nNo download; about three minutes on two cores.",
        path("out", "DIR", "A new folder [demo].", default=Path("demo")),
    ),
    verb(
        "doctor", "workflows.doctor.doctor",
        "Check the installation.\n\n"
        "It shows versions, devices, memory, extras and the source of weights, then trains and paints on generated\n"
        "images, for about ten seconds. Exit code 1 if something needed is broken. Bug reports need its output.",
        fails="broken",
    ),
    verb(  # the name of recipes in version 0.1
        "presets", "workflows.papers.recipes", "", argument("name", "NAME", "", type=str, required=False), hidden=True
    ),
)  # fmt: skip

SECTIONS = {
    "Start here": "doctor demo check run",
    "Train": "prepare train import train-probe refine-train compare",
    "Masks": "masks merge evaluate convert report view",
    "Segmenter": "segment predict export push",
    "Tools": "recipes reproduce bench",
}


@click.group(cls=Verbs, commands=VERBS, invoke_without_command=True)
@click.version_option(__version__, message="%(version)s", help="Print the version.")
@click.pass_context
def app(context: click.Context) -> None:
    """Image tags in, segmentation masks out."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


app.sections = SECTIONS
