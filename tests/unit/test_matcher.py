"""Which jobs fit an offer, need by need, and how many of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central.matching.matcher import Free, distance, failures, fits, granted, room
from pilot.protocol import UNLIMITED, Gpu, Platform
from tests.unit.matching_scene import GB, HOUR, drawn_needs, drawn_offers, drawn_tasks, needs, offer, task

X86 = Platform("x86_64", 3, (2, 28))

# name, needs, offer, the needs that are missed
ROWS: list[tuple[str, dict[str, Any], dict[str, Any], set[str]]] = [
    ("the default needs fit a roomy node", {}, {}, set()),
    ("as many cores as are free", {"cores": 8}, {"cores": 8}, set()),
    ("one core too many", {"cores": 9, "max_cores": 9}, {"cores": 8}, {"cores"}),
    ("a range needs only its least", {"cores": 2, "max_cores": 64}, {"cores": 2}, set()),
    ("a range whose least is not free", {"cores": 4, "max_cores": 8}, {"cores": 3}, {"cores"}),
    ("amounts are compared as numbers: 9 GB is less than 16 GB", {"memory": 9 * GB}, {"memory": 16 * GB}, set()),
    ("exactly the memory", {"memory": 16 * GB}, {"memory": 16 * GB}, set()),
    ("a byte too much", {"memory": 16 * GB + 1}, {"memory": 16 * GB}, {"memory"}),
    ("memory and memory per core add up", {"memory": 2, "memory_per_core": 3, "cores": 2}, {"memory": 8}, set()),
    ("and are one byte short", {"memory": 2, "memory_per_core": 3, "cores": 2}, {"memory": 7}, {"memory"}),
    ("a range is content with memory for its least", {"memory_per_core": 4, "max_cores": 8}, {"memory": 4}, set()),
    ("unlimited memory meets any need", {"memory": 10**15}, {"memory": UNLIMITED}, set()),
    ("unknown memory meets no stated need", {"memory": 1}, {"memory": None}, {"memory"}),
    ("no memory asked for states nothing", {"memory": 0}, {"memory": None}, set()),
    ("enough scratch", {"disk": 100 * GB}, {"disk": 100 * GB}, set()),
    ("too little scratch", {"disk": 101 * GB}, {"disk": 100 * GB}, {"disk"}),
    ("unknown scratch meets no stated need", {"disk": 1}, {"disk": None}, {"disk"}),
    ("no scratch asked for states nothing", {"disk": 0}, {"disk": None}, set()),
    ("unlimited scratch", {"disk": 10**15}, {"disk": UNLIMITED}, set()),
    ("the last second is enough", {"wall_time": HOUR}, {"seconds_left": HOUR}, set()),
    ("a second short", {"wall_time": HOUR}, {"seconds_left": HOUR - 1}, {"wall_time"}),
    ("wall time is always stated", {}, {"seconds_left": None}, {"wall_time"}),
    ("no end of life", {"wall_time": 400 * 24 * HOUR}, {"seconds_left": UNLIMITED}, set()),
    ("a GPU", {"gpus": 1}, {"gpus": (Gpu("a"),)}, set()),
    ("too few GPUs", {"gpus": 2}, {"gpus": (Gpu("a"),)}, {"gpus"}),
    ("GPUs with the memory", {"gpus": 1, "gpu_memory": 8}, {"gpus": (Gpu("a", 4), Gpu("b", 8))}, set()),
    ("too small GPUs do not count", {"gpus": 2, "gpu_memory": 8}, {"gpus": (Gpu("a", 4), Gpu("b", 8))}, {"gpus"}),
    ("a GPU of unknown memory", {"gpus": 1, "gpu_memory": 1}, {"gpus": (Gpu("a"),)}, {"gpus"}),
    ("a whole node that is empty", {"whole_node": True}, {}, set()),
    ("a whole node where something runs", {"whole_node": True}, {"empty": False}, {"whole_node"}),
    ("a whole node's memory is for all its cores", {"whole_node": True, "memory_per_core": 3 * GB}, {}, {"memory"}),
    ("a site that is named", {"sites": ("here", "there")}, {}, set()),
    ("a site that is not named", {"sites": ("there",)}, {}, {"sites"}),
    ("a site that is excluded", {"not_sites": ("here",)}, {}, {"sites"}),
    ("a site that is not excluded", {"not_sites": ("there",)}, {}, set()),
    ("the same architecture", {"platform": Platform("x86_64")}, {"platform": X86}, set()),
    ("another architecture", {"platform": Platform("aarch64")}, {"platform": X86}, {"platform"}),
    ("an unknown architecture", {"platform": Platform("x86_64")}, {"platform": Platform()}, {"platform"}),
    ("a later micro-architecture", {"platform": Platform(microarch=2)}, {"platform": X86}, set()),
    ("an earlier micro-architecture", {"platform": Platform(microarch=4)}, {"platform": X86}, {"platform"}),
    ("a later glibc: 2.28 is after 2.9", {"platform": Platform(glibc=(2, 9))}, {"platform": X86}, set()),
    ("an earlier glibc", {"platform": Platform(glibc=(2, 34))}, {"platform": X86}, {"platform"}),
    ("no platform asked for", {}, {"platform": Platform()}, set()),
    ("isolation that is proved", {"isolation": True}, {"isolation": True}, set()),
    ("isolation that is not", {"isolation": True}, {}, {"isolation"}),
    ("another community", {}, {"communities": ("d",)}, {"community"}),
    ("one of several communities", {}, {"communities": ("b", "c")}, set()),
    ("an empty list of communities means nobody", {}, {"communities": ()}, {"community"}),
    ("a tag that is there", {"tags": "a"}, {"tags": ("a",)}, set()),
    ("a tag that is not", {"tags": "a"}, {}, {"tags"}),
    ("a tag that must not be", {"tags": "~a"}, {"tags": ("a",)}, {"tags"}),
    ("nobody mentions the tag: it is absent", {"tags": "~a"}, {}, set()),
    ("the probe failed: the tag does not hold", {"tags": "a"}, {"unknown_tags": ("a",)}, {"tags"}),
    ("the probe failed: nor does its negation", {"tags": "~a"}, {"unknown_tags": ("a",)}, {"tags"}),
    ("one of two is enough", {"tags": "a | b"}, {"tags": ("b",), "unknown_tags": ("a",)}, set()),
    ("a tag that the place requires", {"tags": "a & b"}, {"tags": ("a", "b"), "required_tags": ("a",)}, set()),
    ("a place that requires a tag", {}, {"tags": ("a",), "required_tags": ("a",)}, {"required_tags"}),
    (
        "naming it as a choice is not enough",
        {"tags": "a | b"},
        {"tags": ("a",), "required_tags": ("a",)},
        {"required_tags"},
    ),
    ("everything at once", {"cores": 9, "disk": 1, "sites": ("x",)}, {"disk": None}, {"cores", "disk", "sites"}),
]


@pytest.mark.parametrize(("asked", "offered", "missed"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_need_is_met_or_named(asked: dict[str, Any], offered: dict[str, Any], missed: set[str]) -> None:
    """Each need that an offer does not meet is named, and no other."""
    queue, node = task(**asked), offer(**offered)
    assert {miss.need for miss in failures(queue, node)} == missed
    assert fits(queue, node) == (not missed)


# Which of these queues each offer would serve.
TABLES: list[tuple[str, list[dict[str, Any]], list[tuple[dict[str, Any], set[int]]]]] = [
    (
        "sites",
        [{"sites": ("cern",)}, {"sites": ("lyon",)}, {"sites": ("cern", "lyon")}, {}],
        [({"site": "cern"}, {0, 2, 3}), ({"site": "lyon"}, {1, 2, 3}), ({"site": "rome"}, {3})],
    ),
    (
        "sites to keep away from",
        [{"not_sites": ("cern", "lyon")}, {"not_sites": ("lyon", "test")}],
        [({"site": "rome"}, {0, 1}), ({"site": "test"}, {0}), ({"site": "cern"}, {1}), ({"site": "lyon"}, set())],
    ),
    (
        "platforms",
        [
            {"platform": Platform("x86_64")},
            {"platform": Platform("aarch64")},
            {"platform": Platform("x86_64", glibc=(2, 34))},
            {"platform": Platform(microarch=3)},
            {},
        ],
        [
            ({"platform": Platform("x86_64", 3, (2, 36))}, {0, 2, 3, 4}),
            ({"platform": Platform("x86_64", 2, (2, 28))}, {0, 4}),
            ({"platform": Platform("aarch64", None, (2, 36))}, {1, 4}),
            ({"platform": Platform("riscv64")}, {4}),
            ({"platform": Platform()}, {4}),
        ],
    ),
    (
        "tags, and places that require one",
        [{"tags": "mp"}, {"tags": "sp"}, {"tags": "sp & mp"}, {"tags": "mp & gpu"}, {}, {"tags": "mp & big"}],
        [
            ({}, {4}),
            ({"tags": ("mp",)}, {0, 4}),
            ({"tags": ("mp", "gpu")}, {0, 3, 4}),
            ({"tags": ("mp",), "required_tags": ("mp",)}, {0}),
            ({"tags": ("mp", "gpu"), "required_tags": ("mp",)}, {0, 3}),
            ({"tags": ("mp", "big"), "required_tags": ("mp",)}, {0, 5}),
            ({"required_tags": ("mp",)}, set()),
        ],
    ),
    (
        "tags and platforms",
        [
            {"platform": Platform("x86_64")},
            {"tags": "mp"},
            {"platform": Platform("x86_64"), "tags": "mp"},
            {"platform": Platform("aarch64"), "tags": "mp"},
        ],
        [
            ({"platform": Platform("x86_64")}, {0}),
            ({"platform": Platform("x86_64"), "tags": ("mp",)}, {0, 1, 2}),
            ({"platform": Platform("aarch64"), "tags": ("mp",)}, {1, 3}),
        ],
    ),
    (
        "time left",
        [{"wall_time": 5000}, {"wall_time": 50_000}, {"wall_time": 300_000}],
        [({"seconds_left": 10}, set()), ({"seconds_left": 50_000}, {0, 1}), ({"seconds_left": 300_000}, {0, 1, 2})],
    ),
]


@pytest.mark.parametrize(("queues", "offers"), [table[1:] for table in TABLES], ids=[table[0] for table in TABLES])
def test_offers_tell_queues_apart(queues: list[dict[str, Any]], offers: list[tuple[dict[str, Any], set[int]]]) -> None:
    """Of a set of queues each offer serves exactly those that it meets."""
    for offered, expected in offers:
        served = {number for number, asked in enumerate(queues) if fits(task(**asked), offer(**offered))}
        assert served == expected, offered


@pytest.mark.parametrize(
    ("asked", "offered", "sentence"),
    [
        ({"cores": 1000, "max_cores": 1000}, {"cores": 8}, "asks for 1,000 cores and finds 8 cores"),
        ({"cores": 2}, {"cores": 1}, "asks for 2 cores and finds 1 core"),
        ({"memory": 2 * GB}, {"memory": GB}, "asks for 2.0 GB of memory and finds 1.0 GB"),
        ({"memory": 2 * GB + 1}, {"memory": 2 * GB},
         "asks for 2,000,000,001 bytes of memory and finds 2,000,000,000 bytes"),
        ({"memory": GB}, {"memory": None}, "asks for 1.0 GB of memory and finds an unknown amount"),
        ({"wall_time": 2 * HOUR}, {"seconds_left": 600}, "asks for 2h of wall time and finds 10m"),
        ({"gpus": 2, "gpu_memory": GB}, {}, "asks for 2 GPUs with 1.0 GB and finds 0 GPUs with 1.0 GB"),
        ({"tags": "gpu & ~slow & new"}, {"tags": ("slow",), "unknown_tags": ("new",)},
         "asks for the tags gpu & new & ~slow and finds gpu absent, new unknown, slow present"),
        ({"tags": "a | b"}, {}, "asks for the tags a | b and finds not (a | b)"),
        ({"sites": ("x", "y")}, {}, "asks for site x or y and finds here"),
        ({"not_sites": ("here",)}, {}, "asks for any site but here and finds here"),
        ({"platform": Platform("aarch64", glibc=(2, 40))}, {"platform": X86},
         "asks for aarch64, glibc 2.40 or later and finds x86_64, glibc 2.28"),
        ({}, {"communities": ("d",)}, "asks for a pilot for c and finds one for d"),
        ({}, {"required_tags": ("vip",)}, "asks for entry to all and finds a place for jobs alone that ask for vip"),
        ({"whole_node": True}, {"empty": False}, "asks for the whole node and finds other work or agents on it"),
    ],
)  # fmt: skip
def test_a_miss_is_a_sentence(asked: dict[str, Any], offered: dict[str, Any], sentence: str) -> None:
    """What is asked and what is there are told in the units that people use."""
    assert [str(miss) for miss in failures(task(**asked), offer(**offered))] == [sentence]


def test_less_is_missing_nearer_to_a_fit() -> None:
    """A miss by little is nearer than one by much, and one need nearer than two."""
    little, much = offer(cores=7), offer(cores=1)
    both = offer(cores=7, memory=None)
    asked = task(cores=8, memory=1)
    order = sorted([both, much, little], key=lambda one: distance(failures(asked, one)))
    assert order == [little, much, both]


@pytest.mark.parametrize(
    ("asked", "offered", "cores"),
    [
        ({"cores": 2, "max_cores": 2}, {}, 2),
        ({"cores": 2}, {}, 2),  # a most below the least counts as the least
        ({"cores": 2, "max_cores": 4}, {}, 4),
        ({"cores": 2, "max_cores": 64}, {}, 8),
        ({"max_cores": 64, "memory_per_core": 4 * GB}, {}, 4),
        ({"max_cores": 64, "memory": 5 * GB, "memory_per_core": 4 * GB}, {}, 2),
        ({"max_cores": 64, "memory_per_core": 4 * GB}, {"memory": UNLIMITED}, 8),
        ({"whole_node": True, "max_cores": 65_536}, {}, 8),
    ],
)
def test_a_job_gets_the_cores_that_it_can_use(asked: dict[str, Any], offered: dict[str, Any], cores: int) -> None:
    """Of a range as many as are free, but never more than there is memory for."""
    assert granted(needs(**asked), Free.of(offer(**offered))) == cores


@pytest.mark.parametrize(
    ("asked", "offered", "jobs"),
    [
        ({}, {}, 8),
        ({"cores": 3}, {}, 2),
        ({"memory": 3 * GB}, {}, 5),
        ({"disk": 40 * GB}, {}, 2),
        ({"memory": GB}, {"memory": UNLIMITED, "disk": UNLIMITED}, 8),
        ({"max_cores": 3}, {}, 2),
        ({"gpus": 1, "gpu_memory": 4}, {"gpus": (Gpu("a", 4), Gpu("b", 2), Gpu("c", 8))}, 2),
        ({"whole_node": True}, {}, 1),
        ({"whole_node": True}, {"empty": False}, 0),
        ({"cores": 9}, {}, 0),
    ],
)
def test_room_counts_the_jobs_that_an_offer_holds(asked: dict[str, Any], offered: dict[str, Any], jobs: int) -> None:
    """The scarcest amount decides how many jobs of one kind go into an offer."""
    assert room(needs(**asked), Free.of(offer(**offered))) == jobs


def test_gpus_are_given_smallest_first() -> None:
    """A job that asks for little GPU memory leaves the large GPU to one that needs it."""
    free = Free.of(offer(gpus=(Gpu("large", 80), Gpu("small", 8))))
    free.take(needs(gpus=1, gpu_memory=4), 1, 1)
    assert room(needs(gpus=1, gpu_memory=40), free) == 1


def test_what_is_left_of_an_offer_keeps_what_was_not_a_number() -> None:
    """Unlimited stays unlimited and unknown unknown, whatever is taken."""
    node = offer(memory=UNLIMITED, disk=None, cores=4)
    free = Free.of(node)
    free.take(needs(memory=GB), 1, 3)
    left = free.left_of(node)
    assert (left.cores, left.memory, left.disk, left.empty) == (1, UNLIMITED, None, False)


@given(drawn_tasks(1, 1), drawn_offers())
def test_fitting_is_failing_nothing(tasks: list[Any], node: Any) -> None:
    """The fast answer and the sentences never disagree."""
    assert fits(tasks[0], node) == (failures(tasks[0], node) == ())


@given(drawn_needs(), drawn_offers(), st.integers(1, 4))
def test_as_many_as_there_is_room_for_can_be_taken(asked: Any, node: Any, most: int) -> None:
    """Taking what there is room for leaves nothing negative; after all of it there is no room for one more as large."""
    free = Free.of(node)
    count, cores = room(asked, free), granted(asked, free)
    if count == 0:
        return
    gpus = len(free.gpus)
    taken = min(most, count)
    free.take(asked, cores, taken)
    assert min(free.cores, free.memory, free.disk) >= 0
    assert len(free.gpus) == (0 if asked.whole_node else gpus - taken * asked.gpus)
    if taken == count and not asked.whole_node:
        assert granted(asked, free) < cores or room(asked, free) == 0


@settings(max_examples=50)
@given(drawn_needs(), drawn_offers(), drawn_offers())
def test_what_lies_within_an_offer_holds_no_more(asked: Any, small: Any, large: Any) -> None:
    """When one set of amounts lies within another, whatever it holds the other holds."""
    inside, outside = Free.of(small), Free.of(large)
    if inside.within(outside):
        assert room(asked, inside) == 0 or room(asked, outside) > 0


def test_distance_of_a_fit_is_the_least() -> None:
    """Nothing missed is nearest of all."""
    assert distance(()) < distance(failures(task(cores=9), offer()))
    assert math.isclose(distance(failures(task(cores=16, max_cores=16), offer(cores=8)))[1], 0.5)
