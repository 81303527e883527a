"""Queues, offers and needs for tests of matching: plain ones, and strategies that draw small ones that often meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from central.records import TaskQueue, Waiting
from pilot import tags
from pilot.protocol import UNLIMITED, Gpu, Needs, Offer, Platform

GB = 10**9
HOUR = 3600


def needs(**fields: Any) -> Needs:
    """Needs of one core for an hour, but for what the test names."""
    return Needs(**{"wall_time": HOUR, **fields})


def offer(**fields: Any) -> Offer:
    """A roomy node of community c at site here, but for what the test names."""
    plain = {
        "site": "here",
        "queue": "q",
        "cores": 8,
        "memory": 16 * GB,
        "disk": 100 * GB,
        "seconds_left": 24 * HOUR,
        "communities": ("c",),
    }
    return Offer(**{**plain, **fields})


def task(id: int = 1, community: str = "c", owner: str = "o", **fields: Any) -> TaskQueue:
    """A task queue whose needs are plain but for the fields named."""
    return TaskQueue(id, community, "g", owner, needs(**fields))


def waiting(queue: TaskQueue, count: int = 1, priority: int = 5, oldest: int | None = None) -> Waiting:
    return Waiting(queue, {priority: count}, queue.id * 1000 if oldest is None else oldest)


# -- strategies: few values, so that needs and offers meet as often as they miss --------------------------------------

_amounts = st.sampled_from([0, 1, 2, 3, 5, 8])
_offered = st.one_of(st.none(), st.just(UNLIMITED), st.integers(-1, 12))
_tags = st.sampled_from(["a", "b", "c"])
_tag_sets = st.lists(_tags, unique=True, max_size=3).map(tuple)
_expressions = st.sampled_from(["a", "~a", "b", "a & b", "a | b", "a & ~b", "~a & ~c", "a & (b | ~c)", "~(a | b)"]).map(
    tags.canonical
)
_sites = st.sampled_from(["s1", "s2", "s3"])
_platforms = st.builds(
    Platform,
    arch=st.sampled_from([None, "x86_64", "aarch64"]),
    microarch=st.sampled_from([None, 1, 3]),
    glibc=st.sampled_from([None, (2, 28), (2, 34)]),
)


@st.composite
def drawn_needs(draw: st.DrawFn) -> Needs:
    cores = draw(st.integers(1, 4))
    return Needs(
        cores=cores,
        max_cores=draw(st.sampled_from([1, cores, cores + 2, 16])),
        whole_node=draw(st.sampled_from([False, False, False, True])),
        memory=draw(_amounts),
        memory_per_core=draw(st.sampled_from([0, 0, 1, 2])),
        disk=draw(_amounts),
        gpus=draw(st.sampled_from([0, 0, 1, 2])),
        gpu_memory=draw(st.sampled_from([0, 2, 5])),
        wall_time=draw(st.integers(0, 8)),
        tags=draw(st.one_of(st.just(""), _expressions)),
        sites=draw(st.one_of(st.none(), st.lists(_sites, unique=True, min_size=1).map(tuple))),
        not_sites=draw(st.one_of(st.just(()), st.lists(_sites, unique=True, max_size=1).map(tuple))),
        platform=draw(st.one_of(st.just(Platform()), _platforms)),
        isolation=draw(st.sampled_from([False, False, True])),
    )


@st.composite
def drawn_offers(draw: st.DrawFn) -> Offer:
    return Offer(
        site=draw(_sites),
        queue="q",
        cores=draw(st.integers(-1, 10)),
        memory=draw(_offered),
        disk=draw(_offered),
        gpus=tuple(draw(st.lists(st.builds(Gpu, st.just("g"), st.sampled_from([None, 2, 8])), max_size=3))),
        seconds_left=draw(_offered),
        platform=draw(_platforms),
        tags=draw(_tag_sets),
        unknown_tags=draw(st.one_of(st.just(()), _tag_sets)),
        required_tags=draw(st.one_of(st.just(()), st.just(()), _tag_sets)),
        communities=draw(st.sampled_from([("c",), ("c",), ("c", "d"), ("d",), ()])),
        owners=draw(st.sampled_from([None, None, None, (), ("o1", "o3", "o5"), ("o2",)])),
        isolation=draw(st.booleans()),
        empty=draw(st.booleans()),
    )


@st.composite
def drawn_tasks(draw: st.DrawFn, least: int = 1, most: int = 8) -> list[TaskQueue]:
    number = draw(st.integers(least, most))
    return [
        TaskQueue(id, draw(st.sampled_from("cd")), "g", f"o{id}", draw(drawn_needs())) for id in range(1, number + 1)
    ]
