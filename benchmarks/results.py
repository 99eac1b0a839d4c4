"""docs/results/bench.json, bench.md and the README's table: the lines measured on this machine with these versions, the newest of each name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks import machine
from benchmarks.pairs import Ratio
from slotwise import storage

_DIRECTORY = Path("docs/results")
_README = Path("README.md")
_BEGIN, _END = "<!-- make bench -->\n", "<!-- end of make bench -->\n"


def keep(results: Iterable[Ratio], order: Iterable[str]) -> str:
    """Adds lines to those kept of this machine, drops those of another; returns the table.

    Args:
        order: the names of all lines there are, as the table is to have them.
    """
    _DIRECTORY.mkdir(parents=True, exist_ok=True)
    lines_file, machine_file = (storage.normalise(str(_DIRECTORY / name)) for name in ("bench.json", "bench.machine.json"))
    here = machine.facts()
    is_same = storage.exists(machine_file) and storage.read_json(machine_file) == here
    lines = {line["name"]: Ratio(**line) for line in (storage.read_json(lines_file) if is_same else [])}
    lines.update({result.name: result for result in results})
    kept = [lines[name] for name in order if name in lines]
    storage.write_json(lines_file, [line._asdict() for line in kept])
    storage.write_json(machine_file, here)
    text = markdown(kept, here)
    storage.write_text(storage.normalise(str(_DIRECTORY / "bench.md")), text)
    storage.write_text(storage.normalise(str(_README)), within(_README.read_text(), text))
    return text


def within(readme: str, table: str) -> str:
    """A README with the table between its two marks."""
    before, _, rest = readme.partition(_BEGIN)
    return before + _BEGIN + table + _END + rest.partition(_END)[2]


def markdown(lines: Iterable[Ratio], facts: dict[str, object]) -> str:
    head = ["| what | ratio (median) | lowest to highest | pairs | goal | met |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    rows = [f"| {r.name} | {r.ratio:.2f} | {r.low:.2f} to {r.high:.2f} | {r.pairs} | {r.goal:.2f} | {'yes' if r.met else 'no'} |" for r in lines]
    return "\n".join([*head, *rows, "", "Made with `make bench`: " + ", ".join(f"{name} {value}" for name, value in facts.items()), ""])
