"""What to try next: a rule a symptom, each from figures that stand on the page or follow from the masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tag2mask.reports.figures import Figures

GAP = 15  # of mean precision and recall of the classes, in points
UNPAINTED = 0.2  # share of an image's tags that got no pixels
NO_GROUND = 0.02  # share of pixels
ALIKE, IMAGES_ALIKE = 0.9, 2  # correlation of two maps, and the images that show it
NEAR_CHANCE = 0.02  # of a class's AP above the share of images that have it
HARDLY_FELL, FELL_BACK = 0.95, 0.8  # the last loss as a share of the first, the last AP as a share of the best
STILL_RISING, EPOCHS_BACK = 0.01, 2  # of the mean AP over so many epochs
UNEVEN, FEW = 20, 10  # images of the most frequent class to those of the rarest, and how few those are
NAMED = 5  # classes in a sentence


@dataclass(frozen=True)
class Advice:
    """A symptom, the figures that show it, and what to try."""

    title: str
    figures: str
    tries: tuple[str, ...]


def advise(figures: Figures) -> list[Advice]:
    """All that the figures give reason for, what is worth most first."""
    found = [rule(figures) for rule in RULES]
    return [advice for advice in found if advice is not None]


def collapsed_training(figures: Figures) -> Advice | None:
    """The loss stands still, or the validation scores fell or never rose."""
    rows = figures.metrics
    signs = []
    if len(rows) > 1:
        first, last = (sum(rows[i]["loss"].values()) for i in (0, -1))
        if last > HARDLY_FELL * first:
            signs.append(f"the training loss went from {first:.3f} to {last:.3f}")
    aps = mean_aps(figures)
    if aps and aps[-1] < FELL_BACK * max(aps):
        signs.append(f"the validation AP fell from {max(aps):.3f} to {aps[-1]:.3f}")
    if aps and rows[-1].get("val_f1") == 0:
        signs.append("no validation image has a logit above 0, so no tag is ever predicted")
    if not signs:
        return None
    weights = ("Start from pretrained weights: train --weights hub or FILE",) if figures.weights == "none" else ()
    lower = f"Lower the learning rate: train --set optimiser.lr_tokens={figures.lr_tokens / 3:.2g}, --precision fp32"
    return Advice("Training collapsed or did not begin", sentence(signs), (*weights, lower, longer(figures)))


def short_training(figures: Figures) -> Advice | None:
    """The validation AP still rises at the end."""
    aps = mean_aps(figures)
    if len(aps) <= EPOCHS_BACK or aps[-1] < max(aps) or aps[-1] - aps[-1 - EPOCHS_BACK] < STILL_RISING:
        return None
    rise = f"the validation AP rose from {aps[-1 - EPOCHS_BACK]:.3f} to {aps[-1]:.3f} in the last {EPOCHS_BACK} epochs"
    return Advice("Training ended while it still learned", sentence([rise]), (longer(figures),))


def greedy_background(figures: Figures) -> Advice | None:
    """The background takes pixels of classes."""
    if figures.background is None:
        return None
    signs = []
    precision, recall = class_means(figures)
    if precision is not None and recall is not None and precision - recall > GAP:
        signs.append(f"the classes' mean precision is {precision:.1f}, their recall {recall:.1f}")
    asked, got = sum(figures.read.values()), sum(figures.painted.values())
    if figures.given_tags and figures.background_share is not None and asked and 1 - got / asked > UNPAINTED:
        share = 100 * figures.background_share
        signs.append(f"{asked - got} of {asked} tags got no pixels, and {share:.0f} % of all pixels are background")
    if not signs:
        return None
    return Advice("The background is greedy", sentence(signs), lower_threshold(figures))


def spilling_classes(figures: Figures) -> Advice | None:
    """The classes take pixels of the background."""
    if figures.background is None:
        return None
    signs = []
    precision, recall = class_means(figures)
    if precision is not None and recall is not None and recall - precision > GAP:
        signs.append(f"the classes' mean precision is {precision:.1f}, their recall {recall:.1f}")
    ground = figures.background_share
    if figures.scores is None and ground is not None and ground < NO_GROUND:  # there may be no more of it
        signs.append(f"only {100 * ground:.1f} % of all pixels are background")
    if not signs:
        return None
    higher = 2 * figures.threshold if isinstance(figures.threshold, float) else 0.3
    tries = (f"Cut the maps higher: masks --threshold {min(higher, 0.9):.2g}", other_threshold(figures))
    return Advice("Classes spill over the background", sentence(signs), tries)


def shared_maps(figures: Figures) -> Advice | None:
    """Two classes are found in the same places, or their tags cannot tell them apart."""
    alike = [
        f"{one} and {other} ({value:.2f} in {images} images)"
        for (one, other), (value, images) in sorted(figures.likeness.items(), key=lambda item: -item[1][0])
        if value > ALIKE and images >= IMAGES_ALIKE
    ]
    signs = [f"the class maps correlate: {first_few(alike)}"] if alike else []
    together = [f"{' and '.join(names)} ({count} images)" for names, count in figures.together]
    if together:
        signs.append(f"these tags always come together: {first_few(together)}")
    if not signs:
        return None
    tries = (
        "Add images that have only one of these classes (tag2mask check counts images with a single tag)",
        "If nobody needs them apart, make them one class",
        f"Try another method than {figures.method} on the same data: tag2mask compare DATA --methods A,B --out DIR",
    )
    return Advice("Classes share a map", sentence(signs), tries)


def dead_classes(figures: Figures) -> Advice | None:
    """Classes that are never painted, or whose AP is chance."""
    read = figures.read.items()
    bare = [f"{name} ({count} images)" for name, count in read if count and not figures.painted[name]]
    signs = [f"tagged and never painted: {first_few(bare)}"] if bare else []
    guessed = [f"{name} (AP {ap:.2f})" for name, ap in best_aps(figures).items() if is_chance(figures, name, ap)]
    if guessed:
        signs.append(f"validation AP no better than chance: {first_few(guessed)}")
    if not signs:
        return None
    tries = ["Look at the tags of these classes: a wrong or missing tag teaches the opposite"]
    tries += ["Add images that have them, and images that do not", longer(figures)]
    if bare and isinstance(figures.threshold, float):
        name = bare[0].rpartition(" (")[0]
        tries.append(
            f"Cut their maps lower: masks --threshold {figures.threshold:g},{name}={figures.threshold / 2:.2g}"
        )
    return Advice("Dead classes", sentence(signs), tuple(tries))


def unbalanced_tags(figures: Figures) -> Advice | None:
    """A class has few images and another many times more."""
    counts = {name: count for name, count in figures.tagged.items() if count}
    if not figures.given_tags or not counts:
        return None
    most = max(counts, key=lambda name: counts[name])
    rare = [name for name, count in counts.items() if count * UNEVEN <= counts[most] or count < FEW <= counts[most]]
    if not rare:
        return None
    rarest = sorted(rare, key=lambda name: counts[name])
    sign = f"{most} has {counts[most]} images, but {first_few([f'{name} {counts[name]}' for name in rarest])}"
    tries = (
        "Add images of the rare classes before anything else",
        "Judge by the table of classes below: a mean hides them",
    )
    return Advice("Unbalanced tags", sentence([sign]), tries)


RULES: tuple[Callable[[Figures], Advice | None], ...] = (
    collapsed_training,
    greedy_background,
    spilling_classes,
    dead_classes,
    shared_maps,
    short_training,
    unbalanced_tags,
)


def mean_aps(figures: Figures) -> list[float]:
    """The validation AP by epoch; empty without validation images."""
    return [row["val_ap"] for row in figures.metrics if row.get("val_ap") is not None]


def best_aps(figures: Figures) -> dict[str, float]:
    """The validation AP of each class that has one, at the best epoch."""
    rows = [row for row in figures.metrics if row.get("val_ap") is not None and "val_ap_per_class" in row]
    if not rows:
        return {}
    best: Any = max(rows, key=lambda row: row["val_ap"])
    pairs = zip(figures.tagged, best["val_ap_per_class"], strict=True)
    return {name: ap for name, ap in pairs if ap is not None}


def is_chance(figures: Figures, name: str, ap: float) -> bool:
    """Whether a class's AP is the share of images that have it, by the tags of the mask set."""
    share = figures.tagged[name] / max(figures.images, 1)
    return figures.given_tags and share < 1 - 2 * NEAR_CHANCE and ap <= share + NEAR_CHANCE


