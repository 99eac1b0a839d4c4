"""The demo's catalogue, covers and faulty server, as a downloader and a reader of CSV meet them."""

from __future__ import annotations

import ast
import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import urllib3
from PIL import Image

from slotwise.errors import UsageError
from slotwise.sources.demo.books import COLUMNS, IMAGE_HOST, catalogue, good_rows, write_catalogue
from slotwise.sources.demo.categories import CATEGORIES, NO_CATEGORY, book_id, category_of
from slotwise.sources.demo.covers import draw_cover, natural_size
from slotwise.sources.demo.faults import FAILURES, FAULTS, NO_FAULT, fault_of, huge_png
from slotwise.sources.demo.server import CoverServer, FaultyServer, cover_of, image_id_of

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    path = tmp_path_factory.mktemp("demo") / "books.csv"
    write_catalogue(str(path), classes=12, per_class=100, seed=7)
    with open(path, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle, strict=True))


def _usable(rows: Rows) -> Counter[str]:
    """Rows of each category that have an image, at each image's first appearance."""
    first = {row["image"]: row["categories"] for row in reversed(rows) if row["image"] and row["categories"]}
    return Counter(first.values())


# The catalogue


def test_catalogue_has_the_real_files_columns_and_parses_as_csv(rows: Rows) -> None:
    assert list(rows[0]) == list(COLUMNS)
    assert all(None not in row and None not in row.values() for row in rows)
    assert len(rows) == len(catalogue(classes=12, per_class=100, seed=7))


def test_catalogue_has_the_real_files_dirt(rows: Rows) -> None:
    share = {column: sum(not row[column] for row in rows) / len(rows) for column in COLUMNS}
    assert 0.05 < share["image"] < 0.25
    assert 0.03 < share["categories"] < 0.20
    assert share["ratingsCount"] > 0.5
    assert 0.1 < share["description"] < 0.4
    assert share["publishedDate"] > 0
    cells = [tuple(row.values()) for row in rows]
    urls = [row["image"] for row in rows if row["image"]]
    assert len(set(cells)) < len(cells), "whole rows occur twice"
    assert len(cells) - len(set(cells)) < len(urls) - len(set(urls)), "and addresses with another title, too"
    titles = [row["Title"] for row in rows]
    assert any('"' in title for title in titles)
    assert any("," in title for title in titles)
    assert any(not row["description"].isascii() for row in rows)
    assert not any("\n" in cell for row in cells for cell in row), "the real file has no line break in a cell"
    assert {len(row["publishedDate"]) for row in rows} >= {0, 4, 7, 10}


def test_lists_are_python_lists_as_text(rows: Rows) -> None:
    for column in ("categories", "authors"):
        texts = {row[column] for row in rows if row[column]}
        assert all(isinstance(ast.literal_eval(text), list) for text in texts)
        assert any(text.startswith('["') for text in texts), "an apostrophe turns Python's quotes around"
    assert "['Body, Mind & Spirit']" in {row["categories"] for row in rows}


@pytest.mark.parametrize(("classes", "per_class"), [(2, 5), (12, 100), (14, 40), (24, 10)])
def test_largest_categories_are_well_defined_before_and_after_cleaning(classes: int, per_class: int) -> None:
    rows = [dict(zip(COLUMNS, book.row(), strict=True)) for book in catalogue(classes=classes, per_class=per_class, seed=3)]
    largest = [f"['{name}']" for name in CATEGORIES[:classes]]
    raw = Counter(row["categories"] for row in rows if row["categories"])
    usable = _usable(rows)
    assert [name for name, _ in raw.most_common(classes)] == largest
    assert [name for name, _ in usable.most_common(classes)] == largest
    for name, good in good_rows(classes, per_class).items():
        assert usable[f"['{name}']"] == good
        assert category_of(book_id(1, name, 3)) == name


def test_long_tail_has_mostly_one_row_categories(rows: Rows) -> None:
    tail = {name: count for name, count in Counter(row["categories"] for row in rows if row["categories"]).items() if ast.literal_eval(name)[0] not in CATEGORIES}
    assert len(tail) > 100
    assert sum(count == 1 for count in tail.values()) > 0.9 * len(tail)


@pytest.mark.parametrize("seed", range(5))
def test_every_class_is_filled_after_the_faults(seed: int) -> None:
    books = {book.image: book for book in catalogue(classes=12, per_class=100, seed=seed) if book.image and book.category}
    good = Counter(book.category for book in books.values() if fault_of(book.id) not in FAILURES and fault_of(book.id) != "identical")
    assert all(good[name] >= 160 for name in CATEGORIES[:12])


