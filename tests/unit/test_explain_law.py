"""The law of matching: a job is given exactly when explain finds nothing in its way, and in the order of shares."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from central.configuration.settings import Community, Group
from central.matching.limits import Limits
from central.matching.matcher import Free, failures, fits, room
from central.matching.shares import Standings
from central.matching.task_queues import TaskQueues
from central.records import Consumed, Limit, TaskQueue, Waiting
from central.store.limiting import Place, counts, demanded_tags
from pilot.protocol import Offer
from tests.unit.matching_scene import drawn_needs, drawn_offers

COMMUNITIES = (Community("c", 2.0, (Group("g", 3.0), Group("h", 1.0))), Community("d", 1.0))
_LIMITS = st.lists(
    st.builds(
        Limit,
        name=st.sampled_from(["one", "two", "three"]),
        attempts=st.just(0),
        site=st.sampled_from([None, "s1"]),
        queue=st.sampled_from([None, "q", "r"]),
        community=st.sampled_from([None, "c"]),
        group=st.sampled_from([None, "g"]),
        owner=st.sampled_from([None, "o", "p"]),
        tag=st.sampled_from([None, "a"]),
    ),
    max_size=2,
    unique_by=lambda limit: limit.name,
)


@st.composite
def drawn_waiting(draw: st.DrawFn) -> list[Waiting]:
    number = draw(st.integers(1, 8))
    ages = draw(st.permutations(range(1, number + 1)))
    return [
        Waiting(
            TaskQueue(
                id,
                draw(st.sampled_from("cd")),
                draw(st.sampled_from("gh")),
                draw(st.sampled_from("op")),
                draw(drawn_needs()),
            ),
            draw(st.dictionaries(st.sampled_from([0, 4, 5, 10]), st.integers(1, 3), min_size=1)),
            ages[id - 1] * 100,
        )
        for id in range(1, number + 1)
    ]


@st.composite
def drawn_use(draw: st.DrawFn) -> list[Consumed]:
    """What each owner has used, no two the same, so that levels tell all of them apart."""
    owners = [(community, group, owner) for community in "cd" for group in "gh" for owner in "op"]
    amounts = draw(st.permutations([10.0, 21.5, 43.7, 88.1, 177.3, 355.9, 713.3, 1427.1]))
    return [Consumed(*owner, amount, 0) for owner, amount in zip(owners, amounts, strict=True)]


def closed(queue: TaskQueue, node: Offer, limits: Sequence[Limit]) -> bool:
    """Whether one of the limits, which are all full, counts such a job there."""
    place = Place(node.site, node.queue, queue.community, queue.group, queue.owner, demanded_tags(queue.needs.tags))
    return any(counts(limit, place) for limit in limits)


def turn(row: Waiting, standings: Standings) -> tuple[object, ...]:
    """Where a queue stands among all, by the words of the design."""
    queue = row.queue
    community, group, owner = standings.standing(queue.community, queue.group, queue.owner)
    priority = max(row.counts)
    return (priority == 0, community.level, group.level, owner.level, -priority, row.oldest)


@settings(max_examples=60, deadline=None)
@given(drawn_waiting(), drawn_offers(), drawn_use(), _LIMITS)
def test_the_first_of_those_that_fail_nothing_is_chosen(
    rows: list[Waiting], node: Offer, use: list[Consumed], full: list[Limit]
) -> None:
    """A job is given exactly when no need fails and no full limit is in its way; of several, the one whose turn it is.

    When the offer is used up, nothing that is left would fit what is left of it.
    """
    standings, limits = Standings(COMMUNITIES), Limits(full)
    limits.close({limit.name: 1 for limit in full}, 0.0)
    standings.load(use, 0.0)
    made = TaskQueues(standings, limits)
    made.load(rows)
    free = [row for row in rows if not failures(row.queue, node) and not closed(row.queue, node, full)]
    for row in rows:
        assert bool(made.closed(row.queue, node)) == closed(row.queue, node, full)
    expected = min(free, key=lambda row: turn(row, standings), default=None)
    assert made.any_fits(node) == bool(free)
    one = made.choose(node, 1)
    assert [pick.queue for pick in one.picks] == ([expected.queue.id] if expected else [])
    made.settle(one, None)
    all_of_it = made.choose(node, 1000)
    left = all_of_it.free.left_of(node)
    assert not any(fits(queue, left) and not closed(queue, node, full) for queue, _ in made.queues())
    assert all_of_it.limited or not any(fits(row.queue, node) and closed(row.queue, node, full) for row in rows)


@settings(max_examples=60, deadline=None)
@given(drawn_waiting(), drawn_offers(), st.integers(0, 7))
def test_what_is_kept_is_given_to_nobody_else(rows: list[Waiting], node: Offer, which: int) -> None:
    """A place kept for a queue gives it a job first where that fits, else others get only what the job would leave."""
    made = TaskQueues()
    made.load(rows)
    queue = rows[which % len(rows)].queue
    choice = made.choose(node, 1000, kept=queue.id)
    if not failures(queue, node):
        assert choice.picks[0].queue == queue.id
        return
    free = Free.of(node)
    for pick in choice.picks:
        needs = next(row.queue.needs for row in rows if row.queue.id == pick.queue)
        for _ in range(pick.count):
            assert room(needs, free) > 0
            free.take(needs, pick.cores, 1)
    only_by_kind = not made.is_right(queue, node)
    if choice.picks and not only_by_kind and not queue.needs.whole_node:
        assert free.cores >= queue.needs.cores
    if choice.picks and not only_by_kind:
        assert not queue.needs.whole_node


@settings(max_examples=40, deadline=None)
@given(st.lists(drawn_waiting(), min_size=2, max_size=3), st.lists(drawn_offers(), min_size=1, max_size=3), drawn_use())
def test_the_order_holds_through_choices_and_arrivals(
    batches: list[list[Waiting]], nodes: list[Offer], use: list[Consumed]
) -> None:
    """Whatever was chosen, lost, added or used before, the next choice is what looking at every queue gives."""
    standings = Standings(COMMUNITIES)
    standings.load(use, 0.0)
    made = TaskQueues(standings)
    there: dict[int, Waiting] = {}
    now = 0.0
    for rows in batches:
        moved = [Waiting(_renumbered(row.queue, len(there)), row.counts, row.oldest + len(there)) for row in rows]
        there |= {row.queue.id: row for row in moved}
        made.add(moved)
        for node in nodes:
            now += 0.7
            made.advance(now)
            fitting = [row for row in there.values() if not failures(row.queue, node)]
            expected = min(fitting, key=lambda row: turn(row, standings), default=None)
            choice = made.choose(node, 1)
            assert [pick.queue for pick in choice.picks] == ([expected.queue.id] if expected else [])
            if expected and len(there) % 2:
                made.settle(choice, None)
            elif expected:
                gone = choice.taken[0]
                left = {**expected.counts, gone.priority: expected.counts[gone.priority] - 1}
                counted = {priority: count for priority, count in left.items() if count}
                there[gone.queue] = Waiting(expected.queue, counted, expected.oldest)
                if not counted:
                    del there[gone.queue]


def _renumbered(queue: TaskQueue, by: int) -> TaskQueue:
    return TaskQueue(queue.id + 100 * by + 1, queue.community, queue.group, queue.owner, queue.needs)