def class_means(figures: Figures) -> tuple[float | None, float | None]:
    """Mean precision and recall over the classes without the background, where the page has scores."""
    if figures.scores is None:
        return None, None
    return tuple(  # type: ignore[return-value]
        mean_of([value for name, value in figures.scores[key].items() if name != figures.background])
        for key in ("precision_per_class", "recall_per_class")
    )


def mean_of(values: Sequence[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def lower_threshold(figures: Figures) -> tuple[str, ...]:
    """What leaves less to the background."""
    lower = figures.threshold / 2 if isinstance(figures.threshold, float) else 0.05
    return (f"Cut the maps lower: masks --threshold {lower:.2g}", other_threshold(figures))


def other_threshold(figures: Figures) -> str:
    """A threshold that follows each image."""
    word = "otsu" if figures.threshold != "otsu" else "agreement"
    return f"Let each image decide: masks --threshold {word}" if word == "otsu" else f"Try masks --threshold {word}"


def longer(figures: Figures) -> str:
    """Twice the epochs."""
    return f"Train longer: train --epochs {2 * figures.epochs}"


def first_few(names: Sequence[str]) -> str:
    """The first few."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def sentence(signs: Sequence[str]) -> str:
    """Signs as one sentence; only its first letter changes."""
    text = "; ".join(signs)
    return f"{text[0].upper()}{text[1:]}."