def test_catalogue_depends_on_its_seed_only(tmp_path: Path) -> None:
    plain, again, packed = tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "c.csv.gz"
    for path in (plain, again, packed):
        write_catalogue(str(path), classes=3, per_class=5, seed=1)
    assert plain.read_bytes() == again.read_bytes() == gzip.decompress(packed.read_bytes())
    assert catalogue(classes=3, per_class=5, seed=2) != catalogue(classes=3, per_class=5, seed=1)


def test_another_file_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "books.csv"
    write_catalogue(str(path), classes=3, per_class=5, seed=1)
    write_catalogue(str(path), classes=3, per_class=5, seed=1)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="already"):
        write_catalogue(str(path), classes=3, per_class=5, seed=2)
    assert path.read_bytes() == before
    write_catalogue(str(path), classes=3, per_class=5, seed=2, overwrite=True)
    assert path.read_bytes() != before


@pytest.mark.parametrize("classes", [0, 25])
def test_more_classes_than_the_demo_has_are_refused(tmp_path: Path, classes: int) -> None:
    with pytest.raises(UsageError, match=rf"Received: {classes}\. Accepted: 1 to 24"):
        write_catalogue(str(tmp_path / "books.csv"), classes=classes, per_class=5, seed=1)
    assert not list(tmp_path.iterdir())


# Ids and covers


@pytest.mark.parametrize("category", [*CATEGORIES, NO_CATEGORY])
def test_an_id_carries_its_category(category: str) -> None:
    ids = {book_id(number, category, 7) for number in range(50)}
    assert len(ids) == 50
    assert {category_of(identity) for identity in ids} == {category}


@pytest.mark.parametrize("text", ["", "DykPAAAACAAK", "abcdefgh__AJ", "short", "éééééééé00AJ"])
def test_other_text_is_no_id(text: str) -> None:
    with pytest.raises(KeyError):
        category_of(text)


def test_a_cover_is_the_same_every_time_and_in_every_thread() -> None:
    ids = [book_id(number, "Cooking", 7) for number in range(24)]

    def pixels(identity: str) -> bytes:
        return draw_cover(identity, "Cooking", 7).tobytes()

    alone = [pixels(identity) for identity in ids]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(pixels, ids)) == alone
    assert len(set(alone)) == len(ids)
    assert draw_cover(ids[0], "Travel", 7).tobytes() != alone[0]
    assert draw_cover(ids[0], "Cooking", 8).tobytes() != alone[0]


def test_covers_of_one_category_resemble_each_other() -> None:
    def mean_colours(category: str) -> np.ndarray:
        covers = (draw_cover(book_id(number, category, 7), category, 7, (50, 75)) for number in range(40))
        return np.stack([np.asarray(cover, dtype=float).mean(axis=(0, 1)) for cover in covers])

    dark, light, yellow = (mean_colours(name) for name in ("Computers", "Health & Fitness", "Juvenile Fiction"))
    for one, other in ((dark, light), (dark, yellow), (light, yellow)):
        assert np.linalg.norm(one.mean(axis=0) - other.mean(axis=0)) > 30
        nearer_own = np.linalg.norm(one - one.mean(axis=0), axis=1) < np.linalg.norm(one - other.mean(axis=0), axis=1)
        assert 0.6 < nearer_own.mean() < 1, "a hint, not a label"


@pytest.mark.parametrize("size", [(200, 300), (61, 87), (8, 8), (400, 600)])
def test_a_cover_has_the_size_asked_for(size: tuple[int, int]) -> None:
    for number, category in enumerate((*CATEGORIES, "no such category")):
        cover = draw_cover(f"any text {number}", category, 1, size)
        assert (cover.mode, cover.size) == ("RGB", size)


def test_cover_files_are_of_real_sizes() -> None:
    ids = [book_id(number, CATEGORIES[number % 12], 7) for number in range(60)]
    files = {identity: cover_of(identity, 7) for identity in ids if fault_of(identity) != "identical"}
    assert 8_000 < np.mean([len(file) for file in files.values()]) < 40_000
    assert all(Image.open(io.BytesIO(file)).size == natural_size(identity) for identity, file in files.items())
    assert len({natural_size(identity) for identity in ids}) >= 3


