"""Pieces of HTML that sections are made of; every text that goes in is escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, Template
from markupsafe import Markup
from matplotlib.figure import Figure

from slotwise.report.page import figure_svg

_HEADLINE = """<dl class="headline">{% for label, number in numbers.items() %}<div><dt>{{ label }}</dt><dd>{{ number }}</dd></div>{% endfor %}</dl>"""

_TABLE = """<div class="scroll"><table><thead><tr>{% for column in columns %}<th scope="col"{{ look(column, loop.index0) }}>{{ column }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr>{% for cell in row %}<td{{ look(cell, loop.index0) }}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>"""
# Longer names and URIs are broken over lines, so that a table is not as wide as its longest.
_LONG_CELL = 32

_FIGURES = """<div class="figures">{% for caption, svg, wide in figures %}<figure{% if wide %} class="wide"{% endif %}>{% if wide %}<div class="scroll">{{ svg }}</div>{% else %}{{ svg }}{% endif %}<figcaption>{{ caption }}</figcaption></figure>{% endfor %}</div>"""

_PICTURES = """<div class="pictures">{% for picture in pictures %}<figure><img src="data:image/jpeg;base64,{{ picture.base64 }}" alt="{{ picture.title }}">
<figcaption>{{ picture.title }}{% for line in picture.lines %}<br>{{ line }}{% endfor %}</figcaption></figure>{% endfor %}</div>"""

# In inches. Smaller plots are shrunk to a phone's width, and what they say can be read still.
_WIDE = 5.5

_PARAGRAPHS = "{% for text in texts %}<p>{{ text }}</p>{% endfor %}"

_CODE = "<pre><code>{{ text }}</code></pre>"


def headline(numbers: Mapping[str, str]) -> str:
    """Large numbers with a small label each."""
    return _render(_HEADLINE, numbers=numbers)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> str:
    """A table that scrolls sideways where it is too wide; columns after the first `texts` are aligned as numbers."""
    def look(text: str, column: int) -> Markup:
        classes = [*(["number"] if column >= texts else []), *(["long"] if len(text) > _LONG_CELL else [])]
        return Markup(f' class="{" ".join(classes)}"' if classes else "")

    return _render(_TABLE, columns=columns, rows=rows, look=look)


def figures(by_caption: Mapping[str, Figure]) -> str:
    """Plots beside each other as far as the page is wide; one that is wider than a phone by much scrolls sideways and keeps its size."""
    drawn = [(caption, Markup(figure_svg(figure, label=caption)), figure.get_figwidth() > _WIDE) for caption, figure in by_caption.items()]
    return _render(_FIGURES, figures=drawn)


@dataclass(frozen=True)
class Picture:
    """A JPEG with a title and further lines below it."""

    jpeg: bytes
    title: str
    lines: Sequence[str]

    @property
    def base64(self) -> str:
        return b64encode(self.jpeg).decode()


def pictures(items: Sequence[Picture]) -> str:
    """Small pictures beside each other, their bytes in the page itself."""
    return _render(_PICTURES, pictures=items)


def paragraphs(*texts: str) -> str:
    return _render(_PARAGRAPHS, texts=texts)


def code(text: str) -> str:
    return _render(_CODE, text=text)


@cache
def _template(source: str) -> Template:
    return Environment(autoescape=True).from_string(source)


def _render(source: str, **values: Any) -> str:
    return _template(source).render(**values)
