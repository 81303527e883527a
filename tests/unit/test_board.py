"""Which jobs the pilots of each queue are meant for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from central.directors.board import PROMISE, STALE, Board, Wait, demand
from central.directors.control import Demand
from central.directors.waiting import waits
from central.records import Limit, LimitUse
from tests.unit.matching_scene import GB, offer, task


def jobs(waiting: tuple[Wait, ...]) -> dict[int, int]:
    return {one.task: one.jobs for one in waiting}


def test_what_is_meant_for_one_queue_is_left_by_others() -> None:
    """Jobs for which a queue has pilots on their way are no demand of another queue, but still its own."""
    board, waiting = Board(), [Wait(1, 10, 1.0)]
    board.write("a", board.left("a", waiting, 0.0), 4, 0.0)
    assert jobs(board.left("b", waiting, 0.0)) == {1: 6}
    assert jobs(board.left("a", waiting, 0.0)) == {1: 10}
    assert demand(waiting, board.left("b", waiting, 0.0)) == Demand(6, 6, elsewhere=4)


def test_pilots_are_meant_for_what_others_cannot_take() -> None:
    """Of jobs that fit several queues and jobs that fit one alone, its pilots are for the latter first."""
    board = Board()
    board.write("b", board.left("b", [Wait(1, 5, 1.0)], 0.0), 0, 0.0)
    board.write("a", board.left("a", [Wait(1, 5, 1.0), Wait(2, 5, 1.0)], 0.0), 6, 0.0)
    assert jobs(board.left("b", [Wait(1, 5, 1.0)], 0.0)) == {1: 4}


def test_a_director_that_does_not_come_round_keeps_nothing() -> None:
    """What was written down long ago keeps no other queue from the jobs."""
    board, waiting = Board(), [Wait(1, 10, 1.0)]
    board.write("a", board.left("a", waiting, 0.0), 10, 0.0)
    assert jobs(board.left("b", waiting, STALE)) == {1: 0}
    assert jobs(board.left("b", waiting, STALE + 1)) == {1: 10}
    assert STALE < PROMISE


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=4),
    st.lists(st.tuples(st.sets(st.integers(0, 3), min_size=1), st.integers(1, 3)), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
def test_all_jobs_get_pilots_and_none_two(numbers: list[int], queues: list[tuple[set[int], int]], rng: object) -> None:
    """Queues with different offers that look in any order, each sending what it is left with, send pilots for every job
    that fits one of them and for none twice."""
    board, sent = Board(), dict.fromkeys(range(len(queues)), 0)
    for _ in range(60):
        for queue in sorted(sent, key=lambda _: rng.random()):  # type: ignore[attr-defined]
            fits, ramp = queues[queue]
            waiting = [Wait(number, numbers[number], 1.0) for number in sorted(fits) if number < len(numbers)]
            left = board.left(str(queue), waiting, 0.0)
            sent[queue] += min(ramp, max(0, demand(waiting, left).cores - sent[queue]))
            board.write(str(queue), left, sent[queue], 0.0)
    fitting = sum(count for number, count in enumerate(numbers) if any(number in fits for fits, _ in queues))
    assert sum(sent.values()) == fitting


def test_a_job_takes_as_much_of_a_pilot_as_of_what_it_needs_most() -> None:
    """Memory counts as cores do; a job that may use more cores counts with the fewest; a whole node is the pilot."""
    node = offer(cores=8, memory=16 * GB)
    found = waits(
        [
            (task(1, memory=8 * GB), 3),
            (task(2, cores=3), 5),
            (task(3, cores=2, max_cores=8), 1),
            (task(4, whole_node=True), 1),
        ],
        node,
        (),
    )
    assert found == [Wait(1, 3, 4.0), Wait(2, 5, 4.0), Wait(3, 1, 2.0), Wait(4, 1, 8)]


def test_a_limit_bounds_for_how_many_jobs_pilots_are_sent() -> None:
    """Jobs that a limit would not let run there are no demand, counted over the task queues that share the limit."""
    limit = LimitUse(Limit("few", community="c", attempts=5), 2, 2)
    far = LimitUse(Limit("far", site="elsewhere", attempts=0), 0, 0)
    assert waits([(task(1), 2), (task(2), 9), (task(3), 9)], offer(), (limit, far)) == [
        Wait(1, 2, 1.0),
        Wait(2, 1, 1.0),
    ]
