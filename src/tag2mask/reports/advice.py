"""Advice on what to try next: one rule per symptom, based on figures on the page or computed from the masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tag2mask.reports.figures import Figures
from tag2mask.shown import counted
from tag2mask.training.run import kept_row

GAP = 15  # difference of the classes' mean precision and recall, in percentage points
UNPAINTED = 0.2  # fraction of all tags that got no pixels
NO_GROUND = 0.02  # fraction of pixels that are background
ALIKE, IMAGES_ALIKE = 0.9, 2  # correlation of two maps, and the number of images with both
NEAR_CHANCE = 0.02  # AP of a class above the fraction of images that have it
HARDLY_FELL, FELL_BACK = 0.95, 0.8  # last loss relative to the first, last AP relative to the best
STILL_RISING, EPOCHS_BACK = 0.01, 2  # rise of the mean AP, and the number of epochs for it
UNEVEN, FEW = 20, 10  # ratio of the most frequent class's images to a rare one's, and the images that are few
NAMED = 5  # classes named in a sentence


@dataclass(frozen=True)
class Advice:
    """A symptom, the figures that show it, and what to try."""

    title: str
    figures: str
    tries: tuple[str, ...]


def advise(figures: Figures) -> list[Advice]:
    """Return all advice that applies, the most valuable first."""
    found = [rule(figures) for rule in RULES]
    return [advice for advice in found if advice is not None]


def collapsed_training(figures: Figures) -> Advice | None:
    """Detect a loss that does not fall, or validation scores that fell or never rose."""
    rows = figures.metrics
    signs = []
    if len(rows) > 1:
        first, last = (sum(rows[i]["loss"].values()) for i in (0, -1))
        if last > HARDLY_FELL * first:
            signs.append(f"the training loss went from {first:.3f} to {last:.3f}")
    aps = mean_aps(figures)
    if aps and aps[-1] < FELL_BACK * max(aps):
        signs.append(f"the validation AP fell from {max(aps):.3f} to {aps[-1]:.3f}")
    if not signs:
        return None
    weights = ("Start from pretrained weights: train --weights hub or FILE",) if figures.weights == "none" else ()
    lower = f"Lower the learning rate: train --set optimiser.lr_tokens={figures.lr_tokens / 3:.2g}, --precision fp32"
    return Advice("Training collapsed or never started", sentence(signs), (*weights, lower, longer(figures)))


def short_training(figures: Figures) -> Advice | None:
    """Detect a validation AP that still rises at the end."""
    aps = mean_aps(figures)
    if len(aps) <= EPOCHS_BACK or aps[-1] < max(aps) or aps[-1] - aps[-1 - EPOCHS_BACK] < STILL_RISING:
        return None
    rise = f"the validation AP rose from {aps[-1 - EPOCHS_BACK]:.3f} to {aps[-1]:.3f} in the last {EPOCHS_BACK} epochs"
    return Advice("Training ended while it was still improving", sentence([rise]), (longer(figures),))


def greedy_background(figures: Figures) -> Advice | None:
    """Detect background that takes pixels of classes."""
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
    return Advice("The background covers parts of objects", sentence(signs), lower_threshold(figures))


def spilling_classes(figures: Figures) -> Advice | None:
    """Detect classes that take pixels of the background."""
    if figures.background is None:
        return None
    signs = []
    precision, recall = class_means(figures)
    if precision is not None and recall is not None and recall - precision > GAP:
        signs.append(f"the classes' mean precision is {precision:.1f}, their recall {recall:.1f}")
    ground = figures.background_share
    if (
        figures.scores is None and ground is not None and ground < NO_GROUND
    ):  # without scores; there may be no more of it
        signs.append(f"only {100 * ground:.1f} % of all pixels are background")
    if not signs:
        return None
    return Advice("Classes spill into the background", sentence(signs), higher_threshold(figures))


def shared_maps(figures: Figures) -> Advice | None:
    """Detect classes that are found in the same places, or whose tags cannot tell them apart."""
    alike = [
        f"{one} and {other} ({value:.2f} in {counted(images, 'image')})"
        for (one, other), (value, images) in sorted(figures.likeness.items(), key=lambda item: -item[1][0])
        if value > ALIKE and images >= IMAGES_ALIKE
    ]
    signs = [f"the class maps correlate: {first_few(alike)}"] if alike else []
    together = [f"{' and '.join(names)} ({counted(count, 'image')})" for names, count in figures.together]
    if together:
        signs.append(f"these tags always occur together: {first_few(together)}")
    if not signs:
        return None
    tries = (
        "Add images that have only one of these classes (tag2mask check counts images with a single tag)",
        "If you do not need them apart, merge them into one class",
        f"Try a method other than {figures.method} on the same data: tag2mask compare DATA --methods A,B --out DIR",
    )
    return Advice("Classes share a map", sentence(signs), tries)


def dead_classes(figures: Figures) -> Advice | None:
    """Detect classes that are never painted, or whose AP is at chance level."""
    read = figures.read.items()
    bare = [f"{name} ({counted(count, 'image')})" for name, count in read if count and not figures.painted[name]]
    signs = [f"tagged but never painted: {first_few(bare)}"] if bare else []
    guessed = [f"{name} (AP {ap:.2f})" for name, ap in best_aps(figures).items() if is_chance(figures, name, ap)]
    if guessed:
        signs.append(f"validation AP no better than chance: {first_few(guessed)}")
    if not signs:
        return None
    tries = ["Check the tags of these classes: wrong or missing tags teach the opposite"]
    tries += ["Add images with these classes, and images without them", longer(figures)]
    if bare and isinstance(figures.threshold, float):
        name = bare[0].rpartition(" (")[0]
        tries.append(
            f"Lower the threshold of their maps: masks --threshold {figures.threshold:g},"
            f"{name}={figures.threshold / 2:.2g}"
        )
    return Advice("Classes that were not learned", sentence(signs), tuple(tries))


def unbalanced_tags(figures: Figures) -> Advice | None:
    """Detect classes with few images where another class has many times more."""
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
        "Judge by the table of classes below: a mean hides rare classes",
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
    """Return the validation AP by epoch; empty without validation images."""
    return [row["val_ap"] for row in figures.metrics if row.get("val_ap") is not None]


def best_aps(figures: Figures) -> dict[str, float]:
    """Return the validation AP of each class that has one, at the kept epoch."""
    kept = kept_row(figures.metrics)
    pairs = zip(figures.tagged, kept["val_ap_per_class"], strict=True) if "val_ap_per_class" in kept else ()
    return {name: ap for name, ap in pairs if ap is not None}


def is_chance(figures: Figures, name: str, ap: float) -> bool:
    """Whether a class's AP is about the fraction of images that have it, according to the mask set's tags."""
    share = figures.tagged[name] / max(figures.images, 1)
    return figures.given_tags and share < 1 - 2 * NEAR_CHANCE and ap <= share + NEAR_CHANCE


def class_means(figures: Figures) -> tuple[float | None, float | None]:
    """Return mean precision and recall over the classes except the background; None without scores."""
    if figures.scores is None:
        return None, None
    return tuple(  # type: ignore[return-value]
        mean_of([value for name, value in figures.scores[key].items() if name != figures.background])
        for key in ("precision_per_class", "recall_per_class")
    )


def mean_of(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are not None, or None."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def higher_threshold(figures: Figures) -> tuple[str, ...]:
    """Return advice that enlarges the background."""
    if figures.threshold is None:
        surroundings = "Add images of what surrounds the classes, without them"
        return (surroundings, "Compare with masks from class maps alone: masks --threshold 0.3 --out DIR")
    higher = 2 * figures.threshold if isinstance(figures.threshold, float) else 0.3
    return (f"Raise the threshold of the maps: masks --threshold {min(higher, 0.9):.2g}", other_threshold(figures))


def lower_threshold(figures: Figures) -> tuple[str, ...]:
    """Return advice that reduces the background."""
    if figures.threshold is None:
        return ("Compare with masks from class maps alone: masks --threshold 0.05 --out DIR",)
    lower = figures.threshold / 2 if isinstance(figures.threshold, float) else 0.05
    return (f"Lower the threshold of the maps: masks --threshold {lower:.2g}", other_threshold(figures))


def other_threshold(figures: Figures) -> str:
    """Return advice for a threshold that adapts to each image."""
    word = "otsu" if figures.threshold != "otsu" else "agreement"
    return f"Use a threshold per image: masks --threshold {word}" if word == "otsu" else f"Try masks --threshold {word}"


def longer(figures: Figures) -> str:
    """Return advice to double the epochs."""
    return f"Train longer: train --epochs {2 * figures.epochs}"


def first_few(names: Sequence[str]) -> str:
    """Join the first few names, and count the others."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def sentence(signs: Sequence[str]) -> str:
    """Join signs into one sentence; only the first letter changes."""
    text = "; ".join(signs)
    return f"{text[0].upper()}{text[1:]}."
