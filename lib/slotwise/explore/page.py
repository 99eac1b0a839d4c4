"""The page of an exploration: what the catalogue and the gathered images are like, in plots and tables."""

from __future__ import annotations

from collections.abc import Sequence

from slotwise.explore import plots
from slotwise.explore.record import CatalogueStatistics, ClassStatistics, ExampleImage, ExploreResult, GatheredStatistics, Quantiles
from slotwise.report import fragments, wording
from slotwise.report.page import Section, page

_PLOTTED_CLASSES = 50


def explore_report(result: ExploreResult) -> str:
    """`explore/report.html` as one self-contained HTML page."""
    gathered = result.gathered
    sections = [
        Section("Overview", _overview(result)),
        Section("Catalogue", _catalogue(result.catalogue)),
        Section("Gathering", _gathering(gathered)),
    ]
    if _readable(gathered):
        sections += [
            Section("Sizes", _sizes(gathered)),
            Section("Brightness and contrast", _light(gathered)),
            Section("Formats", _formats(gathered)),
            Section("Classes", _class_table(gathered.classes)),
        ]
    sections += [Section("Failed images", _failed(gathered)), Section("Identical images", _identical(gathered))]
    return page(f"Exploration: {wording.count(gathered.rows, 'gathered image')}", sections)


def _readable(gathered: GatheredStatistics) -> int:
    return gathered.rows - sum(failed.images for failed in gathered.failed)


def _overview(result: ExploreResult) -> str:
    catalogue, gathered = result.catalogue, result.gathered
    numbers = {
        "catalogue rows": catalogue.rows,
        "categories": catalogue.categories,
        "classes": len(result.classes),
        "gathered images": gathered.rows,
        "readable": _readable(gathered),
        "failed": gathered.rows - _readable(gathered),
        "identical to another": gathered.identical.images,
    }
    return fragments.headline({label: f"{number:,}" for label, number in numbers.items()})


def _catalogue(catalogue: CatalogueStatistics) -> str:
    if not catalogue.rows:
        return fragments.paragraphs("The catalogue is empty.")
    figures = {"Catalogue rows by status": plots.counts(catalogue.rows_by_status, "rows")}
    if catalogue.cumulative:
        figures["Share of the rows with a category that the largest categories hold"] = plots.cumulative(catalogue.cumulative)
        figures["Class balance: rows of the largest categories"] = plots.category_counts(catalogue.largest)
    texts = []
    if catalogue.more_categories:
        texts.append(f"Categories not shown: {catalogue.more_categories:,}, with {wording.count(catalogue.more_rows, 'row')}.")
    if catalogue.rows_without_category:
        texts.append(f"{wording.count(catalogue.rows_without_category, 'row')} without a category.")
    return fragments.figures(figures) + fragments.paragraphs(*texts)


def _gathering(gathered: GatheredStatistics) -> str:
    if not gathered.rows:
        return fragments.paragraphs("No image was gathered.")
    measured = {"Seconds per fetch": gathered.seconds, "Attempts per fetch": gathered.attempts}
    rows = [[name, *(f"{value:,.3g}" for value in quantiles.model_dump().values())] for name, quantiles in measured.items() if quantiles]
    columns = ["Quantity", "Minimum", "5 %", "25 %", "Median", "75 %", "95 %", "Maximum"]
    figures = fragments.figures({"Gathered images by status": plots.counts(gathered.rows_by_status, "images")})
    return figures + (fragments.table(columns, rows) if rows else "")


def _sizes(gathered: GatheredStatistics) -> str:
    if not gathered.sizes:
        return fragments.paragraphs("No image has a known source size.")
    histograms = gathered.histograms
    figures = {
        "Sizes of the source images, the most frequent ones; larger dots are more images": plots.scatter(gathered.sizes),
        "Width of the source images": plots.distribution(histograms.width, "width in pixels", log=True),
        "Height of the source images": plots.distribution(histograms.height, "height in pixels", log=True),
    }
    if any(histograms.aspect_ratio.counts):
        figures["Aspect ratio of the source images; the last bin holds all from 4"] = plots.distribution(histograms.aspect_ratio, "width / height")
    return fragments.figures(figures)


