"""The demo: a drawn catalogue in the Amazon Books layout, and a server that gives out its covers with real faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from slotwise import storage
from slotwise.errors import UsageError
from slotwise.settings.prepare import PrepareSettings


def check(settings: PrepareSettings) -> None:
    """Refuses what the demo cannot do; `settings` are resolved.

    Raises:
        UsageError: there is an input, classes are named, or there are more of them than the demo has categories.
    """
    from slotwise.sources.demo.categories import CATEGORIES

    if settings.input is not None:
        raise UsageError("The demo draws its own input", received=f"--source demo --input {settings.input}", accepted="--source covers, cifar10, fashion-mnist or folder with an --input")
    if settings.class_pattern:
        raise UsageError("The demo chooses its classes by their number", received=f"--class-pattern {' '.join(settings.class_pattern)}", accepted=f"--classes from 2 to {len(CATEGORIES)}")
    if settings.classes is not None and settings.classes > len(CATEGORIES):
        raise UsageError(f"The demo has {len(CATEGORIES)} classes", received=f"--classes {settings.classes}", accepted=f"a whole number from 2 to {len(CATEGORIES)}")


@contextmanager
def served(settings: PrepareSettings, host: str) -> Iterator[PrepareSettings]:
    """While inside, the demo's covers can be fetched from `host`; yields settings that say from where.

    Args:
        settings: resolved, with source `demo`.
        host: this machine's address, as executors reach it.
    """
    from slotwise.sources.demo.books import IMAGE_HOST, write_catalogue
    from slotwise.sources.demo.server import CoverServer

    assert settings.dataset is not None
    assert settings.classes is not None
    assert settings.per_class is not None
    name = f"books-{settings.classes}-{settings.per_class}-{settings.seed}.csv.gz"
    books = storage.join(storage.parent(settings.dataset), ".demo", name)
    write_catalogue(books, classes=settings.classes, per_class=settings.per_class, seed=settings.seed, overwrite=True)
    with CoverServer(seed=settings.seed, host=host) as server:
        yield settings.model_copy(update={"input": books, "mirror": [*settings.mirror, f"{IMAGE_HOST}={server.url}"]})
