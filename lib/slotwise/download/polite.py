"""A thread pool that keeps few connections to each host and never lets a busy host hold up the others."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# How many items are looked through for one whose host is free, in items per thread.
_AHEAD = 8


def map_politely(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    host: Callable[[Item], str],
    *,
    threads: int,
    per_host: int,
) -> Iterator[tuple[Item, Result]]:
    """Yields each item with `work(item)` as it finishes, at most `per_host` at a time of one host.

    Items are taken from the iterable as threads come free, so that memory holds a few of them per thread.
    An exception of `work` is raised here.
    """
    source = iter(items)
    waiting: deque[Item] = deque()
    busy: Counter[str] = Counter()
    done: SimpleQueue[tuple[Item, Future[Result]]] = SimpleQueue()
    running = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="fetch") as pool:
        while True:
            while running < threads and (item := _next(waiting, source, busy, host, per_host, threads * _AHEAD)) is not None:
                busy[host(item)] += 1
                running += 1
                pool.submit(work, item).add_done_callback(lambda future, item=item: done.put((item, future)))  # type: ignore[misc]
            if not running:
                return
            item, future = done.get()
            running -= 1
            busy[host(item)] -= 1
            yield item, future.result()


def _next(waiting: deque[Item], source: Iterator[Item], busy: Counter[str], host: Callable[[Item], str], per_host: int, ahead: int) -> Item | None:
    """The first item whose host has room, among those set back and the next ones of the source."""
    for position, item in enumerate(waiting):
        if busy[host(item)] < per_host:
            del waiting[position]
            return item
    while len(waiting) < ahead:
        try:
            item = next(source)
        except StopIteration:
            return None
        if busy[host(item)] < per_host:
            return item
        waiting.append(item)
    return None
