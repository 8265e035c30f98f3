"""Verbs that learn from masks: segment, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tag2mask.cli.options import (
    Assignments,
    Config,
    Epochs,
    Json,
    PresetName,
    RunFolder,
    RunWeights,
    Seed,
    app,
    emit,
    named,
    print_rounds,
    tell_masks,
)


@app.command()
def segment(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", metavar="RUN2", help="A new folder for the segmenter.")],
    masks: Annotated[
        Path | None, typer.Option("--masks", metavar="MASKSET", help="What to learn: a finished mask set.")
    ] = None,
    epochs: Epochs = None,
    batch_size: Annotated[int | None, typer.Option(help="Crops a step [4].")] = None,
    crop: Annotated[int | None, typer.Option(help="Side of crops in pixels; else the run's image size.")] = None,
    architecture: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="vit, or any of segmentation-models-pytorch's, such as unet [vit]."),
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="Of a vit: any plain timm ViT; else the run's own.")] = None,
    weights: RunWeights = None,
    target: Annotated[
        str | None, typer.Option(metavar="hard|soft", help="Learn the masks, or the scores of masks --scores [hard].")
    ] = None,
    potts: Annotated[
        float | None, typer.Option(metavar="WEIGHT", help="Of a loss for smoothness within alike colours [0.0].")
    ] = None,
    seed: Seed = None,
    rounds: Annotated[int, typer.Option(help="Again on the masks that the segmenter before repainted.")] = 1,
    truth: Annotated[
        Path | None, typer.Option(metavar="DIR", help="True labels, to score the precision of the masks only.")
    ] = None,
    val_truth: Annotated[
        Path | None, typer.Option(metavar="DIR", help="True validation labels, to score the rounds only [--truth].")
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
    from tag2mask.workflows.rounds import segment_in_rounds

    options = named(
        epochs=epochs,
        batch_size=batch_size,
        crop=crop,
        architecture=architecture,
        backbone__name=backbone,
        weights=weights,
        target=target,
        potts=potts,
        seed=seed,
    )
    chosen = read_segment_settings(config, options, settings or [], preset)
    result = segment_in_rounds(run, masks, out, chosen, rounds, truth, val_truth, fully_supervised, resume)
    if not as_json:
        print_rounds(result.rounds)
        print(f"{result.path}: {result.epochs} epochs on {result.photographs} images, loss {result.loss:.3f}")
    emit(result.to_json(), as_json)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="RUN2|RUN|FILE.onnx", help="What segment, train or export wrote.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder for the mask set.")],
    photographs: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGES|FOLDER", help="Images of any size.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Instead: one of the lists of the data the run came from.")
    ] = None,
    scales: Annotated[str | None, typer.Option(help="Average over scales, such as 0.75,1.0,1.25 [1.0].")] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Add the mirrored image.")] = False,
    refine: Annotated[
        str | None, typer.Option(metavar="none|crf", help="As in masks; crf alone for a segmenter [none].")
    ] = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="Also write the masks over their images.")] = False,
    settings: Assignments = None,
    as_json: Json = False,
) -> None:
    """Mask new images with a segmenter, a tagged run or an ONNX file; leaves a mask set."""
    from tag2mask.prediction.predict import predict as mask
    from tag2mask.prediction.settings import read_predict_settings

    options = named(look__scales=scales, look__flip=flip or None, refine__names=refine, overlay=overlay or None)
    chosen = read_predict_settings(options, settings or [])
    tell_masks(mask(model, photographs or [], out, chosen, split).to_json(), as_json)
