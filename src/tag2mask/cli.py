"""The command line: options in, one call, a table or JSON out. No logic lives here; torch is imported inside verbs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table

from tag2mask.errors import SettingsError, Tag2MaskError

INTERRUPTED = 130
# click's UsageError, wherever this release of typer keeps its click.
USAGE_ERROR = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Assignments = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting; repeatable.")]
Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="A YAML file of settings.")]
PresetName = Annotated[str | None, typer.Option("--preset", metavar="NAME", help="A paper's recipe; see presets.")]
DataFolder = Annotated[Path, typer.Argument(metavar="DATA", help="The folder that holds images/ and labels.csv.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder that train wrote.")]


def main() -> None:
    """Run a verb. What the user can mend is one line on stderr and exit code 2; Ctrl-C is 130."""
    code = 0
    try:
        code = app(standalone_mode=False) or 0  # typer returns the codes of Exit, and 130 for Ctrl-C
    except Tag2MaskError as error:
        fail(f"error: {' '.join(str(error).split())}", 2)
    except USAGE_ERROR as error:
        fail(f"error: {error.format_message()}", 2)
    except OSError as error:  # a full disk, a folder that may not be written to
        fail(f"error: {error}", 2)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        fail("interrupted: what is finished is saved; the same command goes on (train, segment: with --resume)", code)
    sys.exit(code)


def fail(line: str, code: int) -> None:
    """Say one line and leave."""
    print(line, file=sys.stderr)  # noqa: T201
    sys.exit(code)


def emit(result: dict[str, Any], as_json: bool) -> None:
    """The result as the last line of stdout, if it was asked for as JSON."""
    if as_json:
        print(json.dumps(result))  # noqa: T201


def named(**options: object) -> dict[str, Any]:
    """The options that were given, by dotted setting."""
    return {key.replace("__", "."): value for key, value in options.items() if value is not None}


@app.command()
def check(data: DataFolder, settings: Assignments = None, as_json: Json = False) -> None:
    """Look a data set over: counts and what is wrong.

    Exit code 1 if training could not work.
    """
    from tag2mask.data import DataSettings
    from tag2mask.data.check import check as look_over
    from tag2mask.settings import assign
    from tag2mask.training.progress import progress_bar

    chosen = DataSettings.parse(assign({}, settings or []))
    with progress_bar("check", None) as bar:
        report = look_over(data, chosen, bar.advance)
    if not as_json:
        print_check(report.to_json())
    emit(report.to_json(), as_json)
    if report.fatal:
        raise typer.Exit(1)


def print_check(report: dict[str, Any]) -> None:
    """Tables of what a data set holds."""
    console = Console(soft_wrap=True)
    splits = ", ".join(f"{name} {count}" for name, count in report["splits"].items()) or "none"
    console.print(
        f"{report['photographs']} photographs, {report['tagged']} with tags; splits: {splits}", highlight=False
    )
    per_image = ", ".join(f"{count} with {tags}" for tags, count in report["tags_per_image"].items())
    console.print(f"tags a photograph: {per_image}; truth masks: {report['masks']}", highlight=False)
    table = Table("class", "photographs", "share")
    for name, count in report["images_per_class"].items():
        table.add_row(name, str(count), f"{100 * count / max(report['tagged'], 1):.1f} %")
    console.print(table)
    for problem in report["problems"]:
        console.print(f"{problem['severity']}: {problem['message']}", highlight=False, markup=False)
    errors = sum(problem["severity"] == "error" for problem in report["problems"])
    console.print(f"{errors} errors, {len(report['problems']) - errors} warnings", highlight=False)


@app.command()
def train(
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="A new folder for the run.")],
    method: Annotated[
        str | None, typer.Option(help="tokenmasking, mctformer-v2, weaktr, linear, ... [tokenmasking].")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="Any plain timm ViT [vit_small_patch14_dinov2].")] = None,
    weights: Annotated[str | None, typer.Option(metavar="hub|FILE|none", help="Pretrained weights [hub].")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of training crops in pixels [224].")] = None,
    split: Annotated[str | None, typer.Option(help="Photographs to learn from [train].")] = None,
    epochs: Annotated[int | None, typer.Option(help="Times through the photographs [10].")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Photographs a step [8].")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random [0].")] = None,
    precision: Annotated[str | None, typer.Option(metavar="auto|fp32|bf16|fp16", help="Of the numbers [auto].")] = None,
    preset: PresetName = None,
    config: Config = None,
    settings: Assignments = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Learn from tags; leaves a run."""
    from tag2mask.training.loop import train as learn
    from tag2mask.training.settings import read_settings

    options = named(
        method=method,
        backbone__name=backbone,
        weights=weights,
        backbone__image_size=image_size,
        split=split,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        precision=precision,
    )
    result = learn(data, out, read_settings(config, settings or [], options, preset), resume)
    if not as_json:
        best = "no validation photographs" if result.best_ap is None else f"val AP {result.best_ap:.3f}"
        print(f"{result.run}: {result.epochs} epochs, best {result.best_epoch} ({best})")  # noqa: T201
    emit(result.to_json(), as_json)


