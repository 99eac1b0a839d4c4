"""A hundred tables of URLs as an ill-meaning or a careless stranger would send them, drawn from a seed, and what may become of each."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

HEADER = b"Title,image,categories\n"
SOUND = b"a,http://127.0.0.1:9/1.jpg,Art\nb,http://127.0.0.1:9/2.jpg,Poetry\n"


class Hostile(NamedTuple):
    """A table's file name and bytes, and the rows that a reader finds in it; None where it is to be refused as a whole."""

    name: str
    data: bytes
    rows: int | None
    before: bool = True
    """Whether the refusal needs no more than the start of the file."""


@cache
def hostile_tables(seed: int = 8) -> list[Hostile]:
    """The same tables for the same seed."""
    draw = random.Random(seed)
    made = [*_refused(draw), *_refused_later(draw), *_odd_rows(draw)]
    assert len(made) >= 100
    return [Hostile(f"{number:03d} {hostile.name}", *hostile[1:]) for number, hostile in enumerate(made)]


def _refused(draw: random.Random) -> Iterator[Hostile]:
    """Tables whose first bytes say that they are none."""
    whole = HEADER + SOUND
    bodies = {
        "empty": b"",
        "blank": b" \n\t\n\r\n",
        "one byte": b"\xff",
        "a mark alone": b"\xef\xbb\xbf",
        "zero bytes": bytes(100_000),
        "zero in the header": b"Title,im\0age,categories\n" + SOUND,
        "ten megabytes in one line": b"Title,image,categories" + b"x" * 10_000_000,
        "ten megabytes in one name": b'Title,image,categories,"' + b"x" * 10_000_000 + b'"\n',
        "names without end": b",".join(b"c%d" % number for number in range(300_000)) + b"\n",
        "a quote in the header": b'Title,"image,categories\n' + SOUND * 10_000,
        "page": b"<!doctype html><html><body>Sign in</body></html>",
        "json": b'[{"image": "http://a/1.jpg", "categories": "Art"}]',
        "tabs": whole.replace(b",", b"\t"),
        "semicolons": whole.replace(b",", b";"),
        "no header": SOUND,
        "picture": b"\x89PNG\r\n\x1a\n" + draw.randbytes(3_000),
        "archive": b"PK\x03\x04" + draw.randbytes(3_000),
        "workbook": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + draw.randbytes(3_000),
        "parquet": b"PAR1" + draw.randbytes(3_000),
        "pickle": b"\x80\x04\x95" + draw.randbytes(3_000),
        "image twice": b"image,image,categories\n" + SOUND,
        "categories twice": b"image,categories,categories\n" + SOUND,
        "steers the terminal": b"\x1b]0;owned\x07\x1b[2J,image?,categories\n" + SOUND,
        "other case": whole.replace(b"image,cat", b"IMAGE,Cat"),
        "spaces in names": whole.replace(b"image,cat", b" image , cat"),
        "formula for a name": b"=cmd|' /C calc'!A0,@image,-categories\n" + SOUND,
    }
    for name, data in bodies.items():
        yield Hostile(f"{name}.csv", data, None)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        yield Hostile(f"{encoding}.csv", whole.decode().encode(encoding), None)
    for name in ("zero bytes", "ten megabytes in one line", "page", "empty", "image twice"):
        yield Hostile(f"{name} packed.csv.gz", gzip.compress(bodies[name]), None)
    yield Hostile("bomb.csv.gz", gzip.compress(bytes(30_000_000), 1), None)
    yield Hostile("bomb of letters.csv.gz", gzip.compress(b"image" * 6_000_000, 1), None)
    yield Hostile("not packed.csv.gz", whole, None)
    yield Hostile("packed twice.csv.gz", gzip.compress(gzip.compress(whole)), None)
    yield Hostile("packed but not said.csv", gzip.compress(whole), None)
    yield Hostile("damaged at once.csv.gz", gzip.compress(whole)[:12] + b"\xff" * 50, None)
    for number in range(8):
        yield Hostile(f"noise {number}.csv", draw.randbytes(2_000), None)


