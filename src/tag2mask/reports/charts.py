"""Charts as inline SVG, drawn by matplotlib; colours are the page's variables, to suit light and dark pages."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

WIDE, HIGH = 4.2, 2.5  # inches; the page scales them
INK, SOFT, LINE = "#010101", "#010102", "#010103"  # colours that stand for the page's variables
SERIES = ("#010110", "#010111", "#010112", "#010113")
VARIABLES = {INK: "var(--ink)", SOFT: "var(--soft)", LINE: "var(--line)"}
VARIABLES |= {colour: f"var(--s{number})" for number, colour in enumerate(SERIES)}
DASHES = ("-", "--", ":", "-.")
STYLE: Mapping[Any, Any] = MappingProxyType(
    {
        "svg.fonttype": "none",
        "font.size": 7,
        "axes.labelsize": 7,
        "text.color": SOFT,
        "axes.labelcolor": SOFT,
        "axes.edgecolor": LINE,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "lines.linewidth": 1.3,
        "lines.markersize": 2.5,
        "legend.frameon": False,
    }
)
# A second style sheet, ids that nothing refers to, and sizes in points: all for pages that hold nothing else.
SPARE = re.compile(
    r'<metadata>.*?</metadata>|<style type="text/css">.*?</style>| id="[\w.]+_\d+"|<!--.*?-->', re.DOTALL
)
LONGEST = 32  # letters of a name
BIG = 1e300  # larger values are drawn as this one


@dataclass(frozen=True)
class Chart:
    """A titled SVG, and a sentence about it; ``wide`` if it needs the whole width of a page."""

    title: str
    svg: Markup
    note: str = ""
    wide: bool = False


def draw(title: str, put: Callable[[Axes], None], note: str = "", size: tuple[float, float] = (WIDE, HIGH)) -> Chart:
    """Return the chart that ``put`` draws; its texts are escaped."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=size, layout="constrained")
        put(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = SPARE.sub("", buffer.getvalue()[buffer.getvalue().index("<svg") :])
    svg = re.sub(
        r'<svg [^>]*viewBox="([^"]+)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{Markup.escape(title)}">', svg
    )
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    return Chart(title, Markup(svg.strip()), note, size[0] > WIDE)


def line_chart(
    title: str, y_label: str, epochs: Sequence[int], series: Mapping[str, Sequence[float]], top: float | None = None
) -> Chart:
    """Return a chart of series over epochs; the y axis goes from 0 or a lower value to ``top`` or the highest value."""

    def put(axes: Axes) -> None:
        lowest = 0.0
        for number, (name, values) in enumerate(series.items()):
            shown = np.clip(values, -BIG, BIG)
            lowest = min(lowest, float(shown.min()))
            add_line(axes, epochs, shown, name, number, marker="o" if len(epochs) < 40 else "")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set_xlim(epochs[0] - 0.5, max(epochs[-1], epochs[0] + 1) + 0.5)
        label(axes, "epoch", y_label)
        axes.set_ylim(bottom=0.0 if lowest == 0 else None, top=top)

    return draw(title, put)


def curve_chart(
    title: str,
    labels: tuple[str, str],
    curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    note: str = "",
    mark: tuple[str, float] | None = None,
    diagonal: bool = False,
) -> Chart:
    """Return curves ``(x, y)`` by name, from 0 to 1; ``mark`` is a dashed line at an x, ``diagonal`` another one."""

    def put(axes: Axes) -> None:
        for number, (name, (x, y)) in enumerate(curves.items()):
            add_line(axes, x, y, name, number, marker="o" if len(x) < 20 else "")
        if mark is not None:
            axes.axvline(mark[1], color=SOFT, linestyle="--", linewidth=0.9, label=plain(mark[0]))
        if diagonal:
            axes.plot([0, 1], [0, 1], "--", color=SOFT, linewidth=0.9)
        label(axes, *labels)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)

    return draw(title, put, note)


def add_line(
    axes: Axes,
    x: Sequence[float] | NDArray[np.float64],
    y: NDArray[np.float64],
    name: str,
    number: int,
    marker: str = "",
) -> None:
    """Add a series; after four colours, dashes tell series apart."""
    dash = DASHES[number // len(SERIES) % len(DASHES)]
    axes.plot(x, y, dash, color=SERIES[number % len(SERIES)], marker=marker, label=plain(name) or "_")


def label(axes: Axes, x_label: str, y_label: str) -> None:
    """Name the axes, and add a grid and a legend above the chart."""
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid()
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[1]:  # an empty name is not listed
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, handlelength=1.6, borderaxespad=0.2)


def plain(text: str) -> str:
    """Return a text that matplotlib draws as it is: a dollar starts mathematics, a first underscore hides a series."""
    short = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    shown = "".join(letter if letter.isprintable() else "?" for letter in short)
    return ("\u200b" + shown if shown.startswith("_") else shown).replace("$", r"\$")


def heat_chart(
    title: str,
    shares: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    labels: tuple[str, str],
    note: str = "",
) -> Chart:
    """Return a table of fractions as shaded cells, with percentages where there is room; nan is left empty."""

    def put(axes: Axes) -> None:
        for (row, column), share in np.ndenumerate(shares):
            if share > 0:
                corner = (column - 0.5, row - 0.5)
                axes.add_patch(mpl.patches.Rectangle(corner, 1, 1, facecolor=SERIES[0], alpha=0.75 * float(share)))
            if np.isfinite(share) and share >= 0.005 and len(columns) <= 16:
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=INK, fontsize=6)
        axes.set_xticks(
            range(len(columns)), [plain(name) for name in columns], rotation=45, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(rows)), [plain(name) for name in rows])
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])

    side = min(max(2.6, 0.24 * len(columns) + 1.4), 8.0)
    return draw(title, put, note, (max(side, WIDE), side))


def bar_chart(
    title: str, x_label: str, bars: Mapping[str, tuple[float, float]], mark: tuple[str, float] | None = None
) -> Chart:
    """Return horizontal bars, ``(length, deviation)`` by name, the first on top; ``mark`` is a dashed line."""

    def put(axes: Axes) -> None:
        lengths, deviations = zip(*bars.values(), strict=True)
        axes.barh(range(len(bars)), lengths, color=SERIES[0], alpha=0.8, height=0.6)
        axes.errorbar(lengths, range(len(bars)), xerr=deviations, fmt="none", ecolor=INK, elinewidth=0.8, capsize=2)
        for place, (length, deviation) in enumerate(bars.values()):
            axes.annotate(f"{length:.3g}", (length + deviation, place), (4, 0), textcoords="offset points", va="center")
        if mark is not None:
            axes.axvline(mark[1], color=SERIES[1], linestyle="--", label=plain(mark[0]))
        axes.set_yticks(range(len(bars)), [plain(name) for name in bars])
        axes.invert_yaxis()
        axes.margins(x=0.12)
        label(axes, x_label, "")
        axes.grid(visible=False, axis="y")

    return draw(title, put, size=(WIDE, max(1.4, 0.28 * len(bars) + 0.8)))