def _light(gathered: GatheredStatistics) -> str:
    histograms = gathered.histograms
    figures = {}
    if any(histograms.brightness.counts):
        figures["Brightness: mean luma of each image"] = plots.distribution(histograms.brightness, "brightness", end=256)
    if any(histograms.contrast.counts):
        figures["Contrast: standard deviation of the luma within each image"] = plots.distribution(histograms.contrast, "contrast", end=128)
    classes = [item for item in gathered.classes if item.images][:_PLOTTED_CLASSES]
    if classes:
        spread = "quartiles and median as a box, 5 % to 95 % as a line"
        figures[f"Brightness per class: {spread}"] = plots.boxes(classes, lambda item: item.brightness, "brightness", end=256)
        figures[f"Contrast per class: {spread}"] = plots.boxes(classes, lambda item: item.contrast, "contrast", end=128)
        figures["Pixel range per class: all images as a line, from mean smallest to mean largest value as a bar"] = plots.pixel_ranges(classes)
    more = sum(1 for item in gathered.classes if item.images) - len(classes)
    texts = [f"Classes in the table below alone: {more:,}."] if more else []
    return fragments.figures(figures) + fragments.paragraphs(*texts)


def _formats(gathered: GatheredStatistics) -> str:
    figures = {"Formats of the source images": plots.counts(gathered.formats, "images"), "Pixel modes of the source images": plots.counts(gathered.modes, "images")}
    return fragments.figures(figures)


def _class_table(classes: Sequence[ClassStatistics]) -> str:
    columns = ["Class", "Images", "Width", "5–95 %", "Height", "5–95 %", "Brightness", "Contrast", "Pixel values"]
    rows = [
        [
            item.label,
            f"{item.images:,}",
            *_middle(item.width),
            *_middle(item.height),
            _mean(item.brightness_mean, item.brightness_std),
            _mean(item.contrast_mean, item.contrast_std),
            wording.ABSENT if item.pixel_min is None else f"{item.pixel_min}–{item.pixel_max}",
        ]
        for item in classes
    ]
    note = "Width and height are medians in pixels of the source images; brightness and contrast are means over the images ± the sample standard deviation."
    return fragments.table(columns, rows) + fragments.paragraphs(note)


def _middle(quantiles: Quantiles | None) -> tuple[str, str]:
    if quantiles is None:
        return wording.ABSENT, wording.ABSENT
    return f"{quantiles.median:,.0f}", f"{quantiles.p05:,.0f}–{quantiles.p95:,.0f}"


def _mean(mean: float | None, deviation: float | None) -> str:
    return wording.number(mean, 1) + ("" if deviation is None else f" ± {deviation:,.1f}")


def _failed(gathered: GatheredStatistics) -> str:
    if not gathered.failed:
        return fragments.paragraphs("None.")
    parts = []
    for failed in gathered.failed:
        rows = [(example.id, wording.value(example.label), wording.value(example.error)) for example in failed.examples]
        parts.append(fragments.paragraphs(f"{failed.status}: {wording.count(failed.images, 'image')}{_shown(len(rows), failed.images)}"))
        parts.append(fragments.table(("Image", "Class", "Error"), rows, texts=3))
    return "".join(parts)


def _identical(gathered: GatheredStatistics) -> str:
    identical = gathered.identical
    if not identical.groups:
        return fragments.paragraphs("None.")
    summary = f"{wording.count(identical.images, 'image')} in {wording.count(identical.groups, 'group')} of equal pixels{_shown(len(identical.examples), identical.groups)}"
    across = f"{wording.count(identical.groups_across_classes, 'group')} with images of more than one class."
    rows = [(f"{group.images:,}", ", ".join(map(_with_label, group.examples)) + (", …" if len(group.examples) < group.images else "")) for group in identical.examples]
    return fragments.paragraphs(summary, across) + fragments.table(("Images", "Group"), rows, texts=2)


def _with_label(example: ExampleImage) -> str:
    return f"{example.id} ({wording.value(example.label)})"


def _shown(shown: int, total: int) -> str:
    return "." if shown == total else f"; {shown:,} of them are shown."