@app.command("refine-train")
def refine_train(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", metavar="WALK", help="A new folder for the walk.")],
    split: Annotated[str | None, typer.Option(help="Photographs to learn from [train].")] = None,
    backbone: Annotated[str | None, typer.Option(help="Any plain timm ViT; else the run's own.")] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="hub|FILE|none", help="Else what the run started with.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Times through the photographs [5].")] = None,
    settings: Assignments = None,
    as_json: Json = False,
) -> None:
    """Learn which patches belong together, for masks --refine walk.

    From the run's own class maps, without truth. Interrupted, it starts anew.
    """
    from tag2mask.masks.train_walk import read_walk_settings, train_walk

    options = named(masks__split=split, backbone__name=backbone, weights=weights, epochs=epochs)
    summary = train_walk(run, out, read_walk_settings(options, settings or []))
    if not as_json:
        print(f"{summary.path}: {summary.photographs} photographs, loss {summary.last_loss:.3f}")  # noqa: T201
    emit(summary.to_json(), as_json)


@app.command()
def masks(
    run: RunFolder,
    data: Annotated[Path | None, typer.Option(help="Other photographs than the run's.")] = None,
    split: Annotated[str | None, typer.Option(help="Photographs to paint, or all [train].")] = None,
    tags: Annotated[str | None, typer.Option(metavar="given|predicted", help="Which tags to paint [given].")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="A new folder [RUN/masks-SPLIT].")] = None,
    scales: Annotated[str | None, typer.Option(help="Sum maps over scales, such as 1.0,1.25 [1.0].")] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Add the mirrored photograph.")] = False,
    refine: Annotated[
        str | None,
        typer.Option(
            metavar="none|affinity|pamr|walk|crf",
            help="Spread maps over alike patches and pixels; several with commas [none].",
        ),
    ] = None,
    layers: Annotated[int | None, typer.Option(metavar="K", help="Attention of the last K layers.")] = None,
    heads: Annotated[
        str | None, typer.Option(metavar="open|all", help="Heads that count, where they are gated.")
    ] = None,
    walk: Annotated[
        str | None, typer.Option(metavar="WALK", help="The folder that refine-train wrote, for --refine walk.")
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(metavar="NUMBER|mean|otsu|agreement", help="Cut maps there; 0.1,cow=0.2 for one class [0.1]."),
    ] = None,
    tune_on_truth: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="Choose the background's threshold by this split's true masks.")
    ] = None,
    preset: PresetName = None,
    settings: Assignments = None,
    as_json: Json = False,
) -> None:
    """Paint the masks of a split; leaves a mask set."""
    from tag2mask.evaluation.sweep import tune_background
    from tag2mask.masks.make import make_masks
    from tag2mask.masks.settings import read_mask_settings

    options = named(
        split=split, tags=tags, refine=refine, walk=walk, flip=flip or None, scales=scales, threshold=threshold
    )
    options["method"] = named(map_layers=layers, heads=heads)
    chosen = read_mask_settings(options, settings or [], preset)
    if tune_on_truth is not None:
        tuned = tune_background(run, data, chosen, tune_on_truth)
        chosen = tuned.settings
        print(tuned.line(), file=sys.stderr)  # noqa: T201
    tell_masks(make_masks(run, data, out, chosen).to_json(), as_json)


def tell_masks(summary: dict[str, Any], as_json: bool) -> None:
    """What came of a mask set; exit code 1 if photographs failed."""
    if not as_json:
        print(f"{summary['masks']}: {summary['images']} masks, {len(summary['failures'])} failures")  # noqa: T201
    for name, reason in summary["failures"].items():
        print(f"failed: {name}: {reason}", file=sys.stderr)  # noqa: T201
    emit(summary, as_json)
    if summary["failures"]:
        raise typer.Exit(1)


