"""The few kinds of plot the pages use, drawn without pyplot's global state and readable on light and dark ground."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

INK = "black"
"""The page shows black as its own text colour, light or dark."""
COLOURS = ("#2f86cc", "#d4721f", "#369a62", "#d1556a", "#9277d6", "#94842f")
"""Each has a contrast above 3 to the page's ground, light and dark, if nothing shines through."""

_NUMBERED_CLASSES = 20
# Numbers stand out from it, the page's ink being dark or light.
_DARKEST_SHADE = 0.65
# More bars than these lie on their side: their names would not fit beside each other.
_UPRIGHT_BARS = 4
# Letters of a legend that fit beside each other, and those that the mark of each label takes.
_LEGEND_WIDTH, _MARK_WIDTH = 56, 6
_NAME_LENGTH = 26
# Beyond the colours, these tell points apart.
_MARKERS = ("o", "s", "^")


@dataclass(frozen=True)
class Line:
    """One curve: `values[i]` belongs to epoch i + 1; None or a value that is not finite leaves a gap."""

    label: str | None
    values: Sequence[float | None]
    colour: int = 0
    dashed: bool = False


@dataclass(frozen=True)
class Bar:
    """One mean with its spread and the single values behind it."""

    label: str
    mean: float
    deviation: float | None = None
    values: Sequence[float] = field(default_factory=tuple)
    colour: int = 0
    shown: str = ""


@dataclass(frozen=True)
class Span:
    """A stretch of time: `parts` has by name where each part ends, in order; `marks` are moments within."""

    label: str
    start: float
    parts: Mapping[str, float]
    marks: Sequence[float] = ()
    is_lost: bool = False


