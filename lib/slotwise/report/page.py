"""The frame all HTML pages share: one self-contained file that reads well on a phone and on light and dark ground."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

_SVG_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "slotwise", "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"]}


@dataclass(frozen=True)
class Section:
    """A heading and the finished HTML below it: whoever makes the HTML has escaped what is in it."""

    heading: str
    html: str


def page(title: str, sections: Sequence[Section]) -> str:
    """A whole HTML page; title and headings are escaped, the sections' HTML is taken as it is."""
    template = Environment(loader=PackageLoader("slotwise.report", ""), autoescape=True).get_template("page.html")
    return template.render(title=title, sections=[(section.heading, Markup(section.html)) for section in sections])


def figure_svg(figure: Figure) -> str:
    """A plot as an inline `<svg>` with a size, whose text stays text in the page's font.

    Draws with the SVG canvas alone: no display, no pyplot state. The same figure gives the same text each time.
    """
    stream = io.StringIO()
    with matplotlib.rc_context(_SVG_STYLE):
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    svg = text[text.index("<svg") :]
    return re.sub(r"font: (\d+(?:\.\d+)?px) [^;\"]*", r"font-size: \1", svg)