# The server


@pytest.fixture(scope="module")
def picture() -> bytes:
    return cover_of(book_id(0, "History", 7), 7)


@pytest.fixture(scope="module")
def server(picture: bytes) -> Iterator[FaultyServer]:
    pictures = dict.fromkeys((*FAULTS, "a", "b", "c"), picture)
    with FaultyServer(pictures, dict(zip(FAULTS, FAULTS, strict=True)), stall_seconds=20) as running:
        yield running


def _get(server: FaultyServer, path: str, **options: object) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager(retries=False, timeout=5.0) as pool:
        return pool.request("GET", server.url + path, **options)  # type: ignore[arg-type]


def _image(response: urllib3.BaseHTTPResponse) -> Image.Image:
    assert response.status == 200
    return Image.open(io.BytesIO(response.data))


def test_healthy_pictures_come_as_they_are_over_one_connection(server: FaultyServer, picture: bytes) -> None:
    with urllib3.HTTPConnectionPool("127.0.0.1", int(server.url.rsplit(":", 1)[1]), retries=False, timeout=5.0) as pool:
        for path in ("/a.jpg?zoom=1", "/b", "/books/content?id=c&printsec=frontcover", f"/{NO_FAULT}.jpg"):
            response = pool.request("GET", path)
            assert (response.status, response.data, response.headers["Content-Type"]) == (200, picture, "image/jpeg")
        assert pool.num_connections == 1


def test_the_id_is_the_query_or_the_file_name() -> None:
    assert image_id_of("/books/content?id=IjvHQsCn_pgC&printsec=frontcover&img=1") == "IjvHQsCn_pgC"
    assert image_id_of("/images/I/51UJnL3Tx6L.jpg") == "51UJnL3Tx6L"
    assert image_id_of("/moved/a%20b.jpg") == "a b"


@pytest.mark.parametrize(("path", "status"), [("/not-found.jpg", 404), ("/error-always.jpg", 500), ("/unknown.jpg", 404)])
def test_errors_stay_errors(server: FaultyServer, path: str, status: int) -> None:
    assert [_get(server, path).status for _ in range(3)] == [status] * 3


@pytest.mark.parametrize(("fault", "status"), [("error-once", 500), ("throttled-once", 429)])
def test_a_retry_cures_what_happens_once(picture: bytes, fault: str, status: int) -> None:
    with FaultyServer({"x": picture}, {"x": fault}) as fresh:
        assert _get(fresh, "/x.jpg").status == status
        assert _get(fresh, "/x.jpg").data == picture
        assert fresh.requests["x"] == 2


def test_a_dropped_connection_is_cured_by_a_retry(picture: bytes) -> None:
    with FaultyServer({"x": picture}, {"x": "dropped-once"}) as fresh:
        with pytest.raises(urllib3.exceptions.ProtocolError):
            _get(fresh, "/x.jpg")
        assert _get(fresh, "/x.jpg").data == picture


def test_slow_pictures_come_and_stalled_ones_do_not(server: FaultyServer, picture: bytes) -> None:
    assert _get(server, "/slow.jpg").data == picture
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        _get(server, "/stalled.jpg", timeout=0.5)


def test_a_truncated_body_is_shorter_than_announced(server: FaultyServer, picture: bytes) -> None:
    with pytest.raises(urllib3.exceptions.ProtocolError, match="IncompleteRead"):
        _get(server, "/truncated.jpg")


