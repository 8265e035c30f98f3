"""Rows of the papers' tables: what is trained on which data, and the published numbers.

Numbers and tables are from the papers, or from WeakTr's README where a title says so. Rows that need a supervised
network, a test server, a ResNet38, or a variant that this package does not have (MCTformer's class scores by a linear
layer or the maximum, WeakTr's average pooling, TS-CAM without its ReLU) are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal


@dataclass(frozen=True)
class PublishedRow:
    """A row of a table: what is trained on which data, which masks are scored, and the numbers in percent.

    ``scored`` masks are those of ``split``: the run's own (``masks``), painted from ``tags``, or the predictions of a
    ``segmenter`` trained on the masks of split ``learn``. ``prepare``, ``train``, ``paint``, ``segment`` and
    ``predict`` are options of the commands (``paint`` those of masks). With options for a ``walk``, ``refine-train``
    trains one before painting. A number is None if it was published only as a figure, or is not among our sources.
    """

    title: str
    source: str
    recipe: str
    learn: str
    split: str
    published: Mapping[str, float | None]
    scored: Literal["masks", "segmenter"] = "masks"
    tags: Literal["given", "predicted"] = "given"
    validate: bool = True
    walk: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    paint: tuple[str, ...] = ()
    segment: tuple[str, ...] = ()
    predict: tuple[str, ...] = ()


Rows = dict[str, PublishedRow]

VOC: Mapping[str, Any] = MappingProxyType({"source": "voc", "learn": "train_aug", "split": "train"})
NPY: Mapping[str, Any] = MappingProxyType({**VOC, "prepare": ("--set", "tags=npy")})  # both papers use this label file
COCO: Mapping[str, Any] = MappingProxyType(
    {"source": "coco", "learn": "train", "split": "train", "prepare": ("--set", "year=2014")}
)
ON_VAL: Mapping[str, Any] = MappingProxyType({"split": "val", "scored": "segmenter"})
OTHER_NETWORK = "(the paper does not name its network; ours is WeakTr's)"

# For every number in its tables, MCTformer chooses the threshold on the truth of train.
SWEPT = ("--tune-on-truth", "train")
BY_TRUTH = "threshold swept on the truth of train"

WEAKTR_SEGMENT = ("--recipe", "voc-weaktr")
LOOKS = ("--scales", "0.5,0.75,1.0,1.25,1.5,1.75", "--flip", "--set", "windows=flush")  # WeakTr's last evaluation
CRF_VOC, CRF_COCO = (("--refine", "crf", "--set", f"crf=segmenter-{data}") for data in ("voc", "coco"))


def set_options(*assignments: str) -> tuple[str, ...]:
    """Return settings as command-line options."""
    return tuple(word for assignment in assignments for word in ("--set", assignment))


# The walk is trained on the maps of the recipe voc-mctformer-v2, with MCTformer's two alphas.
PSA = set_options(
    "masks.look.side=own",
    "masks.look.edges=drop",
    "masks.look.flip=true",
    "masks.refine.names=affinity",
    "masks.refine.crf=mctformer",
    "masks.method.map_layers=3",
    "low_alpha=1",
    "high_alpha=12",
)


def tokenmasking() -> Rows:
    """Return the rows of Hanna and Borth, ICCV 2025: Tables 1 to 3."""
    voc, coco = "voc-tokenmasking", "coco-tokenmasking"
    table3 = "TokenMasking, Table 3:"
    return {
        "tokenmasking-table1-train": PublishedRow(
            "TokenMasking, Table 1: pseudo-masks, VOC train", recipe=voc, published={"miou": 74.5}, **VOC
        ),
        "tokenmasking-table1-val": PublishedRow(
            "TokenMasking, Table 1: pseudo-masks, VOC val",
            recipe=voc, published={"miou": 73.7}, **{**VOC, "split": "val", "tags": "predicted"},
        ),
        "tokenmasking-table2-voc": PublishedRow(
            f"TokenMasking, Table 2: segmentation, VOC val {OTHER_NETWORK}",
            recipe=voc, published={"miou": 72.7}, **{**VOC, **ON_VAL},
        ),
        "tokenmasking-table2-coco": PublishedRow(
            f"TokenMasking, Table 2: segmentation, COCO 2014 val {OTHER_NETWORK}",
            recipe=coco, published={"miou": 43.2}, **{**COCO, **ON_VAL},
        ),
        "tokenmasking-table3-dfc2020": PublishedRow(
            f"{table3} DFC2020",
            "dfc2020", "dfc2020-tokenmasking", "train", "test", {"miou": 67.2, "pixel_accuracy": 74.1},
            tags="predicted", validate=False,
        ),
        "tokenmasking-table3-endotect": PublishedRow(
            f"{table3} EndoTect",
            "endotect", "endotect-tokenmasking", "train", "val", {"miou": 69.8, "pixel_accuracy": 78.4},
            tags="predicted",
        ),
        "tokenmasking-table3-ade20k": PublishedRow(
            f"{table3} ADE20K",
            "ade20k", "ade20k-tokenmasking", "train", "val", {"miou": 38.2, "pixel_accuracy": 51.8},
            tags="predicted",
        ),
    }  # fmt: skip


def tokenmasking_ablations() -> Rows:
    """Return Tables 4 to 6, segmentation on COCO and VOC, and Figure 6, a curve whose numbers are not in the text."""
    rows: Rows = {}
    for table, what, assignment, coco, voc in (
        ("4", "no masking", "method.masking_ratio=0", 41.9, 71.6),
        ("5", "no register", "method.registers=0", 42.8, 72.3),
        ("6", "no pruning", "method.pruning=false", 41.7, 72.0),
    ):
        title = f"TokenMasking, Table {table}: {what}, segmentation,"
        rows[f"tokenmasking-table{table}-coco"] = PublishedRow(
            f"{title} COCO 2014 val {OTHER_NETWORK}",
            recipe="coco-tokenmasking", published={"miou": coco}, train=set_options(assignment), **{**COCO, **ON_VAL},
        )  # fmt: skip
        rows[f"tokenmasking-table{table}-voc"] = PublishedRow(
            f"{title} VOC val {OTHER_NETWORK}",
            recipe="voc-tokenmasking", published={"miou": voc}, train=set_options(assignment), **{**VOC, **ON_VAL},
        )  # fmt: skip
    for percent in (0, 20, 50, 80, 100):
        rows[f"tokenmasking-figure6-{percent}"] = PublishedRow(
            f"TokenMasking, Figure 6: masking ratio {percent} % (a curve, no number), segmentation, VOC val",
            recipe="voc-tokenmasking", published={"miou": None},
            train=set_options(f"method.masking_ratio={percent / 100:g}"), **{**VOC, **ON_VAL},
        )  # fmt: skip
    return rows


def mctformer() -> Rows:
    """Return the rows of Xu et al., CVPR 2022: Tables 1 to 3, and MCTformer+."""
    pseudo, walked = "MCTformer, Table 1: pseudo-masks, VOC train,", "ours is the trained walk for PSA"
    v2: Mapping[str, Any] = MappingProxyType({"recipe": "voc-mctformer-v2", "paint": SWEPT})
    final: Mapping[str, Any] = MappingProxyType({**v2, "walk": PSA, "segment": WEAKTR_SEGMENT})
    networks = f"({walked}, WeakTr's segmenter for ResNet38; {BY_TRUTH})"
    return {
        "mctformer-table1-seed": PublishedRow(f"{pseudo} seed ({BY_TRUTH})", published={"miou": 61.7}, **NPY, **v2),
        "mctformer-table1-mask": PublishedRow(
            f"{pseudo} after PSA ({walked}; {BY_TRUTH})", published={"miou": 69.1}, walk=PSA, **NPY, **v2
        ),
        "mctformer-table2-voc": PublishedRow(
            f"MCTformer, Table 2: segmentation, VOC val {networks}",
            published={"miou": 71.9}, **{**NPY, **ON_VAL, **final},
        ),
        "mctformer-table3-coco": PublishedRow(
            f"MCTformer, Table 3: segmentation, COCO 2014 val {networks}",
            published={"miou": 42.0}, **{**COCO, **ON_VAL, **final},
        ),
        "mctformer-plus": PublishedRow(
            f"MCTformer+: maps, VOC train (its numbers are not among our sources; {BY_TRUTH})",
            recipe="voc-mctformer-plus", published={"miou": None}, paint=SWEPT, **NPY,
        ),
    }  # fmt: skip


def mctformer_ablations() -> Rows:
    """Return Tables 5 (maps on VOC train), 6 (segmentation trained on them, VOC val) and 7."""
    rows: Rows = {}
    for name, what, recipe, refine, maps, segmented in (
        ("v1-plain", "V1, attention", "voc-mctformer-v1", "none", 47.2, 55.6),
        ("v1", "V1, attention and affinity", "voc-mctformer-v1", "affinity", 55.2, 58.8),
        ("v2-plain", "V2, attention and PatchCAM", "voc-mctformer-v2", "none", 58.2, 61.1),
        ("v2", "V2, attention, PatchCAM and affinity", "voc-mctformer-v2", "affinity", 61.7, 62.6),
    ):
        paint = ("--refine", refine, *SWEPT)
        rows[f"mctformer-table5-{name}"] = PublishedRow(
            f"MCTformer, Table 5: {what}, VOC train ({BY_TRUTH})",
            recipe=recipe, published={"miou": maps}, paint=paint, **NPY,
        )  # fmt: skip
        rows[f"mctformer-table6-{name}"] = PublishedRow(
            f"MCTformer, Table 6: segmentation from {what}, VOC val (WeakTr's segmenter for ResNet38; {BY_TRUTH})",
            recipe=recipe, published={"miou": segmented}, paint=paint, segment=WEAKTR_SEGMENT, **{**NPY, **ON_VAL},
        )  # fmt: skip
    rows["mctformer-table5-tscam"] = PublishedRow(
        f"MCTformer, Table 5: TS-CAM with ReLU, VOC train ({BY_TRUTH})",
        recipe="voc-mctformer-v1", published={"miou": 41.3}, train=set_options("method=tscam"),
        paint=("--refine", "none", "--layers", "12", *SWEPT), **NPY,
    )  # fmt: skip
    rows["mctformer-table7-average"] = PublishedRow(
        f"MCTformer, Table 7: class scores by the average, V1, attention, VOC train ({BY_TRUTH})",
        recipe="voc-mctformer-v1", published={"miou": 47.2}, paint=("--refine", "none", *SWEPT), **NPY,
    )  # fmt: skip
    return rows


def weaktr_maps() -> Rows:
    """Return the rows of Zhu et al., 2023, for the CAM network on VOC train and COCO train."""
    voc: Mapping[str, Any] = MappingProxyType({"recipe": "voc-weaktr", **NPY})
    plain = ("--refine", "affinity")
    rows = {
        "weaktr-meansum-voc": PublishedRow(
            f"WeakTr: the mean over all heads instead of fusion (MCTformer V2's network; {BY_TRUTH}), VOC train",
            recipe="voc-mctformer-v2", published={"miou": 61.7}, paint=("--layers", "12", *SWEPT), **NPY,
        ),
        "weaktr-aaf-voc": PublishedRow("WeakTr: CAM, VOC train", published={"miou": 67.2}, paint=plain, **voc),
        "weaktr-cam-voc": PublishedRow("WeakTr: CAM with the CRF, VOC train", published={"miou": 69.4}, **voc),
        "weaktr-cam-coco": PublishedRow(
            "WeakTr: CAM with the CRF, COCO 2014 train (only in its GitHub README)",
            recipe="coco-weaktr", published={"miou": 42.6}, **COCO,
        ),
    }  # fmt: skip
    for hidden, reduction, miou in ((72, 1, 64.5), (36, 2, 65.0), (18, 4, 65.5), (9, 8, 67.2), (3, 24, 63.8)):
        rows[f"weaktr-table5-hidden{hidden}"] = PublishedRow(
            f"WeakTr, Table V: {hidden} hidden units in the fusion, CAM, VOC train",
            published={"miou": miou}, train=set_options(f"method.reduction={reduction}"), paint=plain, **voc,
        )  # fmt: skip
    return rows


# Backbones of WeakTr's retraining: title, options, masks on VOC train and val, VOC val, COCO val, masks on COCO train.
RETRAINED: Mapping[str, tuple[str, tuple[str, ...], float, float, float, float, float]] = MappingProxyType(
    {
        "deit-s": ("DeiT-S", (), 76.5, 74.2, 74.0, 46.9, 48.9),
        "dinov2-s": (
            "DINOv2-S (patches of 14, of 16 there)",
            ("--backbone", "vit_small_patch14_dinov2", "--weights", "hub"), 78.1, 75.6, 75.8, 48.9, 50.7,
        ),
        "vit-s": (
            "ViT-S (IN-21k)",
            ("--backbone", "vit_small_patch16_384", "--weights", "hub", *set_options("clipping.tau=1.0")),
            80.3, 78.0, 78.4, 50.3, 51.3,
        ),
        "eva02-s": (
            "EVA-02-S (patches of 14, of 16 there)",
            ("--backbone", "eva02_small_patch14_224", "--weights", "hub"), 80.0, 78.4, 78.5, 51.1, 52.2,
        ),
    }
)  # fmt: skip


def weaktr_retrained() -> Rows:
    """Return the rows of retraining, from WeakTr's CAM with four backbones, and from MCTformer's with one."""
    rows: Rows = {}
    for name, (what, options, mask_train, mask_val, voc_val, coco_val, coco_train) in RETRAINED.items():
        voc = {**NPY, **ON_VAL, "recipe": "voc-weaktr", "predict": (*LOOKS, *CRF_VOC)}
        coco = {**COCO, **ON_VAL, "recipe": "coco-weaktr", "predict": (*LOOKS, *CRF_COCO)}
        both: dict[str, Any] = {"segment": (*WEAKTR_SEGMENT, *options)}
        kinds: tuple[tuple[str, str, dict[str, Any], float], ...] = (
            ("mask-voc-train", "pseudo-masks of retraining, {}, VOC train", {**voc, "split": "train"}, mask_train),
            ("mask-voc-val", "pseudo-masks of retraining, {}, VOC val", voc, mask_val),
            ("segmenter-voc", "retraining, {}, VOC val, with the CRF", voc, voc_val),
            ("segmenter-coco", "retraining, {}, COCO 2014 val, with the CRF", coco, coco_val),
            (
                "mask-coco-train", "pseudo-masks of retraining, {}, COCO 2014 train (only in its GitHub README)",
                {**coco, "split": "train"}, coco_train,
            ),
        )  # fmt: skip
        for kind, title, common, miou in kinds:
            short = f"weaktr-{kind}" if name == "deit-s" else f"weaktr-{kind}-{name}"
            rows[short] = PublishedRow(f"WeakTr: {title.format(what)}", published={"miou": miou}, **common, **both)
    rows["weaktr-segmenter-voc-mctformer"] = PublishedRow(
        f"WeakTr: retraining, ViT-S, from MCTformer's CAM ({BY_TRUTH}), VOC val, with the CRF",
        recipe="voc-mctformer-v2", published={"miou": 74.4}, paint=SWEPT, predict=(*LOOKS, *CRF_VOC),
        segment=(*WEAKTR_SEGMENT, *RETRAINED["vit-s"][1]), **{**NPY, **ON_VAL},
    )  # fmt: skip
    return rows


def weaktr_ablations() -> Rows:
    """Return Table VII, tau (XIV), the side of tiles, and Table IX's random weights, all with DeiT-S on VOC val."""
    chosen: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...], float], ...] = (
        ("table7-naive", "Table VII: no clipping, no CRF", ("clipping.tau=0",), (), 71.5),
        ("table7-clipping", "Table VII: clipping, no CRF", (), (), 73.0),
        *(
            (f"tau{tau:g}", f"Table XIV: tau {tau:g}, with the CRF", (f"clipping.tau={tau:g}",), CRF_VOC, miou)
            for tau, miou in ((0, 71.8), (0.8, 73.4), (1.0, 73.5), (1.2, 74.0), (1.4, 73.7), (1.6, 73.6), (999.9, 54.2))
        ),
        *(
            (f"tile{tile}", f"tiles of {tile} pixels, with the CRF", (f"clipping.tile={tile}",), CRF_VOC, miou)
            for tile, miou in ((480, 73.3), (240, 73.3), (160, 73.5), (120, 74.0), (96, 73.3))
        ),
        ("table9-random", "Table IX: random weights, with the CRF", ("weights=none",), CRF_VOC, 11.4),
    )
    return {
        f"weaktr-{name}": PublishedRow(
            f"WeakTr, {what}, DeiT-S, VOC val" if what.startswith("Table") else f"WeakTr: {what}, DeiT-S, VOC val",
            recipe="voc-weaktr", published={"miou": miou}, segment=(*WEAKTR_SEGMENT, *set_options(*settings)),
            predict=(*LOOKS, *refine), **{**NPY, **ON_VAL},
        )
        for name, what, settings, refine, miou in chosen
    }  # fmt: skip


PUBLISHED: Mapping[str, PublishedRow] = MappingProxyType(
    {
        **tokenmasking(),
        **tokenmasking_ablations(),
        **mctformer(),
        **mctformer_ablations(),
        **weaktr_maps(),
        **weaktr_retrained(),
        **weaktr_ablations(),
    }
)
