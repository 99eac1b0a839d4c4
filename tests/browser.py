"""Pages in headless Chromium: one start shows all of them in iframes of each size and scheme, and says what is wrong with each."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
SCHEMES = ("light", "dark")

needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium here: conf/ensure-chromium.sh could not install it")

# It would look for Google's hosts at every start.
_ALONE = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")


@dataclass(frozen=True)
class Seen:
    """What a browser says of one page in one size and scheme."""

    faults: list[str]
    pictures: int
    width: int
    dark: bool


def look_at(pages: Mapping[str, str], scratch: Path) -> tuple[dict[tuple[str, str, str], Seen], str]:
    """Shows each page, by name, in each size and scheme.

    An iframe's `color-scheme` is what the page in it takes for the reader's preference.

    Returns:
        what was seen by page, size and scheme; and what the pages said on their console.
    """
    frames = []
    for name, html in pages.items():
        (scratch / f"{name}.html").write_text(html)
        for size, (width, height) in SIZES.items():
            frames += [
                f'<iframe name="{escape(name)}/{size}/{scheme}" src="{escape(name)}.html" width="{width}" height="{height}" style="color-scheme: {scheme}; border: 0"></iframe>'
                for scheme in SCHEMES
            ]
    script = (Path(__file__).parent / "look_at_pages.js").read_text()
    (scratch / "all.html").write_text(f'<!doctype html><meta charset="utf-8"><body>{"".join(frames)}<pre id="seen"></pre><script>{script}</script></body>')
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", *_ALONE, "--allow-file-access-from-files", "--enable-logging=stderr",
        f"--user-data-dir={scratch / 'profile'}", "--virtual-time-budget=60000", "--dump-dom", (scratch / "all.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r'<pre id="seen">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-500:] + done.stderr[-2000:]
    said: dict[str, Any] = json.loads(unescape(found[1]))
    seen = {}
    for key, values in said.items():
        name, size, scheme = key.split("/")
        seen[name, size, scheme] = Seen(**values)
    return seen, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
