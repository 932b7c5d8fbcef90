"""Who goes next among the batches that wait for tokens of one quota; rules without a clock or a wire.

Priority first, then the namespace with the least reserved, then age. Nobody overtakes one that doesn't fit, unless that one
waits only because its own gateway's limit is the smaller one: a small number slows down whoever wrote it, and nobody else.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from llmbatch.runtime.queue import Key


@dataclass(frozen=True)
class Waiting:
    """A batch in line."""

    job: Key
    batch: int
    """Its place among the job's batches."""
    tokens: int
    """Estimated."""
    priority: int
    created: str
    """When the job was made, RFC 3339."""
    gateway: Key


@dataclass(frozen=True)
class Place:
    """A place in line."""

    position: int
    """From 1."""
    ahead_tokens: int


def in_order(waiting: Iterable[Waiting], reserved: Mapping[str, int]) -> Iterator[Waiting]:
    """Give the batches in the order in which they are to go.

    Args:
        waiting: Those of one quota group.
        reserved: Tokens that each namespace has reserved.
    """
    taken = dict(reserved)
    by_priority: dict[int, dict[str, list[Waiting]]] = {}
    for item in waiting:
        by_priority.setdefault(item.priority, {}).setdefault(item.job.namespace, []).append(item)
    for priority in sorted(by_priority, reverse=True):
        lines = {name: deque(sorted(items, key=_age)) for name, items in by_priority[priority].items()}
        heap = [(taken.get(name, 0), _age(line[0]), name) for name, line in lines.items()]
        heapq.heapify(heap)
        while heap:
            _, _, name = heapq.heappop(heap)
            item = lines[name].popleft()
            yield item
            taken[name] = taken.get(name, 0) + item.tokens
            if lines[name]:
                heapq.heappush(heap, (taken[name], _age(lines[name][0]), name))


def admitted(
    ordered: Iterable[Waiting],
    reserved: int,
    limit_of: Callable[[Key], int],
    highest: int,
    held_by: Callable[[Key], int] = lambda _: 0,
) -> list[Waiting]:
    """Give the batches that may go now.

    Args:
        ordered: Those of one quota group, in their order; no more of them is taken than need be.
        reserved: Tokens that the whole group has reserved.
        limit_of: What a gateway goes by, in tokens; 0: none of its batches may go.
        highest: The highest of these limits.
        held_by: Tokens that a gateway keeps for others of its batches, which go first; they hold back no other gateway's.
    """
    found: list[Waiting] = []
    blocked = 0
    for item in ordered:
        limit, held = limit_of(item.gateway), held_by(item.gateway)
        if limit - held <= blocked:
            continue
        if fits(reserved + held, item.tokens, limit):
            found.append(item)
            reserved += item.tokens
        else:
            blocked = limit - held
        if blocked >= highest:
            break
    return found


def fits(reserved: int, tokens: int, limit: int) -> bool:
    """Tell whether so many tokens more may go; with nothing at the provider, it alone can say that it is too much."""
    return reserved == 0 or reserved + tokens <= limit


def place_among(asking: Waiting, waiting: Iterable[Waiting]) -> Place:
    """Give a batch's place by priority and age, as if all namespaces had reserved the same; without putting them in order."""
    own = rank(asking)
    before = [item.tokens for item in waiting if rank(item) < own]
    return Place(len(before) + 1, sum(before))


def rank(item: Waiting) -> tuple[int, tuple[str, Key, int]]:
    """Give the order among those of one namespace."""
    return -item.priority, _age(item)


def _age(item: Waiting) -> tuple[str, Key, int]:
    return item.created, item.job, item.batch
