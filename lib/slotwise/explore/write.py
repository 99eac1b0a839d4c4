"""`explore.json` and `report.html`: the measures for programs, and a page with plots for people."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from slotwise import storage
from slotwise.explore.measure import QUANTILES, ExploreResult, Histogram
from slotwise.report import charts, fragments
from slotwise.report.page import Section, page

_LONGEST_LABEL = 34
_BARS = 30


def write(result: ExploreResult, directory: str, *, title: str) -> str:
    """Writes both files into a directory; returns the page's URI."""
    uri = storage.join(directory, "report.html")
    storage.write_json(storage.join(directory, "explore.json"), asdict(result))
    storage.write_text(uri, report(result, title=title))
    return uri


def report(result: ExploreResult, *, title: str) -> str:
    """The page as one self-contained HTML document; all names in it are escaped."""
    with warnings.catch_warnings():
        # Names in any script are shown by the reader's fonts; matplotlib only lacks their widths.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        sections = [
            Section("Overview", _overview(result)),
            Section("Classes", _classes(result)),
            Section("Sizes", _sizes(result)),
            Section("Brightness and contrast", _light(result)),
            Section("Formats", fragments.table(("Format", "Images"), _cells(result.formats)) + fragments.table(("Mode", "Images"), _cells(result.modes))),
            Section("Set aside", _set_aside(result)),
            Section("Identical images", _identical(result)),
        ]
        return page(title, sections)


def _overview(result: ExploreResult) -> str:
    return fragments.headline(
        {
            "catalogue rows": f"{sum(result.catalogue_status.values()):,}",
            "categories": f"{result.classes.categories:,}",
            "images asked for": f"{result.gathered:,}",
            "readable": f"{result.readable:,}",
            "identical to another": f"{result.identical_images:,}",
        }
    )


def _classes(result: ExploreResult) -> str:
    balance = result.classes
    if not balance.rows:
        return fragments.paragraphs("No usable row has a category.")
    text = f"{balance.rows:,} usable rows in {balance.categories:,} categories."
    if balance.tail_categories:
        text += f" The {balance.tail_categories:,} that are not listed hold {balance.tail_rows:,} rows."
    shares = ((name, f"{count:,}", f"{100 * count / balance.rows:.2f} %") for name, count in balance.top)
    plots = {"Rows of the largest categories": _bars(balance.top[:_BARS]), "Share of rows in the largest categories": _curve(balance.curve)}
    return fragments.paragraphs(text) + fragments.figures(plots) + fragments.table(("Category", "Rows", "Share"), list(shares))


def _bars(sizes: Sequence[tuple[str, int]]) -> Figure:
    figure, plot = charts.axes("", "rows", height=max(2.0, 0.25 * len(sizes) + 0.8))
    plot.barh(range(len(sizes)), [count for _, count in sizes], color=charts.COLOURS[0])
    # Without parse_math a "$" in a name would begin a formula.
    plot.set_yticks(range(len(sizes)), [_short(name) for name, _ in sizes], parse_math=False, fontsize=9)
    plot.invert_yaxis()
    plot.grid(visible=False, axis="y")
    plot.grid(visible=True, axis="x", color=charts.INK, alpha=0.25, linewidth=0.7)
    return figure


def _curve(points: Sequence[tuple[int, float]]) -> Figure:
    figure, plot = charts.axes("share of rows", "largest categories")
    plot.plot([rank for rank, _ in points], [share for _, share in points], color=charts.COLOURS[0], linewidth=1.8, marker="o" if len(points) < 15 else None)
    plot.set_ylim(0, 1.03)
    plot.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if points[-1][0] > 100:
        plot.set_xscale("log")
    return figure


def _sizes(result: ExploreResult) -> str:
    if not result.readable:
        return fragments.paragraphs("No image could be read.")
    header = ["As they came in", *("smallest" if share == 0 else "largest" if share == 1 else f"{100 * share:g} %" for share in QUANTILES)]
    rows = [[name, *(f"{value:,.2f}" if name == "aspect" else f"{value:,.0f}" for value in values)] for name, values in result.quantiles.items()]
    plots = {f"{name.capitalize()} in pixels": _histogram(result.histograms[name], "pixels") for name in ("width", "height")}
    return fragments.table(header, rows) + fragments.figures(plots)


def _light(result: ExploreResult) -> str:
    if not result.readable:
        return fragments.paragraphs("No image could be read.")
    plots = {
        "Brightness: mean luma of an image": _histogram(result.histograms["brightness"], "luma, 0 to 255"),
        "Contrast: standard deviation of the luma": _histogram(result.histograms["contrast"], "luma"),
    }
    header = ("Class", "Images", "Brightness", "± between images", "Contrast", "Darkest value", "Brightest value", "Width", "Height", "Bytes")
    rows = [
        (
            measures.label,
            f"{measures.images:,}",
            f"{measures.brightness:.1f}",
            f"{measures.brightness_std:.1f}",
            f"{measures.contrast:.1f}",
            str(measures.pixel_min),
            str(measures.pixel_max),
            f"{measures.width:,.0f}",
            f"{measures.height:,.0f}",
            f"{measures.bytes:,.0f}",
        )
        for measures in result.by_class
    ]
    return fragments.figures(plots) + fragments.table(header, rows)


def _histogram(histogram: Histogram, x_label: str) -> Figure:
    figure, plot = charts.axes("images", x_label)
    starts = [histogram.start + number * histogram.width for number in range(len(histogram.counts))]
    plot.bar(starts, histogram.counts, histogram.width * 0.92, align="edge", color=charts.COLOURS[0])
    return figure


def _set_aside(result: ExploreResult) -> str:
    parts = [fragments.table(("Catalogue", "Rows"), _cells(result.catalogue_status))]
    if result.unreadable:
        share = 100 * sum(result.unreadable.values()) / result.gathered
        parts += [fragments.paragraphs(f"{share:.2f} % of the images asked for cannot be used."), fragments.table(("Image", "Rows"), _cells(result.unreadable))]
    return "".join(parts)


def _identical(result: ExploreResult) -> str:
    if not result.identical_groups:
        return fragments.paragraphs("No two images have the same pixels.")
    text = f"{result.identical_images:,} images share {result.identical_groups:,} pictures. One of each is kept."
    rows = [(", ".join(group.labels), ", ".join(group.ids) + (", …" if group.images > len(group.ids) else ""), f"{group.images:,}") for group in result.identical_examples]
    return fragments.paragraphs(text) + fragments.table(("Classes", "Ids", "Images"), rows, texts=2)


def _cells(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(name, f"{count:,}") for name, count in counts.items()]


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_LABEL else name[: _LONGEST_LABEL - 1] + "…"
