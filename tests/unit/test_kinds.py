"""Kinds of needs: what the clauses of all of them say at once is what the rules say of each."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from central.matching.clauses import MAX_CLAUSES, clauses_of
from central.matching.kinds import FAILS, FEW, FITS, MAX_CHANGES, UNASKED, Bits, Kinds, mask_of
from central.matching.limits import Limits
from central.matching.looks import Look, Mentions
from central.matching.matcher import Free, kind_fits
from central.matching.queue_index import QueueIndex
from central.matching.views import View
from central.records import TaskQueue
from pilot import tags
from pilot.protocol import Offer
from tests.unit.matching_scene import drawn_needs, drawn_offers, drawn_tasks, offer, task, waiting

#: Expressions of any form, some of them too long to be multiplied out.
_EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "c", "d", "~a", "~b", "~c"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: "(" + " & ".join(parts) + ")"),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: "(" + " | ".join(parts) + ")"),
        inner.map(lambda part: f"~({part})"),
    ),
    max_leaves=12,
).map(tags.canonical)
#: More pairs than are multiplied out.
LONG = tags.canonical(" | ".join(f"l{n} & r{n}" for n in range(7)))


@st.composite
def _drawn_tagged(draw: st.DrawFn) -> list[TaskQueue]:
    texts = draw(st.lists(_EXPRESSIONS, min_size=1, max_size=8))
    return [task(id, tags=text) for id, text in enumerate(texts, 1)]


def look_of(tasks: list[TaskQueue], node: Offer) -> Look:
    mentions = Mentions(Limits())
    for one in tasks:
        mentions.learn(one.needs)
    return mentions.look(node)


def right(kinds: Kinds, look: Look, number: int) -> bool:
    """Whether the kind is right by its bit, and where clauses do not tell, by asking."""
    found = kinds.right(look)
    verdict = kinds.verdicts(found)[number]
    assert bool(found >> number & 1) == (verdict != FAILS)
    return kind_fits(kinds.samples[number], look.offer()) if verdict == UNASKED else verdict == FITS


@settings(max_examples=200, deadline=None)
@given(st.one_of(drawn_tasks(), _drawn_tagged()), drawn_offers())
def test_the_bits_say_what_the_rules_say(tasks: list[TaskQueue], node: Offer) -> None:
    """For every kind and offer, the verdict by clauses is that of the plain predicate."""
    kinds, look = Kinds(), look_of(tasks, node)._replace(owners=None)
    numbers = [kinds.enter(one) for one in tasks]
    for one, number in zip(tasks, numbers, strict=True):
        assert right(kinds, look, number) == kind_fits(one, look.offer())


@settings(max_examples=60, deadline=None)
@given(st.lists(drawn_needs(), min_size=2, max_size=8), drawn_offers(), st.randoms(use_true_random=False))
def test_a_view_keeps_up_while_kinds_come_and_go(needs: list[object], node: Offer, rng: random.Random) -> None:
    """Whatever came and went, and whose number was used again, a view accepts what the plain predicate accepts."""
    tasks = [TaskQueue(id, "c", "g", "o", one) for id, one in enumerate(needs, 1)]  # type: ignore[arg-type]
    index = QueueIndex()
    view, there = None, dict[int, TaskQueue]()
    for turn in range(40):
        one = rng.choice(tasks)
        if one.id in there:
            index.load([])
            index.prune(0.0, 0.0)
            there.clear()
        else:
            there[one.id] = one
            index.add([waiting(one)])
        view = index._view(node)
        for known in there.values():
            assert view.accepts(index._queues[known.id]) == kind_fits(known, node), turn


def test_numbers_are_used_again() -> None:
    """A kind that nobody has any more leaves its number, and nothing of what it said, to another."""
    kinds = Kinds()
    kept = kinds.enter(task(1, tags="a & (b | c)", sites=("s1", "s2")))
    gone = kinds.enter(task(2, tags="~a | b & c", not_sites=("here",)))
    kinds.enter(task(3, tags="~a | b & c", not_sites=("here",)))
    kinds.leave([task(2, tags="~a | b & c", not_sites=("here",))])
    assert kinds.enter(task(4, tags="x")) not in (kept, gone)
    kinds.leave([task(3, tags="~a | b & c", not_sites=("here",))])
    new = task(5, tags="b")
    assert kinds.enter(new) == gone
    look = look_of([new], offer(tags=("b",)))
    assert right(kinds, look, gone)
    assert len(kinds) == 3


def test_an_expression_that_would_explode_is_asked_by_itself() -> None:
    """It has too many clauses; what it demands, and all the rest of its needs, is known without asking."""
    long = task(1, tags=tags.canonical(f"q & ({LONG})"))
    assert not clauses_of(long).complete
    kinds = Kinds()
    number = kinds.enter(long)
    for having, verdict in ((("l1", "r1"), FAILS), (("q", "l1", "r1"), UNASKED), (("q", "l1", "r2"), UNASKED)):
        look = look_of([long], offer(tags=having))
        assert kinds.verdicts(kinds.right(look))[number] == verdict
        assert right(kinds, look, number) == kind_fits(long, offer(tags=having))
    asked = look_of([long], offer(tags=("q", "l1", "r1"), required_tags=("q",)))
    assert right(kinds, asked, number)


def test_clauses_stay_few() -> None:
    """A thousand tags one after another are statements; a choice of a thousand is one; a hundred choices are asked."""
    thousand = [f"t{n}" for n in range(1000)]
    every = clauses_of(task(tags=tags.canonical(" & ".join(thousand))))
    assert every.complete
    assert not every.choices
    either = clauses_of(task(tags=tags.canonical(" | ".join(thousand))))
    assert either.complete
    assert [len(choice) for choice in either.choices] == [1000]
    pairs = clauses_of(task(tags=tags.canonical(" & ".join(f"(l{n} | r{n})" for n in range(100)))))
    assert not pairs.complete
    assert len(pairs.choices) <= MAX_CLAUSES


def test_a_set_is_small_while_it_has_few_members() -> None:
    """Its members are kept one by one, of many kinds as bits; adding and striking out is right in both."""
    size = 100_000
    for members in (range(0, size, 1000), range(0, size, 100)):
        bits = Bits()
        for number in members:
            bits.add(number, size)
        bits.settle(size)
        assert bool(bits.few) == (len(members) * FEW <= size)
        assert bits.mask | mask_of(bits.few) == sum(1 << number for number in members)
        gone = members[::2]
        bits.strike(gone, mask_of(gone))
        assert bits.mask | mask_of(bits.few) == sum(1 << number for number in members[1::2])
        assert bits.count == len(members) // 2


def test_what_was_found_out_survives_much_news() -> None:
    """A view that has not heard for long keeps its verdicts, and forgets only where it found nothing."""
    index = QueueIndex()
    index.add([waiting(task(1, cores=16))])
    node = offer()
    assert not index.any_fits(node)
    view = index._view(node)
    assert view.is_barren(Free.of(node))
    for id in range(2, 3 * MAX_CHANGES):
        index.add([waiting(task(id, tags=f"t{id}"))])
    index.add([waiting(task(10_000))])
    assert index.any_fits(node)
    assert index._view(node) is view


def test_a_look_is_asked_anew_only_of_what_has_come() -> None:
    """After one kind more the others are not looked at again."""
    kinds = Kinds()
    for id in range(1, 50):
        kinds.enter(task(id, tags=f"t{id}"))
    view = View(look_of([], offer()), 0, kinds)
    view.judge()
    before = view.verdicts
    new = kinds.enter(task(50))
    view.judge()
    assert view.verdicts is before
    assert view.verdicts[new] == FITS
