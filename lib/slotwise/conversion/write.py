"""The export as Markdown and as files: all of them at once, or none."""

from __future__ import annotations

from collections.abc import Iterable

from slotwise import storage
from slotwise.contracts.export import ExportRecord
from slotwise.contracts.paths import ExportPaths
from slotwise.conversion.formats import FORMATS
from slotwise.errors import UsageError
from slotwise.report import export as page
from slotwise.report import markdown as md


def check_place(output: str, *, overwrite: bool) -> None:
    """Sees that nothing is at the export's place but, with `overwrite`, an export.

    Raises:
        UsageError: there is something else, or an export and `overwrite` is false.
    """
    if not storage.exists(output):
        return
    names = set(storage.children(output)) if storage.is_directory(output) else {storage.name(output)}
    paths = ExportPaths(output)
    known = {storage.name(file) for file in (paths.json, paths.markdown, paths.html)} | {form.path for form in FORMATS.values()}
    if names - known:
        # --overwrite replaces the whole directory: nobody means their run, or their home.
        raise UsageError("There is something else than an export already, which is not replaced", received=f"--output {output}", accepted="another --output")
    if not overwrite:
        raise UsageError("There is an export already", received=f"--output {output}", accepted="another --output, or --overwrite to replace it")


def write(record: ExportRecord, files: Iterable[tuple[str, bytes]], output: str) -> None:
    """Puts an export in place.

    Args:
        record: what becomes `export.json`, `.md` and `.html`.
        files: the formats' files, content by path below the export.
        output: the export's URI; an export that is there is replaced.
    """
    scratch = storage.temporary(output)
    paths = ExportPaths(scratch)
    try:
        for path, content in files:
            storage.write_bytes(storage.join(scratch, path), content)
        storage.write_text(paths.html, page.export_report(record))
        storage.write_text(paths.markdown, markdown(record))
        storage.write_json(paths.json, record.model_dump(mode="json"))
        storage.replace_directory(scratch, output)
    finally:
        storage.delete(scratch)


def markdown(record: ExportRecord) -> str:
    """The export as a person reads it in a terminal or on a code host."""
    lines = [f"# {page.title(record)}", "", *md.table(page.COLUMNS, page.cells(record)), "", *(f"- {note}" for note in page.notes(record))]
    if record.missing:
        lines += ["", "## Not made", "", *md.table(page.MISSING_COLUMNS, page.missing_cells(record))]
    lines += ["", "## How to call them", "", *md.table(page.FILE_COLUMNS, page.file_cells(record)), "", *(f"- {note}" for note in page.calling_notes(record))]
    lines += ["", "## Made with", "", "```", record.command, "```", ""]
    return "\n".join(lines)
