"""The index of what waits: what it chooses, how it packs, and that its counts follow the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from central.matching.matcher import failures, fits
from central.matching.task_queues import Choice, TaskQueues
from central.records import Leased, Pick, Requeued, TaskQueue, Waiting
from pilot.protocol import Gpu, JobSpec, Needs, Offer
from tests.unit.matching_scene import GB, HOUR, drawn_offers, drawn_tasks, offer, task, waiting


def index(*queues: Waiting) -> TaskQueues:
    made = TaskQueues()
    made.load(queues)
    return made


def picks(made: TaskQueues, node: Offer, most: int = 100) -> list[tuple[int, int, int]]:
    """Queue, count and cores of what is chosen."""
    return [(pick.queue, pick.count, pick.cores) for pick in made.choose(node, most).picks]


def lease(queue: TaskQueue, job: int, priority: int = 5, cores: int = 1) -> Leased:
    return Leased(job, 1, queue.id, priority, cores, JobSpec(("true",), queue.needs), queue.community, "g", queue.owner)


def counts(made: TaskQueues) -> dict[int, int]:
    return {queue.id: number for queue, number in made.queues()}


# -- order and packing ------------------------------------------------------------------------------------------------


def test_several_jobs_are_packed_into_one_offer() -> None:
    """An offer gets as many jobs as it holds, with cores and memory subtracted on the way."""
    made = index(waiting(task(1, cores=3, memory=6 * GB), 5), waiting(task(2, memory=GB), 5))
    assert picks(made, offer(cores=8, memory=14 * GB)) == [(1, 2, 3), (2, 2, 1)]


def test_jobs_whose_credential_is_away_are_not_picked() -> None:
    """A pick says which to pass over, of its own queue; once they are there again it says nothing."""
    made = index(waiting(task(1, cores=4), 1), waiting(task(2, cores=3), 1))
    iam, eos = ("physics", "ann", "iam"), ("physics", "ann", "eos")
    assert made.resting.begin(1, iam, "is away")
    assert not made.resting.begin(1, iam, "is away still")
    assert made.resting.begin(1, eos, "is away too")
    assert dict(made.resting.of(1)) == {"iam": "is away still", "eos": "is away too"}
    assert {pick.queue: pick.without for pick in made.choose(offer(), 9).picks} == {1: ("eos", "iam"), 2: ()}
    for credential in (iam, eos, eos):
        made.resting.end(credential)
    made.load([waiting(task(1), 1)])
    assert [pick.without for pick in made.choose(offer(), 9).picks] == [()]


def test_what_is_there_again_is_so_for_all_queues_of_its_owner() -> None:
    """And for those of nobody else, whose credential has the same name."""
    resting = index().resting
    mine, bens = ("physics", "ann", "iam"), ("physics", "ben", "iam")
    assert [resting.begin(1, mine, "is away"), resting.begin(2, mine, "is away")] == [True, False]
    assert resting.begin(3, bens, "is away")
    resting.end(mine)
    assert [resting.names(queue) for queue in (1, 2, 3)] == [(), (), ("iam",)]


def test_no_more_jobs_than_wanted() -> None:
    """`most` bounds the choice, across queues."""
    made = index(waiting(task(1), 2), waiting(task(2), 5))
    assert picks(made, offer(), most=3) == [(1, 2, 1), (2, 1, 1)]


def test_higher_priority_first_then_age() -> None:
    """Of one owner, priority 10 goes before 5, and among equals the queue with the older job; so it is among owners
    who have used nothing yet."""
    for owners in ("aaa", "abc"):
        made = index(
            waiting(task(1, owner=owners[0], memory=1), priority=5, oldest=10),
            waiting(task(2, owner=owners[1], memory=2), priority=10, oldest=30),
            waiting(task(3, owner=owners[2], memory=3), priority=5, oldest=5),
        )
        assert [queue for queue, _, _ in picks(made, offer())] == [2, 3, 1]


def test_owners_take_turns() -> None:
    """Whoever was given fewer cores goes next, whatever the priorities of the other."""
    made = index(
        waiting(task(1, owner="a"), 20, priority=10),
        waiting(task(2, owner="b", cores=2, max_cores=2), 20, priority=1),
    )
    taken = made.choose(offer(cores=12), 100).taken
    assert [one.queue for one in taken for _ in range(one.count)] == [1, 2, 1, 1, 2, 1, 1, 2, 1]


def test_one_owner_alone_is_given_all_at_once() -> None:
    """Where nobody else has jobs, a whole queue goes in one step."""
    made = index(waiting(task(1), 20), waiting(task(2, memory=1), 20))
    assert [(one.queue, one.count) for one in made.choose(offer(cores=24), 100).taken] == [(1, 20), (2, 4)]


def test_what_comes_is_found_however_often_nothing_was_found_before() -> None:
    """Fruitless searches among many owners are remembered, until a job comes or comes back to one of them."""
    too_much = ({"cores": 16, "max_cores": 16}, {"memory": 99 * GB})
    many = [waiting(task(number, owner=f"o{number}", **too_much[number % 2])) for number in range(1, 400)]
    made = index(*many, waiting(task(500, owner="far", cores=6, max_cores=6)))
    made.standings.given(made.standings.account("c", "g", "far"), 100)
    assert picks(made, offer(), 1) == [(500, 1, 6)]
    for _ in range(2):
        assert picks(made, offer(), 1) == []
    made.add([waiting(task(600, owner="o7"))])
    assert picks(made, offer(), 1) == [(600, 1, 1)]
    assert picks(made, offer(), 1) == []
    made.requeue(Requeued(500, 500_000, 5))
    assert picks(made, offer(), 1) == [(500, 1, 6)]


def test_priority_zero_only_when_nothing_else_fits() -> None:
    """A job of priority 0 waits for one of priority 1, however young, and gets what that leaves."""
    made = index(waiting(task(1), 9, priority=0, oldest=1), waiting(task(2, cores=5), 1, priority=1, oldest=900))
    assert picks(made, offer(cores=8)) == [(2, 1, 5), (1, 3, 1)]


def test_the_priorities_of_one_queue_go_in_turn() -> None:
    """Within a queue the higher priority is used up before the lower, after all else that comes between."""
    both = Waiting(task(1), {8: 1, 2: 1}, 1)
    made = index(both, waiting(task(2, owner="b"), priority=5, oldest=50))
    assert [pick.queue for pick in made.choose(offer(), 1).picks] == [1]
    assert [pick.queue for pick in made.choose(offer(), 1).picks] == [2]
    assert [pick.queue for pick in made.choose(offer(), 1).picks] == [1]


def test_what_does_not_fit_is_passed_over() -> None:
    """A wide job at the head does not keep a narrow one from an offer that is too small for it."""
    made = index(waiting(task(1, cores=16, max_cores=16), priority=10), waiting(task(2), priority=1))
    assert picks(made, offer(cores=2)) == [(2, 1, 1)]


def test_a_range_gets_what_is_free() -> None:
    """A job of 2 to 6 cores gets six of eight, and the next one the two that are left; a wider one is passed over."""
    made = index(waiting(task(1, cores=2, max_cores=6), 5), waiting(task(2, cores=9, max_cores=9), priority=9))
    assert picks(made, offer(cores=8)) == [(1, 1, 6), (1, 1, 2)]


def test_a_whole_node_is_given_whole_and_alone() -> None:
    """A whole-node job takes all cores, nothing goes beside it, and none starts beside others."""
    whole = task(1, whole_node=True, max_cores=65_536)
    made = index(waiting(whole, 2, priority=6), waiting(task(2), 20))
    assert picks(made, offer(cores=8)) == [(1, 1, 8)]
    assert picks(made, offer(cores=8, empty=False)) == [(2, 8, 1)]


def test_gpus_are_subtracted() -> None:
    """Two GPUs serve two jobs of one GPU each."""
    made = index(waiting(task(1, gpus=1), 5))
    assert picks(made, offer(gpus=(Gpu("a"), Gpu("a")))) == [(1, 2, 1)]


def test_communities_sites_and_tags_tell_offers_apart() -> None:
    """Each offer sees only queues of its kind, also of a queue that came after the offer was first seen."""
    made = index(waiting(task(1)))
    plain, elsewhere = offer(), offer(site="x", tags=("fast",), communities=("c", "d"))
    assert picks(made, plain, 1) == [(1, 1, 1)]
    assert picks(made, elsewhere, 1) == []
    made.add([waiting(task(2, tags="fast")), waiting(task(3, sites=("x",))), waiting(task(4, community="d"))])
    assert picks(made, plain) == []
    assert sorted(queue for queue, _, _ in picks(made, elsewhere)) == [2, 3, 4]


def test_a_failed_probe_tells_offers_apart() -> None:
    """Where a tag is unknown its negation does not hold, whoever asked before with the tag absent."""
    made = index(waiting(task(1, tags="~slow"), 2))
    assert picks(made, offer(), 1) == [(1, 1, 1)]
    assert picks(made, offer(unknown_tags=("slow",))) == []
    assert picks(made, offer(unknown_tags=("other",))) == [(1, 1, 1)]


def test_demand_counts_jobs_and_cores_that_an_offer_would_serve() -> None:
    """A director hears how many waiting jobs fit its queue, and their cores; a whole node counts as all of them."""
    made = index(
        waiting(task(1, cores=2), 3),
        waiting(task(2, cores=64, max_cores=64), 7),
        waiting(task(3, whole_node=True), 1),
        waiting(task(4, community="d"), 9),
    )
    assert made.demand(offer(cores=8)) == (4, 14)


def test_queues_long_empty_are_forgotten_and_may_come_back() -> None:
    """A queue without jobs is dropped after a while, and is as good as new when jobs come again."""
    queue = task(1, tags="rare", sites=("here",))
    made = index(waiting(queue))
    choice = made.choose(offer(tags=("rare",)), 1)
    assert made.prune(0.0, 60.0) == 0
    assert made.prune(100.0, 60.0) == 0  # reserved, not empty
    made.settle(choice, [lease(queue, 1000)])
    assert made.prune(100.0, 60.0) == 0  # seen empty now
    assert made.prune(159.0, 60.0) == 0
    assert made.prune(161.0, 60.0) == 1
    assert made.task(1) is None
    made.add([waiting(queue)])
    assert picks(made, offer(tags=("rare",))) == [(1, 1, 1)]


def test_a_queue_that_filled_again_is_not_forgotten() -> None:
    """The time without jobs starts anew after every job."""
    queue = task(1)
    made = index(waiting(queue))
    made.remove(Requeued(1, 1000, 5))
    made.prune(0.0, 60.0)
    made.requeue(Requeued(1, 1000, 5))
    made.prune(50.0, 60.0)
    made.remove(Requeued(1, 1000, 5))
    made.prune(100.0, 60.0)
    assert made.prune(150.0, 60.0) == 0
    assert made.prune(160.0, 60.0) == 1


# -- reservation ------------------------------------------------------------------------------------------------------


def test_what_was_chosen_is_not_chosen_again() -> None:
    """Two offers at the same time share what waits."""
    made = index(waiting(task(1), 3))
    assert picks(made, offer(), 2) == [(1, 2, 1)]
    assert picks(made, offer(), 2) == [(1, 1, 1)]
    assert picks(made, offer(), 2) == []


def test_what_was_not_claimed_waits_again() -> None:
    """A choice that came to nothing is put back whole, at its place in the order."""
    made = index(waiting(task(1), 3, priority=7), waiting(task(2), 3))
    made.settle(made.choose(offer(), 2), None)
    assert counts(made) == {1: 3, 2: 3}
    assert picks(made, offer(), 1) == [(1, 1, 1)]


def test_a_claim_that_wins_less_shows_that_the_rest_was_never_there() -> None:
    """When the store has fewer jobs than were counted, the count follows it."""
    queue = task(1)
    made = index(waiting(queue, 10))
    made.settle(made.choose(offer(), 4), [lease(queue, 1000), lease(queue, 1001)])
    assert counts(made) == {}


def test_what_is_added_during_a_claim_is_kept() -> None:
    """A claim that wins less than was picked says nothing of jobs that came afterwards."""
    queue = task(1)
    made = index(waiting(queue, 2))
    choice = made.choose(offer(), 2)
    made.add([waiting(queue, 5)])
    made.settle(choice, [lease(queue, 1000)])
    assert counts(made)[1] >= 5


def test_a_claim_is_counted_by_the_priorities_that_it_won() -> None:
    """The store may give another job of the queue than was counted on."""
    queue = task(1)
    made = index(Waiting(queue, {5: 2}, 1000))
    choice = made.choose(offer(), 1)
    made.settle(choice, [lease(queue, 1005, priority=9)])  # submitted and claimed, before it was told here
    assert counts(made) == {1: 2}
    made.add([Waiting(queue, {9: 1}, 1005)])
    assert counts(made) == {1: 2}


def test_reading_all_counts_ends_older_choices() -> None:
    """Counts read anew already know what became of an older choice."""
    queue = task(1)
    for won in (None, [lease(queue, 1000)], [lease(queue, 1000), lease(queue, 1001)]):
        made = index(waiting(queue, 3))
        choice = made.choose(offer(), 2)
        made.load([waiting(queue, 1)])
        made.settle(choice, won)
        assert counts(made) == {1: 1}


def test_an_unknown_queue_is_told() -> None:
    """A job that comes back to a queue that is not known here is not counted, and the caller hears of it."""
    made = index()
    assert not made.requeue(Requeued(7, 1, 5))
    made.remove(Requeued(7, 1, 5))
    assert counts(made) == {}


# -- laws -------------------------------------------------------------------------------------------------------------


@st.composite
def drawn_waiting(draw: st.DrawFn) -> list[Waiting]:
    tasks = draw(drawn_tasks(most=5))
    ages = draw(st.permutations(range(1, len(tasks) + 1)))
    return [
        Waiting(queue, draw(st.dictionaries(st.sampled_from([0, 4, 5, 10]), st.integers(1, 3), min_size=1)), age * 100)
        for queue, age in zip(tasks, ages, strict=True)
    ]


@settings(max_examples=50)
@given(drawn_waiting(), drawn_offers(), st.integers(1, 12))
def test_packing_never_exceeds_the_offer(queues: list[Waiting], node: Offer, most: int) -> None:
    """In no dimension is more given than was offered, and every job gets between its least and its most cores."""
    made = index(*queues)
    needs = {one.queue.id: one.queue.needs for one in queues}
    choice = made.choose(node, most)
    assert sum(pick.count for pick in choice.picks) <= most
    _within(choice.picks, needs, node)
    for pick in choice.picks:
        asked = needs[pick.queue]
        assert pick.cores == node.cores if asked.whole_node else asked.cores <= pick.cores
        assert asked.whole_node or pick.cores <= max(asked.cores, asked.max_cores)
        assert pick.count <= sum(next(one.counts for one in queues if one.queue.id == pick.queue).values())


def _within(picks: Sequence[Pick], needs: dict[int, Needs], node: Offer) -> None:
    jobs = [(needs[pick.queue], pick.cores) for pick in picks for _ in range(pick.count)]
    assert sum(cores for _, cores in jobs) <= max(node.cores, 0)
    memory = sum(asked.memory + asked.memory_per_core * cores for asked, cores in jobs)
    assert node.memory == "unlimited" or memory <= max(node.memory or 0, 0)
    disk = sum(asked.disk for asked, _ in jobs)
    assert node.disk == "unlimited" or disk <= max(node.disk or 0, 0)
    assert sum(asked.gpus for asked, _ in jobs) <= len(node.gpus)
    for least in {asked.gpu_memory for asked, _ in jobs if asked.gpus}:
        able = [gpu for gpu in node.gpus if not least or (gpu.memory or 0) >= least]
        assert sum(asked.gpus for asked, _ in jobs if asked.gpu_memory >= least) <= len(able)
    if any(asked.whole_node for asked, _ in jobs):
        assert len(jobs) == 1
        assert node.empty


@settings(max_examples=50)
@given(drawn_waiting(), drawn_offers())
def test_a_job_is_chosen_exactly_when_explain_says_that_one_fits(queues: list[Waiting], node: Offer) -> None:
    """What is chosen fails nothing; afterwards nothing that is left fits. Whose turn it is: `test_explain_law`."""
    made = index(*queues)
    fitting = [one for one in queues if not failures(one.queue, node)]
    assert made.any_fits(node) == bool(fitting)
    assert {queue.id for queue, _ in made.fitting(node)} == {one.queue.id for one in fitting}
    choice = made.choose(node, 1000)
    assert bool(choice.picks) == bool(fitting)
    assert {pick.queue for pick in choice.picks[:1]} <= {one.queue.id for one in fitting}
    left = choice.free.left_of(node)
    assert not any(fits(queue, left) for queue, _ in made.queues())


@dataclass
class _Store:
    """What truly waits, as jobs; claims like the store does."""

    tasks: list[TaskQueue]
    jobs: dict[int, tuple[int, int]] = field(default_factory=dict)  # job → queue, priority
    last: int = 0

    def submit(self, queue: int, priority: int, number: int) -> Waiting:
        first = self.last + 1
        for _ in range(number):
            self.last += 1
            self.jobs[self.last] = (queue, priority)
        return Waiting(self.tasks[queue - 1], {priority: number}, first)

    def claim(self, picks: Sequence[Pick]) -> list[Leased]:
        won: list[Leased] = []
        for pick in picks:
            here = sorted((-priority, job) for job, (queue, priority) in self.jobs.items() if queue == pick.queue)
            for less, job in here[: pick.count]:
                del self.jobs[job]
                won.append(lease(self.tasks[pick.queue - 1], job, -less, pick.cores))
        return won

    def counts(self) -> dict[int, int]:
        return dict(Counter(queue for queue, _ in self.jobs.values()))


class CountsFollowTheStore(RuleBasedStateMachine):
    """Submissions heard late, kills, claims that overlap: what the index counts while the store changes."""

    @initialize(tasks=drawn_tasks(), nodes=st.lists(drawn_offers(), min_size=1, max_size=4))
    def begin(self, tasks: list[TaskQueue], nodes: list[Offer]) -> None:
        self.made, self.store, self.nodes = TaskQueues(), _Store(tasks), nodes
        self.untold: list[Waiting] = []
        self.chosen: list[Choice] = []
        self.claimed: list[tuple[Choice, list[Leased] | None]] = []
        self.leased: list[Leased] = []

    @rule(queue=st.integers(0, 7), priority=st.integers(0, 10), number=st.integers(1, 8))
    def submit(self, queue: int, priority: int, number: int) -> None:
        self.untold.append(self.store.submit(queue % len(self.store.tasks) + 1, priority, number))

    @precondition(lambda self: self.untold)
    @rule()
    def hear(self) -> None:
        self.made.add([self.untold.pop(0)])

    @precondition(lambda self: self.store.jobs and not self.untold)
    @rule(which=st.integers(0, 20))
    def kill(self, which: int) -> None:
        job = sorted(self.store.jobs)[which % len(self.store.jobs)]
        queue, priority = self.store.jobs.pop(job)
        self.made.remove(Requeued(queue, job, priority))

    @rule(which=st.integers(0, 3), most=st.integers(1, 12))
    def choose(self, which: int, most: int) -> None:
        self.chosen.append(self.made.choose(self.nodes[which % len(self.nodes)], most))

    @precondition(lambda self: self.chosen)
    @rule(which=st.integers(0, 5), works=st.sampled_from([True, True, False]))
    def claim(self, which: int, works: bool) -> None:
        choice = self.chosen.pop(which % len(self.chosen))
        self.claimed.append((choice, self.store.claim(choice.picks) if works else None))

    @precondition(lambda self: self.claimed)
    @rule()
    def settle(self) -> None:
        choice, won = self.claimed.pop(0)
        self.made.settle(choice, won)
        self.leased += won or []

    @precondition(lambda self: self.leased)
    @rule(which=st.integers(0, 20))
    def requeue(self, which: int) -> None:
        back = self.leased.pop(which % len(self.leased))
        self.store.jobs[back.job] = (back.queue, back.priority)
        if not self.made.requeue(Requeued(back.queue, back.job, back.priority)):  # forgotten meanwhile
            self.made.add([Waiting(self.store.tasks[back.queue - 1], {back.priority: 1}, back.job)])

    @rule(now=st.floats(0, 10))
    def prune(self, now: float) -> None:
        self.made.prune(now, 0.0)

    @rule()
    def load(self) -> None:
        """Read anew; what is heard late is then counted twice."""
        counted = [(queue, priority) for queue, priority in self.store.jobs.values()]
        self.made.load(
            [
                Waiting(task, {p: counted.count((task.id, p)) for p in range(11) if (task.id, p) in counted}, 1)
                for task in self.store.tasks
            ]
        )

    @invariant()
    def no_count_is_negative(self) -> None:
        if hasattr(self, "made"):
            assert all(number > 0 for number in counts(self.made).values())

    def teardown(self) -> None:
        """When all is told every job that waits is counted, and claims end by themselves when nothing fits any more."""
        if not hasattr(self, "made"):
            return
        self.made.add(self.untold)
        for choice in self.chosen:
            self.claimed.append((choice, self.store.claim(choice.picks)))
        for choice, won in self.claimed:
            self.made.settle(choice, won)
        for queue, number in self.store.counts().items():
            assert counts(self.made).get(queue, 0) >= number, "a job that is not counted would wait for ever"
        for node in self.nodes:
            for _ in range(1000):
                choice = self.made.choose(node, 50)
                if not choice.picks:
                    break
                self.made.settle(choice, self.store.claim(choice.picks))
            else:
                raise AssertionError("claims go on for ever")
            left = {queue for queue, _ in self.store.jobs.values()}
            assert not any(fits(self.store.tasks[queue - 1], node) for queue in left)


TestCountsFollowTheStore = CountsFollowTheStore.TestCase
TestCountsFollowTheStore.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


def test_a_view_stays_right_through_a_long_life() -> None:
    """After hundreds of arrivals, choices and departures the choice is still what looking at every queue gives."""
    made, node = TaskQueues(), offer(cores=4, memory=8 * GB)
    there: dict[int, tuple[TaskQueue, int]] = {}  # every queue with its priority; each has one job
    for turn in range(1, 600):
        queue = task(turn, cores=1 + turn % 6, memory=(turn % 5) * 3 * GB, wall_time=HOUR * (1 + turn % 3))
        there[turn] = (queue, (turn * 7) % 11)
        made.add([waiting(queue, priority=there[turn][1])])
        if turn % 2:
            continue
        fitting = [(-priority, number) for number, (queue, priority) in there.items() if fits(queue, node)]
        choice = made.choose(node, 1)
        assert [pick.queue for pick in choice.picks] == [number for _, number in sorted(fitting)[:1]]
        if turn % 3:
            gone = [there.pop(pick.queue) for pick in choice.picks]
            made.settle(choice, [lease(queue, queue.id * 1000, priority) for queue, priority in gone])
        else:
            made.settle(choice, None)
        if turn % 50 == 0:
            made.prune(float(turn), 100.0)