def test_damaged_empty_and_html_bodies_are_whole_responses_but_no_pictures(server: FaultyServer, picture: bytes) -> None:
    damaged = _get(server, "/damaged.jpg")
    assert damaged.data == picture[: len(picture) // 2]
    with pytest.raises(OSError, match="truncated"):
        _image(damaged).load()
    assert _get(server, "/empty.jpg").data == b""
    page = _get(server, "/html-as-jpeg.jpg")
    assert (page.status, page.headers["Content-Type"], page.data[:15]) == (200, "image/jpeg", b"<!DOCTYPE html>")


def test_a_redirect_leads_to_the_picture_and_a_loop_nowhere(server: FaultyServer, picture: bytes) -> None:
    moved = _get(server, "/redirected.jpg", redirect=False)
    assert (moved.status, moved.headers["Location"]) == (302, "/moved/redirected.jpg")
    assert _get(server, "/redirected.jpg", retries=urllib3.Retry(3)).data == picture
    with pytest.raises(urllib3.exceptions.MaxRetryError, match="too many redirects"):
        _get(server, "/redirect-loop.jpg", retries=urllib3.Retry(3))


def test_a_picture_of_too_many_pixels_is_a_small_file(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever has decoded an image in this process before has taken Pillow's limit away.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 90_000_000)
    response = _get(server, "/too-many-pixels.jpg")
    assert len(response.data) < 100_000
    with pytest.warns(Image.DecompressionBombWarning):
        assert _image(response).size == (12_000, 9_000)


def test_huge_png_is_a_valid_file() -> None:
    image = Image.open(io.BytesIO(huge_png(30, 20)))
    assert (image.size, image.getextrema()) == ((30, 20), (0, 0))


def test_a_body_of_too_many_bytes_does_not_say_its_length(server: FaultyServer) -> None:
    response = _get(server, "/too-many-bytes.jpg", preload_content=False)
    assert "Content-Length" not in response.headers
    received = sum(len(part) for part, _ in zip(response.stream(65536), range(200), strict=False))
    response.close()
    assert received > 10_000_000


@pytest.mark.parametrize(("fault", "form", "mode"), [("png-alpha", "PNG", "RGBA"), ("cmyk-jpeg", "JPEG", "CMYK"), ("gif", "GIF", "P")])
def test_odd_pictures_decode(server: FaultyServer, picture: bytes, fault: str, form: str, mode: str) -> None:
    image = _image(_get(server, f"/{fault}.jpg"))
    assert (image.format, image.mode, image.size) == (form, mode, Image.open(io.BytesIO(picture)).size)
    image.load()
    if fault == "png-alpha":
        assert image.getchannel("A").getextrema() == (0, 255)


def test_a_fault_that_does_not_exist_is_refused_at_once(picture: bytes) -> None:
    with pytest.raises(KeyError, match="no-such-fault"):
        FaultyServer({"x": picture}, {"x": "no-such-fault"})


def test_the_server_is_gone_after_its_block(picture: bytes) -> None:
    with FaultyServer({"x": picture}) as fresh:
        url = fresh.url
    with pytest.raises(urllib3.exceptions.NewConnectionError), urllib3.PoolManager(retries=False) as pool:
        pool.request("GET", url)
    with pytest.raises(RuntimeError):
        _ = fresh.url


def test_about_five_percent_of_the_demos_pictures_fail() -> None:
    faults = Counter(fault_of(book_id(number, "Fiction", 7)) for number in range(20_000))
    failing = sum(count for name, count in faults.items() if name in FAILURES)
    assert 0.04 < failing / 20_000 < 0.06
    assert 0.04 < 1 - (failing + faults[NO_FAULT]) / 20_000 < 0.1
    assert set(faults) >= set(FAULTS) - {"stalled"}
    assert "stalled" not in {fault_of(book.id) for book in catalogue(classes=12, per_class=100, seed=7)}, "the default demo is quick"


def test_cover_server_draws_what_the_catalogue_names() -> None:
    books = {book.id: book for book in catalogue(classes=3, per_class=60, seed=7) if book.image}
    by_fault: dict[str, list[str]] = {}
    for identity in books:
        by_fault.setdefault(fault_of(identity), []).append(identity)
    with CoverServer(seed=7) as server:
        for identity in by_fault[NO_FAULT][:5]:
            response = _get(server, books[identity].image.removeprefix(IMAGE_HOST))
            assert response.data == cover_of(identity, 7)
        assert _get(server, f"/{by_fault['not-found'][0]}.jpg").status == 404
        assert _get(server, "/not-an-id.jpg").status == 404


def test_identical_pictures_are_shared_within_a_category() -> None:
    ids = [identity for number in range(2000) if fault_of(identity := book_id(number, "Poetry", 7)) == "identical"]
    assert len(ids) > 2
    assert len({cover_of(identity, 7) for identity in ids}) == 1


def test_many_threads_are_served_at_once() -> None:
    ids = [identity for number in range(300) if fault_of(identity := book_id(number, "Science", 7)) == NO_FAULT][:120]
    with CoverServer() as server, urllib3.PoolManager(maxsize=32, block=True, retries=False, timeout=20.0) as pool, ThreadPoolExecutor(32) as threads:
        files = list(threads.map(lambda identity: pool.request("GET", f"{server.url}/{identity}.jpg").data, ids))
    assert files == [cover_of(identity, 7) for identity in ids]
