"""The demo catalogue: a CSV in the Amazon Books layout, with the real file's kinds of dirt in about their real shares."""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote_plus

from slotwise import storage
from slotwise.errors import UsageError
from slotwise.sources.demo import words
from slotwise.sources.demo.categories import CATEGORIES, NO_CATEGORY, book_id

COLUMNS = ("Title", "description", "authors", "image", "previewLink", "publisher", "publishedDate", "infoLink", "categories", "ratingsCount")

# No such host exists, so nobody is asked by mistake: `--mirror http://covers.slotwise.invalid=http://HOST:PORT` says who is.
IMAGE_HOST = "http://covers.slotwise.invalid"
_BOOK_HOST = "http://books.slotwise.invalid"

# Dirty rows as a share of a category's good rows; at least one row each.
_MISSING_IMAGE = 0.10
_MISSING_CATEGORY = 0.06
_REPEATED_ROW = 0.015
_REPEATED_URL = 0.01
_TAIL = 0.05
_RUNNER_UP_SIZES = (0.6, 0.5, 0.4)
_SMALL_SIZE = 0.05


@dataclass(frozen=True)
class Book:
    """One row of the catalogue; empty text is an empty cell."""

    id: str
    title: str
    description: str
    authors: tuple[str, ...]
    image: str
    publisher: str
    published: str
    category: str
    ratings: str

    def row(self) -> list[str]:
        """The cells in the order of COLUMNS; lists are Python lists as text, as in the real file."""
        words_of_title = quote_plus(self.title, safe="!,()")
        preview = f"{_BOOK_HOST}/books?id={self.id}&dq={words_of_title}&hl=&cd=1&source=gbs_api"
        info = f"{_BOOK_HOST}/books?id={self.id}&dq={words_of_title}&hl=&source=gbs_api"
        authors = repr(list(self.authors)) if self.authors else ""
        category = repr([self.category]) if self.category else ""
        return [self.title, self.description, authors, self.image, preview, self.publisher, self.published, info, category, self.ratings]


def write_catalogue(path: str, *, classes: int, per_class: int, seed: int, overwrite: bool = False) -> list[Book]:
    """Writes the catalogue as UTF-8 CSV, gzipped where the name ends in `.gz`; returns its books in row order.

    The first `classes` of CATEGORIES are the largest, each with a surplus of good rows over `per_class`
    (see `good_rows`). The same arguments give the same bytes.

    Args:
        path: where the file goes, a path or URI.
        classes: categories to be filled, from 1 to the number of CATEGORIES.
        per_class: images wanted of each.
        seed: seed of ids, text and order.
        overwrite: replace a file of other content.

    Raises:
        UsageError: too many classes, or another file is there already.
    """
    if not 1 <= classes <= len(CATEGORIES):
        raise UsageError("The demo cannot fill that many classes", received=classes, accepted=f"1 to {len(CATEGORIES)}")
    books = catalogue(classes=classes, per_class=per_class, seed=seed)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(book.row() for book in books)
    content = text.getvalue().encode("utf-8")
    if path.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    uri = storage.normalise(path)
    if not storage.exists(uri):
        storage.write_bytes(uri, content)
    elif storage.read_bytes(uri) != content:
        if not overwrite:
            raise UsageError("Another catalogue is there already", received=uri, accepted="a new path, or overwriting allowed")
        storage.write_bytes(uri, content)
    return books


def catalogue(*, classes: int, per_class: int, seed: int) -> list[Book]:
    """The rows of a demo catalogue, shuffled."""
    rng = random.Random(f"catalogue/{seed}")
    books: list[Book] = []
    for category, wanted in good_rows(classes, per_class).items():
        good = [_book(rng, len(books) + i, category, seed) for i in range(wanted)]
        books.extend(good)
        books.extend(_dirty_copies(rng, good, len(books), seed))
    tail = max(20, int(_TAIL * len(books)))
    headings = _tail_headings(rng, tail)
    books.extend(replace(_book(rng, len(books) + i, NO_CATEGORY, seed), category=next(headings)) for i in range(tail))
    rng.shuffle(books)
    return books


def good_rows(classes: int, per_class: int) -> dict[str, int]:
    """Rows of each large category that have an image, a category and no double.

    The surplus (0.6 × per_class + 40) covers the failing 5 % of downloads and the spread of splits assigned by hash.
    Sizes fall strictly down to the last wanted class; the runners-up stand clearly below it.
    """
    base = int(1.6 * per_class) + 40
    step = max(1, base // 50)
    sizes = [base + step * (classes - 1 - rank) for rank in range(classes)]
    sizes += [int(share * base) for share in _RUNNER_UP_SIZES]
    sizes += [max(2, int(_SMALL_SIZE * base))] * len(CATEGORIES)
    return dict(zip(CATEGORIES, sizes, strict=False))


def _dirty_copies(rng: random.Random, good: list[Book], number: int, seed: int) -> Iterator[Book]:
    """The category's dirt in exact numbers, so that the categories' order of size survives it."""

    def count(share: float) -> int:
        return max(1, round(share * len(good)))

    category = good[0].category
    for i in range(count(_MISSING_IMAGE)):
        yield replace(_book(rng, number + i, category, seed), image="")
    number += count(_MISSING_IMAGE)
    for i in range(count(_MISSING_CATEGORY)):
        book = replace(_book(rng, number + i, NO_CATEGORY, seed), category="")
        yield replace(book, image="") if rng.random() < 0.3 else book
    yield from rng.choices(good, k=count(_REPEATED_ROW))
    for book in rng.choices(good, k=count(_REPEATED_URL)):
        yield replace(book, title=f"{book.title} (Second Edition)", published=_date(rng), publisher=words.publisher(rng))


def _tail_headings(rng: random.Random, rows: int) -> Iterator[str]:
    """Headings for `rows` rows, nearly all of them different."""
    seen: set[str] = set()
    while len(seen) < rows:
        seen.add(heading := words.tail_category(rng))
        yield heading


def _book(rng: random.Random, number: int, category: str, seed: int) -> Book:
    identity = book_id(number, category, seed)
    edge = "&edge=curl" if rng.random() < 0.5 else ""
    return Book(
        id=identity,
        title=words.title_of(identity),
        description="" if rng.random() < 0.27 else words.description(rng, category),
        authors=() if rng.random() < 0.07 else tuple(words.author(rng) for _ in range(rng.choice((1, 1, 1, 1, 2, 3)))),
        image=f"{IMAGE_HOST}/{identity}.jpg?printsec=frontcover&img=1&zoom=1{edge}&source=gbs_api",
        publisher="" if rng.random() < 0.31 else words.publisher(rng),
        published=_date(rng),
        category=category,
        ratings="" if rng.random() < 0.77 else f"{min(4000, int(rng.paretovariate(0.8)))}.0",
    )


def _date(rng: random.Random) -> str:
    year = rng.randint(1888, 2015)
    month, day = rng.randint(1, 12), rng.randint(1, 28)
    forms = ("", f"{year}", f"{year}-{month:02d}-{day:02d}", f"{year}-{month:02d}", f"{year}*")
    return rng.choices(forms, (4, 45, 43, 7, 1))[0]
