"""Making the next batch while the network is busy with this one."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")
B = TypeVar("B")


def ahead(items: Iterable[T], make: Callable[[T], B]) -> Iterator[tuple[T, B]]:
    """Each item with what is made of it; the next is made in a thread meanwhile.

    Decoding pictures and reading kept features take time in which the network could run. At most
    one result waits, so memory stays flat.

    Args:
        items: The items, in order.
        make: Makes something of an item; it neither runs a network nor draws random numbers.

    Yields:
        Items and results in the items' order. What `make` raises is raised in its turn.
    """
    with ThreadPoolExecutor(1) as thread:
        waiting = None
        for item in items:
            soon = item, thread.submit(make, item)
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = soon
        if waiting is not None:
            yield waiting[0], waiting[1].result()