@app.command()
def segment(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", metavar="RUN2", help="A new folder for the segmenter.")],
    masks: Annotated[
        Path | None, typer.Option("--masks", metavar="MASKSET", help="What to learn: a finished mask set.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Times through the photographs [20].")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Crops a step [8].")] = None,
    crop: Annotated[int | None, typer.Option(help="Side of crops in pixels; else the run's image size.")] = None,
    backbone: Annotated[str | None, typer.Option(help="Any plain timm ViT; else the run's own.")] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="hub|FILE|none", help="Else what the run started with.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random [0].")] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="DIR", help="True labels, to score the precision of the masks only.")
    ] = None,
    fully_supervised: Annotated[
        bool, typer.Option("--fully-supervised", help="Learn from --truth instead: the upper bound.")
    ] = False,
    preset: PresetName = None,
    config: Config = None,
    settings: Assignments = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the segmenter in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Train a segmentation network on a mask set; leaves a segmenter."""
    from tag2mask.segmentation.settings import read_segment_settings
    from tag2mask.segmentation.train import segment as learn

    options = named(
        epochs=epochs, batch_size=batch_size, crop=crop, backbone__name=backbone, weights=weights, seed=seed
    )
    chosen = read_segment_settings(config, options, settings or [], preset)
    result = learn(run, masks, out, chosen, truth, fully_supervised, resume)
    if not as_json:
        print(f"{result.path}: {result.epochs} epochs on {result.photographs} photographs, loss {result.loss:.3f}")  # noqa: T201
    emit(result.to_json(), as_json)


@app.command()
def predict(
    segmenter: Annotated[Path, typer.Argument(metavar="RUN2", help="The folder that segment wrote.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder for the mask set.")],
    photographs: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGES|FOLDER", help="Photographs of any size.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Instead: one of the lists of the data the run came from.")
    ] = None,
    scales: Annotated[str | None, typer.Option(help="Average over scales, such as 0.75,1.0,1.25 [1.0].")] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Add the mirrored photograph.")] = False,
    overlay: Annotated[bool, typer.Option("--overlay", help="Also write the masks over their photographs.")] = False,
    settings: Assignments = None,
    as_json: Json = False,
) -> None:
    """Mask new photographs with a segmenter; leaves a mask set."""
    from tag2mask.segmentation.predict import predict as mask
    from tag2mask.segmentation.settings import read_predict_settings

    chosen = read_predict_settings(named(scales=scales, flip=flip or None, overlay=overlay or None), settings or [])
    tell_masks(mask(segmenter, photographs or [], out, chosen, split).to_json(), as_json)


@app.command()
def evaluate(
    mask_set: Annotated[Path, typer.Argument(metavar="MASKSET", help="The folder that masks wrote.")],
    truth: Annotated[Path, typer.Option(metavar="DIR", help="NAME.png with true labels.")],
    split: Annotated[str | None, typer.Option(help="A list of names: a file, or NAME for splits/NAME.txt.")] = None,
    as_json: Json = False,
) -> None:
    """Score a mask set against truth, beside painting at random."""
    from tag2mask.evaluation.evaluate import evaluate as score

    scores = score(mask_set, truth, split).to_json()
    if not as_json:
        print_scores(scores)
    emit(scores, as_json)


def print_scores(scores: dict[str, Any]) -> None:
    """Scores as a table."""
    console = Console(soft_wrap=True)
    table = Table("class", "IoU")
    for name, value in scores["per_class"].items():
        table.add_row(name, "-" if value is None else f"{value:.1f}")
    console.print(table)
    low, high = scores["miou_interval_95"]
    lines = [
        f"mIoU {scores['miou']:.1f} (95 % interval over images {low:.1f} to {high:.1f}); "
        f"painting at random among the tags: {scores['random_miou']:.1f}",
        f"pixel accuracy {scores['pixel_accuracy']:.1f}, precision {scores['precision']:.1f}, "
        f"recall {scores['recall']:.1f}, FP {scores['fp']:.1f}, FN {scores['fn']:.1f}",
        f"{scores['images']} images, {scores['images_without_truth']} without truth; "
        f"{scores['classes_averaged']} of {scores['classes']} classes averaged; tags {scores['tags']}",
    ]
    for line in lines:
        console.print(line, highlight=False)


@app.command()
def convert(
    mask_set: Annotated[Path, typer.Argument(metavar="MASKSET", help="The folder that masks wrote.")],
    to: Annotated[str, typer.Option(metavar="coco|yolo|cvat|voc|geotiff|npz", help="The format.")],
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="A new folder; coco FILE.json, cvat FILE.zip.")],
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The photographs, if not where they were (coco, geotiff).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a mask set in another tool's format."""
    from tag2mask.export import convert as write_as

    conversion = write_as(mask_set, to, out, images)
    if not as_json:
        print(conversion.line())  # noqa: T201
    emit(conversion.to_json(), as_json)