def axes(y_label: str, x_label: str = "", *, width: float = 5.0, height: float = 3.1) -> tuple[Figure, Axes]:
    """An empty plot of `width` × `height` inches with a transparent ground."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    plot = figure.add_subplot()
    plot.patch.set_alpha(0)
    plot.set_xlabel(x_label, color=INK, fontsize=10)
    plot.set_ylabel(y_label, color=INK, fontsize=10)
    plot.tick_params(colors=INK, labelsize=10)
    plot.grid(axis="y", color=INK, alpha=0.25, linewidth=0.7)
    plot.set_axisbelow(True)
    for side, spine in plot.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    return figure, plot


def curves(lines: Sequence[Line], y_label: str, *, from_zero: bool = False) -> Figure:
    """Values over epochs."""
    figure, plot = axes(y_label, "epoch")
    few = len(lines) <= 3
    for line in lines:
        values = [_gap(value) for value in line.values]
        style = "--" if line.dashed else "-"
        colour = COLOURS[line.colour % len(COLOURS)]
        size, width = (4, 1.8) if few else (2, 1.2)
        plot.plot(range(1, len(values) + 1), values, style, color=colour, marker="o", markersize=size, linewidth=width, label=line.label)
    if from_zero:
        plot.set_ylim(0, plot.get_ylim()[1] * 1.05)
    _whole_numbers(plot)
    _legend(plot)
    return figure


def bars(items: Sequence[Bar], y_label: str) -> Figure:
    """Means as bars from zero, with their standard deviation as a whisker."""
    if len(items) > _UPRIGHT_BARS:
        figure, plot = _lying(items, y_label)
        plot.barh(range(len(items)), [item.mean for item in items], 0.6, color=[COLOURS[item.colour % len(COLOURS)] for item in items], zorder=1)
        plot.set_xlim(left=0)
        return figure
    figure, plot = axes(y_label)
    for position, item in enumerate(items):
        plot.bar(position, item.mean, 0.55, color=COLOURS[item.colour % len(COLOURS)])
        _whisker(plot, position, item)
        _value(plot, position, item.mean + (item.deviation or 0), item.shown)
    _categories(plot, items)
    plot.set_ylim(bottom=0)
    return figure


def dots(items: Sequence[Bar], y_label: str) -> Figure:
    """Each single value as a dot beside its mean and standard deviation; the scale shows the differences, not zero."""
    if len(items) > _UPRIGHT_BARS:
        figure, plot = _lying(items, y_label)
        for position, item in enumerate(items):
            colour = COLOURS[item.colour % len(COLOURS)]
            plot.vlines(item.mean, position - 0.28, position + 0.28, color=colour, linewidth=3)
            plot.plot(item.values, [position + offset for offset in _spread_out(len(item.values))], "o", color=colour, markersize=6)
        return figure
    figure, plot = axes(y_label)
    for position, item in enumerate(items):
        colour = COLOURS[item.colour % len(COLOURS)]
        plot.hlines(item.mean, position - 0.28, position + 0.28, color=colour, linewidth=3)
        _whisker(plot, position, item)
        for offset, value in zip(_spread_out(len(item.values)), item.values, strict=True):
            plot.plot(position + offset, value, "o", color=colour, markersize=7)
        _value(plot, position, max([item.mean + (item.deviation or 0), *item.values]), item.shown)
    _categories(plot, items)
    return figure


def points(places: Sequence[float | str], values: Sequence[float], marked: int, y_label: str, x_label: str, *, log: bool = False) -> Figure:
    """One dot for each pair, the marked one larger; texts stand side by side in the order in which they come."""
    figure, plot = axes(y_label, x_label)
    texts = list(dict.fromkeys(map(str, places))) if any(isinstance(place, (str, bool)) for place in places) else []
    at = [float(texts.index(str(place))) if texts else float(place) for place in places]
    plot.plot(at, values, "o", color=COLOURS[0], markersize=7)
    plot.plot(at[marked], values[marked], "o", color=COLOURS[1], markersize=11, label="best")
    if texts:
        plot.set_xticks(range(len(texts)), texts, parse_math=False)
        plot.set_xlim(-0.6, max(len(texts) - 0.4, 1.4))
    elif log:
        plot.set_xscale("log")
    _legend(plot)
    return figure


def against_ideal(series: Mapping[str, Mapping[int, float]], y_label: str) -> Figure:
    """For each label its value by slot count, beside the dashed line where twice the slots are twice as fast."""
    figure, plot = axes(y_label, "slots")
    slots = sorted({count for values in series.values() for count in values})
    plot.plot([1, slots[-1]], [1, slots[-1]], "--", color=INK, linewidth=1.4, label="ideal")
    for index, (label, values) in enumerate(series.items()):
        points = sorted(values.items())
        plot.plot(*zip(*points, strict=True), "-o", color=COLOURS[index % len(COLOURS)], markersize=6, linewidth=2, label=label)
        for count, value in points:
            plot.annotate(f"{value:.2f}×", (count, value), (0, 8 if index % 2 else -16), textcoords="offset points", ha="center", color=INK, fontsize=10)
    plot.set_xticks(slots)
    plot.set_xlim(slots[0] - 0.25, slots[-1] + 0.25)
    plot.set_ylim(0, slots[-1] * 1.15)
    _legend(plot)
    return figure


def stacked_shares(shares: Mapping[str, Sequence[float]], y_label: str) -> Figure:
    """For each epoch the parts of its time as one stacked bar; values are percentages."""
    figure, plot = axes(y_label, "epoch")
    epochs = range(1, len(next(iter(shares.values()))) + 1)
    below = [0.0] * len(epochs)
    for index, (label, values) in enumerate(shares.items()):
        plot.bar(epochs, values, 0.7, bottom=below, color=COLOURS[index % len(COLOURS)], label=label)
        below = [low + value for low, value in zip(below, values, strict=True)]
    plot.set_ylim(0, 100)
    plot.set_xlim(0.4, max(len(epochs) + 0.6, 2.6))
    _whole_numbers(plot)
    _legend(plot)
    return figure


def spans(items: Sequence[Span], x_label: str, *, mark: str, lost: str) -> Figure:
    """A row for each stretch of time, the first on top; `mark` and `lost` are what the legend says of marks and of lost ends."""
    figure, plot = axes("", x_label, height=1.5 + 0.32 * len(items))
    names = list(dict.fromkeys(name for item in items for name in item.parts))
    for index, name in enumerate(names):
        bars = [(position, part) for position, item in enumerate(items) if (part := _part(item, name))]
        widths = [end - begin for _, (begin, end) in bars]
        # The last of a few colours, so that what is not the training itself does not look like it.
        colour = COLOURS[0] if name in ("epochs", "training") else COLOURS[(5 + index) % len(COLOURS)]
        plot.barh([position for position, _ in bars], widths, 0.55, left=[begin for _, (begin, _) in bars], color=colour, label=name)
    marks = [(moment, position) for position, item in enumerate(items) for moment in item.marks]
    if marks:
        plot.plot([moment for moment, _ in marks], [position for _, position in marks], "|", color=INK, markersize=11, markeredgewidth=1.2 if len(marks) <= 40 else 0.5, label=mark)
    losses = [(max(item.parts.values()), position) for position, item in enumerate(items) if item.is_lost]
    if losses:
        plot.plot([moment for moment, _ in losses], [position for _, position in losses], "X", color=COLOURS[3], markersize=10, label=lost)
    plot.set_yticks(range(len(items)), [item.label for item in items])
    plot.set_ylim(len(items) - 0.4, -0.6)
    plot.set_xlim(left=0)
    plot.grid(visible=False, axis="y")
    plot.grid(visible=True, axis="x", color=INK, alpha=0.25, linewidth=0.7)
    plot.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    _legend(plot)
    return figure


def _part(item: Span, name: str) -> tuple[float, float] | None:
    """Where a part of a stretch begins and ends, if it has it."""
    begin = item.start
    for other, end in item.parts.items():
        if other == name:
            return begin, end
        begin = end
    return None


def matrix(counts: Sequence[Sequence[int]], names: Sequence[str]) -> Figure:
    """A confusion matrix: each row, a true class, is shaded by its shares, and says its numbers where there is room for them."""
    has_numbers = len(names) <= _NUMBERED_CLASSES
    side = max(5.0, (0.42 if has_numbers else 0.18) * len(names) + 2)
    figure, plot = axes("true class", "taken for", width=side, height=side)
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    shades = LinearSegmentedColormap.from_list("shares", [(*to_rgb(COLOURS[0]), 0.0), (*to_rgb(COLOURS[0]), _DARKEST_SHADE if has_numbers else 1.0)])
    plot.pcolormesh(shares, cmap=shades, vmin=0, vmax=1)
    if has_numbers:
        for i, row in enumerate(counts):
            for j, count in enumerate(row):
                if count:
                    plot.text(j + 0.5, i + 0.5, f"{count:,}", ha="center", va="center", color=INK, fontsize=8)
    middles = [place + 0.5 for place in range(len(names))]
    shown = [short_name(name) for name in names]
    plot.set_xticks(middles, shown, rotation=90, fontsize=8, parse_math=False)
    plot.set_yticks(middles, shown, fontsize=8, parse_math=False)
    plot.grid(False)
    plot.invert_yaxis()
    plot.set_aspect("equal")
    return figure


def reliability(bins: Sequence[tuple[float, float, float | None]], y_label: str) -> Figure:
    """For each bin of confidence (from, to, accuracy or None) its accuracy, beside the dashed line where both are equal; 0 to 1."""
    figure, plot = axes(y_label, "confidence", width=5.0, height=5.2)
    for low, high, accuracy in bins:
        if accuracy is not None:
            plot.bar(low, accuracy, high - low, align="edge", color=COLOURS[0])
    plot.plot([0, 1], [0, 1], "--", color=INK, linewidth=1.4, label="calibrated")
    plot.set_xlim(0, 1)
    plot.set_ylim(0, 1)
    plot.set_aspect("equal")
    _legend(plot)
    return figure


def named_points(items: Sequence[tuple[str, float, float]], y_label: str, x_label: str) -> Figure:
    """Named points (name, x, y); x is on a logarithmic scale, as such values differ by factors."""
    figure, plot = axes(y_label, x_label, height=4.2)
    for number, (name, x, y) in enumerate(items):
        plot.plot(x, y, _MARKERS[number // len(COLOURS) % len(_MARKERS)], color=COLOURS[number % len(COLOURS)], markersize=8, label=name)
    plot.set_xscale("log")
    plot.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    plot.xaxis.set_major_formatter("{x:g}")
    plot.xaxis.set_minor_formatter(NullFormatter())
    plot.margins(0.12, 0.18)
    _legend(plot)
    return figure


def short_name(name: str) -> str:
    """A name of the data's own for a plot: SVG has no place for control characters, and a long one would leave none for what is plotted.

    Where it is drawn, `parse_math=False` sees to it that no dollar sign in it starts a formula.
    """
    visible = "".join(character if character.isprintable() else "�" for character in name)
    return visible if len(visible) <= _NAME_LENGTH else f"{visible[: _NAME_LENGTH - 1]}…"


def _gap(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else math.nan


def _spread_out(number: int) -> list[float]:
    return [0.0] if number == 1 else [0.36 * (index / (number - 1) - 0.5) for index in range(number)]


def _whisker(plot: Axes, position: int, item: Bar) -> None:
    if item.deviation is not None:
        plot.errorbar(position, item.mean, item.deviation, color=INK, capsize=6, linewidth=1.6)


def _value(plot: Axes, position: int, height: float, text: str) -> None:
    plot.annotate(text, (position, height), (0, 7), textcoords="offset points", ha="center", color=INK, fontsize=10)


def _lying(items: Sequence[Bar], x_label: str) -> tuple[Figure, Axes]:
    """A plot with a named row for each item, the first on top, with whisker and value; what stands for the mean is left to be drawn."""
    figure, plot = axes("", x_label, height=0.9 + 0.36 * len(items))
    for position, item in enumerate(items):
        plot.errorbar(item.mean, position, xerr=item.deviation or 0, color=INK, capsize=4, linewidth=1.6)
        highest = max([item.mean + (item.deviation or 0), *item.values])
        plot.annotate(item.shown, (highest, position), (7, 0), textcoords="offset points", va="center", color=INK, fontsize=9)
    plot.set_yticks(range(len(items)), [item.label.replace("\n", ", ") for item in items])
    plot.set_ylim(len(items) - 0.4, -0.6)
    plot.grid(visible=False, axis="y")
    plot.grid(visible=True, axis="x", color=INK, alpha=0.25, linewidth=0.7)
    plot.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    return figure, plot


def _categories(plot: Axes, items: Sequence[Bar]) -> None:
    plot.set_xticks(range(len(items)), [item.label for item in items])
    plot.set_xlim(-0.6, max(len(items) - 0.4, 1.4))
    plot.margins(y=0.18)


def _whole_numbers(plot: Axes) -> None:
    plot.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _legend(plot: Axes) -> None:
    handles, labels = plot.get_legend_handles_labels()
    if labels:
        labels = [short_name(label) for label in labels]
        columns = next(columns for columns in range(min(len(labels), 3), 0, -1) if columns == 1 or _legend_width(labels, columns) <= _LEGEND_WIDTH)
        legend = plot.figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False, labelcolor=INK, fontsize=10)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _legend_width(labels: Sequence[str], columns: int) -> int:
    """In letters; labels go down the columns, each as wide as its longest."""
    rows = -(-len(labels) // columns)
    return sum(_MARK_WIDTH + max(map(len, labels[first : first + rows])) for first in range(0, len(labels), rows))
