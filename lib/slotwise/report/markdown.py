"""Tables as Markdown that also reads well as plain text."""

from __future__ import annotations

from collections.abc import Sequence


def table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; columns after the first are aligned as numbers."""
    escaped = [[_escaped(cell) for cell in row] for row in (columns, *cells)]
    widths = [max(len(row[column]) for row in escaped) for column in range(len(columns))]

    def line(row: Sequence[str]) -> str:
        padded = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return [line(escaped[0]), f"|{rule}|", *map(line, escaped[1:])]


def _escaped(cell: str) -> str:
    """A cell that neither ends its row nor is taken for HTML, whatever is in it."""
    visible = "".join(character if character.isprintable() else " " for character in cell)
    return visible.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
