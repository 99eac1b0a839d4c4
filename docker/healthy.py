"""A container's health check: `healthy.py URL [TEXT]` fails unless the page answers and, blanks aside, holds the text."""

from __future__ import annotations

import sys
import urllib.request


def main(url: str, text: str = "") -> None:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
        page = answer.read().decode()
    if text.replace(" ", "") not in "".join(page.split()):
        sys.exit(f"{url} answers without {text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