@app.command()
def report(
    run: RunFolder,
    mask_set: Annotated[
        Path | None, typer.Option("--masks", metavar="MASKSET", help="[RUN/masks-train, or its only one]")
    ] = None,
    truth: Annotated[Path | None, typer.Option(metavar="DIR", help="True labels [the data set's, if any].")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The page [RUN/report.html].")] = None,
    as_json: Json = False,
) -> None:
    """Write one HTML page: pictures, curves, tables."""
    from tag2mask.report.page import write_report

    path = write_report(run, mask_set, truth, out)
    if not as_json:
        print(path)  # noqa: T201
    emit({"report": str(path)}, as_json)


@app.command()
def compare(
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder for all of it; called again it goes on.")],
    methods: Annotated[str, typer.Option(metavar="A,B,C", help="Methods, with commas between.")],
    seeds: Annotated[str, typer.Option(metavar="0,1,2", help="Seeds, with commas between.")] = "0",
    budget_minutes: Annotated[
        float | None, typer.Option(metavar="M", min=0.01, help="Training time of each; else its epochs decide.")
    ] = None,
    refine: Annotated[str | None, typer.Option(metavar="none|affinity|pamr|crf", help="As in masks [none].")] = None,
    threshold: Annotated[str | None, typer.Option(metavar="NUMBER|mean|otsu|agreement", help="As in masks.")] = None,
    weights: Annotated[str | None, typer.Option(metavar="hub|FILE|none", help="Pretrained weights [hub].")] = None,
    config: Config = None,
    settings: Assignments = None,
    as_json: Json = False,
) -> None:
    """Train several methods alike, paint, score: which one suits these photographs?"""
    from tag2mask.compare import Comparison, markdown
    from tag2mask.compare import compare as run_comparison
    from tag2mask.masks.settings import read_mask_settings
    from tag2mask.training.settings import read_settings

    if not re.fullmatch(r"\d+(,\d+)*", seeds):
        raise SettingsError(f"--seeds {seeds}: wanted whole numbers with commas between, such as 0,1,2")
    train = read_settings(config, settings or [], named(weights=weights))
    names = [name.strip() for name in methods.split(",")]
    masks_as = read_mask_settings(named(refine=refine, threshold=threshold), [])
    plan = Comparison(data, out, names, [int(seed) for seed in seeds.split(",")], budget_minutes, train, masks_as)
    result = run_comparison(plan)
    if not as_json:
        print(markdown(result["table"]))  # noqa: T201
        print(f"painting at random among the tags: {result['table'][0]['random']}; page: {result['report']}")  # noqa: T201
    emit(result, as_json)


@app.command()
def export(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The file [RUN/model.onnx].")] = None,
    as_json: Json = False,
) -> None:
    """Write a run as ONNX, and compare it with torch."""
    from tag2mask.export.onnx import export_onnx

    summary = export_onnx(run, out or run / "model.onnx")
    if not as_json:
        print(f"{summary.path}: differs from torch by {summary.largest_difference:.1e} at most")  # noqa: T201
    emit(summary.to_json(), as_json)


@app.command()
def presets(as_json: Json = False) -> None:
    """The papers' recipes that --preset takes."""
    from tag2mask.presets import preset_names, read_preset

    titles = {name: read_preset(name).title for name in preset_names()}
    if not as_json:
        table = Table("preset", "what")
        for row in titles.items():
            table.add_row(*row)
        Console(soft_wrap=True).print(table)
    emit({"presets": titles}, as_json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder.")] = Path("demo"),
    as_json: Json = False,
) -> None:
    """The whole way on scenes of handwritten digits.

    No download; about three minutes on two cores.
    """
    from tag2mask.demo import run_demo

    result = run_demo(out)
    if not as_json:
        print_scores(result["scores"])
        print(f"report: {result['report']}")  # noqa: T201
    emit(result, as_json)


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Image tags in, segmentation masks out."""
    if show:
        import tag2mask

        print(tag2mask.__version__)  # noqa: T201
    elif context.invoked_subcommand is None:
        print(context.get_help())  # noqa: T201


if __name__ == "__main__":
    main()
