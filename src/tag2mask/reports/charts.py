"""Line charts as inline SVG, with labelled axes, a light grid, and a tooltip at every point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 460, 240
TINY = 1e-30  # smallest range of the y axis that can be drawn
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 14, 40


@dataclass(frozen=True)
class Tick:
    """A grid line: its position and label."""

    at: float
    label: str


@dataclass(frozen=True)
class Point:
    """A marked value: its position and tooltip."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Line:
    """One series of points."""

    name: str
    points: tuple[Point, ...]

    @property
    def path(self) -> str:
        """The polyline's coordinates."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)


@dataclass(frozen=True)
class Chart:
    """Everything that the template draws."""

    title: str
    y_label: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def line_chart(
    title: str, y_label: str, epochs: Sequence[int], series: Mapping[str, Sequence[float]], top: float | None = None
) -> Chart:
    """Return a chart of series over epochs; the y axis goes from 0 or a lower value to ``top`` or the highest value."""
    drawn = [value for values in series.values() for value in values]
    top = top or max(drawn, default=1.0)
    top = top if top > TINY else 1.0
    bottom = min(0.0, *drawn, 0.0)
    step = nice_step((top - bottom) / 5)
    top, bottom = step * -(-top // step), step * (bottom // step)
    first, last = epochs[0], max(epochs[-1], epochs[0] + 1)

    def x_at(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - first) / (last - first)

    def y_at(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - bottom) / (top - bottom)

    lines = tuple(
        Line(
            name,
            tuple(
                Point(x_at(epoch), y_at(value), f"{name}, epoch {epoch}: {value:.3f}")
                for epoch, value in zip(epochs, values, strict=True)
            ),
        )
        for name, values in series.items()
    )
    every = max(1, len(epochs) // 8)
    x_ticks = tuple(Tick(x_at(epoch), str(epoch)) for epoch in epochs[::every])
    marks = range(round(bottom / step), round(top / step) + 1)
    y_ticks = tuple(Tick(y_at(i * step), f"{i * step:g}") for i in marks)
    return Chart(title, y_label, lines, x_ticks, y_ticks)


def nice_step(rough: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least ``rough``."""
    power = 10.0 ** len(str(int(rough))) if rough >= 1 else 1.0
    while power > rough:
        power /= 10
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