def _refused_later(draw: random.Random) -> Iterator[Hostile]:
    """Tables that begin well."""
    rows = HEADER + SOUND * 2_000
    packed = gzip.compress(rows + b"".join(b"%d,http://127.0.0.1:9/%d.jpg,Art\n" % (draw.randrange(10**9), number) for number in range(2_000)))
    yield Hostile("a cell of ten megabytes.csv", rows + b"a,http://127.0.0.1:9/3.jpg," + b"x" * 10_000_000 + b"\n", None, False)
    yield Hostile("a quote that is not closed.csv", rows + b'a,"http://127.0.0.1:9/3.jpg,' + SOUND * 40_000, None, False)
    yield Hostile("cut off.csv.gz", packed[: len(packed) // 2], None, False)


def _odd_rows(draw: random.Random) -> Iterator[Hostile]:
    """Tables with one odd row between two sound ones, which stay what they are."""
    rows = {
        "broken UTF-8": b"\xff\xfe\xc3(,http://127.0.0.1:9/3.jpg,\xf0\x28\x8c\x28",
        "surrogates": b"\xed\xa0\x80,http://127.0.0.1:9/3.jpg,\xed\xb0\x80",
        "zero": b"a\0b,http://127.0.0.1:9/\0.jpg,A\0rt",
        "control characters": b"\x1b[2J\x07,http://127.0.0.1:9/3.jpg,\x1b]0;owned\x07",
        "way out": b"a,http://127.0.0.1:9/3.jpg,../../../../etc/cron.d/x",
        "absolute": b"a,http://127.0.0.1:9/3.jpg,/etc/passwd",
        "backslashes": b"a,http://127.0.0.1:9/3.jpg,..\\..\\windows\\system32",
        "script": b"a,http://127.0.0.1:9/3.jpg,<script>alert(1)</script>",
        "handler": b"a,http://127.0.0.1:9/3.jpg,\"\"\"><img src=x onerror=alert(1)>\"",
        "formula": b"=1+1,http://127.0.0.1:9/3.jpg,=HYPERLINK(\"http://evil\")",
        "command": b"+cmd|' /C calc'!A0,http://127.0.0.1:9/3.jpg,@SUM(1)",
        "mathematics": b"a,http://127.0.0.1:9/3.jpg,$\\frac{1}",
        "percent": b"%s%n%x,http://127.0.0.1:9/3.jpg,{0.__class__}",
        "sql": b"a,http://127.0.0.1:9/3.jpg,'; DROP TABLE x; --",
        "null words": b"NULL,null,\\N",
        "huge number": b"1e999999999," + b"9" * 100_000 + b",-" + b"9" * 100_000,
        "long category": b"a,http://127.0.0.1:9/3.jpg," + b"c" * 900_000,
        "long list": b"a,http://127.0.0.1:9/3.jpg,['" + b"c" * 900_000 + b"']",
        "list of backslashes": b"a,http://127.0.0.1:9/3.jpg,['" + b"\\'" * 400_000 + b"']",
        "list without end": b"a,http://127.0.0.1:9/3.jpg," + b"[" * 500_000,
        "blanks": b"a,http://127.0.0.1:9/3.jpg,x" + b" " * 900_000 + b"y",
        "blanks in a URL": b"a,http://127.0.0.1:9/" + b" \t" * 400_000 + b"3.jpg,Art",
        "long URL": b"a,http://127.0.0.1:9/" + b"u" * 900_000 + b",Art",
        "no URL": b"a,not a url at all,Art",
        "file": b"a,file:///etc/passwd,Art",
        "data": b"a,data:image/png;base64,Art",
        "gopher": b"a,gopher://127.0.0.1:70/1,Art",
        "bracket": b"a,http://[::1/3.jpg,Art",
        "port": b"a,http://127.0.0.1:99999999/3.jpg,Art",
        "user": b"a,http://user:password@127.0.0.1:9/3.jpg,Art",
        "line in a URL": b'a,"http://127.0.0.1:9/3.jpg HTTP/1.1\r\nX: y",Art',
        "line in a category": b'a,http://127.0.0.1:9/3.jpg,"Art\nand\r\nmore"',
        "too few": b"a,http://127.0.0.1:9/3.jpg",
        "too many": b"a,http://127.0.0.1:9/3.jpg,Art" + b",x" * 500,
        "nothing": b",,",
        "quote within": b'a"b,http://127.0.0.1:9/3.jpg,A"r"t',
        "quotes": b'"""""","http://127.0.0.1:9/3.jpg",""""',
        "entity": b"&lt;script&gt;,http://127.0.0.1:9/3.jpg,&#x3c;script&#x3e;",
        "right to left": "a,http://127.0.0.1:9/3.jpg,\u202egpj.exe".encode(),
        "marks in the middle": b"\xef\xbb\xbfa,\xef\xbb\xbfhttp://127.0.0.1:9/3.jpg,\xef\xbb\xbfArt",
        "emoji": "a,http://127.0.0.1:9/3.jpg,👩‍👩‍👧".encode(),
    }
    first, second = SOUND.splitlines(keepends=True)
    for name, row in rows.items():
        yield Hostile(f"{name}.csv", HEADER + first + row + b"\n" + second, 3)
    yield Hostile("no last line end.csv", (HEADER + SOUND).rstrip(b"\n"), 2)
    yield Hostile("windows line ends.csv", (HEADER + SOUND).replace(b"\n", b"\r\n"), 2)
    yield Hostile("old line ends.csv", (HEADER + SOUND).replace(b"\n", b"\r"), 2)
    yield Hostile("a mark in front.csv", b"\xef\xbb\xbf" + HEADER + SOUND, 2)
    yield Hostile("blank lines.csv", HEADER + b"\n\n" + first + b"\n" + second + b"\n\n", 2)
    yield Hostile("packed in two.csv.gz", gzip.compress(HEADER + first) + gzip.compress(second), 2)
    yield Hostile("header alone.csv", HEADER, 0)
