"""The frame all HTML pages share: one self-contained file that reads well on a phone and on light and dark ground."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

_SVG_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "slotwise", "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"]}

_TABLE = """<div class="scroll"><table>
<thead><tr>{% for column in columns %}<th scope="col">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr>{% for text, number in row %}<td{% if number %} class="number"{% endif %}>{{ text }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table></div>"""


@dataclass(frozen=True)
class Section:
    """A heading and the finished HTML below it: whoever makes the HTML has escaped what is in it."""

    heading: str
    html: str


def page(title: str, sections: Sequence[Section]) -> str:
    """A whole HTML page; title and headings are escaped, the sections' HTML is taken as it is."""
    template = Environment(loader=PackageLoader("slotwise.report", ""), autoescape=True).get_template("page.html")
    return template.render(title=title, sections=[(section.heading, Markup(section.html)) for section in sections])


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table that scrolls sideways where it is too wide; cells are escaped, numbers are grouped and aligned right."""
    cells = [[(_as_text(cell), _is_number(cell)) for cell in row] for row in rows]
    return Environment(autoescape=True).from_string(_TABLE).render(columns=columns, rows=cells)


def figure_svg(figure: Figure, *, label: str = "") -> str:
    """A plot as an inline `<svg>` with a size and a transparent ground; what is drawn in black takes the page's text colour.

    Draws with the SVG canvas alone: no display, no pyplot state. The same figure gives the same text each time.

    Args:
        figure: the plot.
        label: what a screen reader says of it; also keeps its ids apart from those of the page's other plots.
    """
    stream = io.StringIO()
    FigureCanvasSVG(figure)
    with matplotlib.rc_context(_SVG_STYLE), warnings.catch_warnings():
        # Names in any script are shown by the reader's fonts; matplotlib only lacks their widths.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        if layout := figure.get_layout_engine():
            # Once for good: matplotlib draws a figure twice for whose layout it cares itself.
            layout.execute(figure)
            figure.set_layout_engine(None)
        figure.savefig(stream, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = stream.getvalue()
    svg = text[text.index("<svg") :]
    svg = re.sub(r"font: (\d+(?:\.\d+)?px) [^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r"(fill|stroke): #000000", r"\1: currentColor", svg)
    prefix = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
    if prefix:
        svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    return svg.replace("<svg", str(Markup('<svg class="figure" role="img" aria-label="{}"').format(label)), 1)


def _is_number(cell: object) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _as_text(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:,.3f}".rstrip("0").rstrip(".")
    return f"{cell:,}" if _is_number(cell) else str(cell)
