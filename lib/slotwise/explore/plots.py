"""The plots of the exploring page: horizontal bars, histograms, ranges and a scatter, drawn from the record alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from slotwise.explore.record import CategoryCount, ClassStatistics, CumulativeShare, Histogram, Quantiles, SizeCount
from slotwise.report.charts import COLOURS, INK, axes, short_name


def counts(by_name: Mapping[str, int], x_label: str) -> Figure:
    """A horizontal bar with its number for each name, in the order given."""
    figure, plot = _named_rows(list(by_name), x_label)
    _count_bars(plot, list(by_name.values()), [COLOURS[0]] * len(by_name))
    return figure


def category_counts(categories: Sequence[CategoryCount]) -> Figure:
    """Rows per category; where only some are classes of the dataset, these stand out."""
    figure, plot = _named_rows([item.category for item in categories], "rows")
    all_alike = len({item.is_class for item in categories}) == 1
    colours = [COLOURS[0] if all_alike or item.is_class else COLOURS[1] for item in categories]
    _count_bars(plot, [item.rows for item in categories], colours)
    if not all_alike:
        for colour, label in ((COLOURS[0], "class of the dataset"), (COLOURS[1], "other category")):
            plot.barh(0, 0, color=colour, label=label)
        figure.legend(loc="outside upper center", ncols=2, frameon=False, labelcolor=INK, fontsize=10)
    return figure


def cumulative(points: Sequence[CumulativeShare]) -> Figure:
    """The share of rows that the largest categories hold together."""
    figure, plot = axes("% of rows", "largest categories")
    plot.plot([point.categories for point in points], [100 * point.share for point in points], "-o", color=COLOURS[0], markersize=5, linewidth=2)
    if points[-1].categories > 10:
        plot.set_xscale("log")
        _plain_numbers(plot)
        plot.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if points[-1].categories <= 1000 else (1,)))
    else:
        plot.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    plot.set_ylim(0, 105)
    return figure


def distribution(histogram: Histogram, x_label: str, *, log: bool = False, end: float | None = None) -> Figure:
    """A histogram as bars between their edges; empty bins at either end are left out, the last bin ends at `end`."""
    figure, plot = axes("images", x_label)
    edges = histogram.lower_edges
    filled = [index for index, count in enumerate(histogram.counts) if count]
    upper = [*edges[1:], end if end is not None else 2 * edges[-1] - edges[-2]]
    # On a logarithmic scale the bin from 0 has no left edge: it is drawn one octave wide.
    lower = [edges[1] / 2 if log and edge == 0 else edge for edge in edges]
    shown = range(filled[0], filled[-1] + 1)
    widths = [upper[index] - lower[index] for index in shown]
    plot.bar([lower[index] for index in shown], [histogram.counts[index] for index in shown], widths, align="edge", color=COLOURS[0])
    if log:
        plot.set_xscale("log", base=2)
        plot.set_xlim(lower[filled[0]] / 2, upper[filled[-1]] * 2)
        _plain_numbers(plot)
    plot.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def scatter(sizes: Sequence[SizeCount]) -> Figure:
    """Width against height; the more images have a size, the larger its dot."""
    figure, plot = axes("height in pixels", "width in pixels")
    most = max(size.images for size in sizes)
    areas = [12 + 150 * size.images / most for size in sizes]
    plot.scatter([size.width for size in sizes], [size.height for size in sizes], areas, facecolors=f"{COLOURS[0]}80", edgecolors=COLOURS[0], linewidths=1)
    plot.set_xlim(0, 1.1 * max(1, *(size.width for size in sizes)))
    plot.set_ylim(0, 1.1 * max(1, *(size.height for size in sizes)))
    return figure


def boxes(classes: Sequence[ClassStatistics], quantiles: Callable[[ClassStatistics], Quantiles | None], x_label: str, *, end: float) -> Figure:
    """For each class a box from the lower to the upper quartile with the median, and a line from 5 % to 95 % of its images."""
    figure, plot = _named_rows([item.label for item in classes], x_label)
    for position, item in enumerate(classes):
        found = quantiles(item)
        if found is None:
            continue
        plot.hlines(position, found.p05, found.p95, color=INK, linewidth=1.2)
        plot.barh(position, found.p75 - found.p25, 0.6, left=found.p25, color=COLOURS[0])
        plot.vlines(found.median, position - 0.3, position + 0.3, color=INK, linewidth=2)
    plot.set_xlim(0, end)
    return figure


def pixel_ranges(classes: Sequence[ClassStatistics]) -> Figure:
    """For each class the range of all its pixel values, and inside it the range of its average image."""
    figure, plot = _named_rows([item.label for item in classes], "pixel value")
    for position, item in enumerate(classes):
        if item.pixel_min is not None and item.pixel_max is not None:
            plot.hlines(position, item.pixel_min, item.pixel_max, color=INK, linewidth=1.2)
        if item.pixel_min_mean is not None and item.pixel_max_mean is not None:
            plot.barh(position, item.pixel_max_mean - item.pixel_min_mean, 0.6, left=item.pixel_min_mean, color=COLOURS[0])
    plot.set_xlim(0, 258)
    return figure


def _named_rows(names: Sequence[str], x_label: str) -> tuple[Figure, Axes]:
    """An empty plot with one named row for each name, the first on top."""
    figure, plot = axes("", x_label, height=0.9 + 0.27 * len(names))
    plot.set_yticks(range(len(names)), [short_name(name) for name in names], parse_math=False)
    plot.set_ylim(len(names) - 0.4, -0.6)
    plot.grid(visible=False, axis="y")
    plot.grid(visible=True, axis="x", color=INK, alpha=0.25, linewidth=0.7)
    return figure, plot


def _count_bars(plot: Axes, numbers: Sequence[int], colours: Sequence[str]) -> None:
    plot.barh(range(len(numbers)), numbers, 0.65, color=colours)
    for position, number in enumerate(numbers):
        plot.annotate(f"{number:,}", (number, position), (4, 0), textcoords="offset points", va="center", color=INK, fontsize=9)
    plot.set_xlim(0, 1.2 * max(numbers))
    plot.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, min_n_ticks=1))
    plot.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))


def _plain_numbers(plot: Axes) -> None:
    plot.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
    plot.xaxis.set_minor_formatter(NullFormatter())

