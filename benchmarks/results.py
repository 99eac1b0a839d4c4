"""docs/results/bench.json, bench.md and the README's table: the newest measurement of each line, and the machine that it was made on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from benchmarks import machine
from benchmarks.pairs import Ratio
from slotwise import storage
from slotwise.report.markdown import table

_LINES, _PAGE, _README = Path("docs/results/bench.json"), Path("docs/results/bench.md"), Path("README.md")
_BEGIN, _END = "<!-- make bench -->\n", "<!-- end of make bench -->\n"

Line = dict[str, Any]
"""A `Ratio`, and under `machine` the facts of where it was measured."""


def keep(results: Iterable[Ratio], order: Sequence[str]) -> str:
    """Adds lines to those kept, in place of older ones of the same names; returns the table.

    Args:
        order: the names of all lines there are, as the table is to have them; what is kept under another name goes.
    """
    _LINES.parent.mkdir(parents=True, exist_ok=True)
    lines_file = storage.normalise(str(_LINES))
    kept = added_to(storage.read_json(lines_file) if storage.exists(lines_file) else [], results, machine.facts(), order)
    storage.write_json(lines_file, kept)
    text = markdown(kept)
    storage.write_text(storage.normalise(str(_PAGE)), text)
    storage.write_text(storage.normalise(str(_README)), within(_README.read_text(), text))
    return text


def added_to(kept: Iterable[Line], results: Iterable[Ratio], here: dict[str, object], order: Sequence[str]) -> list[Line]:
    """The newest line of each name, in order."""
    lines = {line["name"]: line for line in kept} | {result.name: {**result._asdict(), "machine": here} for result in results}
    return [lines[name] for name in order if name in lines]


def within(readme: str, text: str) -> str:
    """A README with the table's text between its two marks."""
    before, _, rest = readme.partition(_BEGIN)
    return before + _BEGIN + text + _END + rest.partition(_END)[2]


def markdown(lines: Sequence[Line]) -> str:
    """The table, and below it each machine by the letter that its lines have."""
    machines: list[dict[str, object]] = []
    for line in lines:
        if line["machine"] not in machines:
            machines.append(line["machine"])
    head = ["what", "ratio (median)", "lowest to highest", "pairs", "goal", "met", "on"]
    cells = [
        [
            line["name"], f"{line['ratio']:.2f}", f"{line['low']:.2f} to {line['high']:.2f}", str(line["pairs"]),
            *(("–", "–") if line["goal"] is None else (f"{line['goal']:.2f}", "yes" if line["met"] else "no")), ascii_uppercase[machines.index(line["machine"])],
        ]
        for line in lines
    ]  # fmt: skip
    places = [f"- {letter}: " + ", ".join(f"{name} {value}" for name, value in facts.items()) for letter, facts in zip(ascii_uppercase, machines, strict=False)]
    return "\n".join([*table(head, cells), "", "Made with `make bench`, each line in one run on", "", *places, ""])
