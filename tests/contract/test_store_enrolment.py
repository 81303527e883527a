"""The contract of a store: enrolment and resumption."""

from __future__ import annotations

from dataclasses import replace

import pytest

from central.added import NewEnrolment
from central.records import NewPilot
from central.store.port import Store
from pilot.protocol import Fact
from pilot.states import PilotReason, PilotState
from tests.contract.stores import (
    SILENT,
    Clock,
    digest,
    enrol,
    enrolment,
    intent,
    refused,
    stamp,
    submit_pilot,
)

pytestmark = pytest.mark.anyio

SECRET, KEY = digest("secret 1"), digest("key 1")


async def test_enrolment(store: Store, clock: Clock) -> None:
    """The secret makes a pilot run: first epoch, its key, its machine, its facts, and its end of life from now."""
    await submit_pilot(store, end_of_life=1000.0)
    clock.forward(100)
    facts = (Fact("cores", 4, "affinity"), Fact("glibc", None, "ldd"))
    row = await store.enrol(stamp(1), SECRET, KEY, enrolment(instance="boot-1", facts=facts))
    assert (row.state, row.epoch, row.key_hash, row.instance) == (PilotState.RUNNING, 1, KEY, "boot-1")
    assert (row.enrolled, row.last_seen, row.ends) == (clock.time, clock.time, clock.time + 1000)
    assert row.facts == facts
    assert await store.pilot(stamp(1)) == row


async def test_without_end_of_life(store: Store) -> None:
    """A pilot without a life has no end."""
    await submit_pilot(store)
    assert (await store.enrol(stamp(1), SECRET, KEY, enrolment())).ends is None


async def test_a_lost_answer_is_given_again(store: Store, clock: Clock) -> None:
    """The same secret with the same key gets the same row, also when the secret has aged, and raises no alarm."""
    await submit_pilot(store, secret_ttl=60.0)
    first = await store.enrol(stamp(1), SECRET, KEY, enrolment())
    clock.forward(61)
    assert await store.enrol(stamp(1), SECRET, KEY, enrolment()) == first
    assert (await store.pilot(stamp(1))).alarm == ""


async def test_another_key_raises_an_alarm(store: Store) -> None:
    """The secret with another key is refused and noted at the pilot, whose first holder stays."""
    await enrol(store)
    again = enrolment(instance="elsewhere")
    assert await refused(store.enrol(stamp(1), SECRET, digest("thief"), again)) == "secret-used"
    row = await store.pilot(stamp(1))
    assert "elsewhere" in row.alarm
    assert (row.key_hash, row.state, row.epoch) == (KEY, PilotState.RUNNING, 1)


async def test_the_first_alarm_stays(store: Store) -> None:
    """A second try does not wipe out when it began."""
    await enrol(store)
    await refused(store.enrol(stamp(1), SECRET, digest("thief"), enrolment(instance="first")))
    await refused(store.enrol(stamp(1), SECRET, digest("thief"), enrolment(instance="second")))
    assert "first" in (await store.pilot(stamp(1))).alarm


async def test_an_aged_secret(store: Store, clock: Clock) -> None:
    """A secret that was not used in time is refused."""
    await submit_pilot(store, secret_ttl=60.0)
    clock.forward(61)
    assert await refused(store.enrol(stamp(1), SECRET, KEY, enrolment())) == "secret-expired"


async def test_a_replaced_secret(store: Store) -> None:
    """After a second submission the first one's secret is superseded, and the new one works."""
    await submit_pilot(store)
    await store.renew_secret(stamp(1), digest("new"), 60.0)
    assert await refused(store.enrol(stamp(1), SECRET, KEY, enrolment())) == "superseded"
    row = await store.enrol(stamp(1), digest("new"), digest("other key"), enrolment())
    assert (row.state, row.alarm) == (PilotState.RUNNING, "")
    assert await refused(store.enrol(stamp(1), SECRET, KEY, enrolment())) == "superseded"


async def test_a_new_secret_has_a_new_life(store: Store, clock: Clock) -> None:
    """The time of a replaced secret counts from the replacement."""
    await submit_pilot(store, secret_ttl=60.0)
    clock.forward(50)
    await store.renew_secret(stamp(1), digest("new"), 60.0)
    clock.forward(50)
    assert (await store.enrol(stamp(1), digest("new"), KEY, enrolment())).state is PilotState.RUNNING


async def test_a_secret_in_use_is_not_replaced(store: Store) -> None:
    """Once a pilot has enrolled, or is over, its secret stays."""
    await enrol(store, 1)
    await submit_pilot(store, 2)
    await store.end_pilot(stamp(2), PilotState.CANCELLED, PilotReason.CANCELLED)
    for number in (1, 2):
        assert await refused(store.renew_secret(stamp(number), digest("new"), 60.0)) == "conflict"


async def test_a_secret_ends_with_its_pilot(store: Store) -> None:
    """A pilot that is over cannot enrol."""
    await submit_pilot(store)
    await store.end_pilot(stamp(1), PilotState.CANCELLED, PilotReason.CANCELLED)
    assert await refused(store.enrol(stamp(1), SECRET, KEY, enrolment())) == "revoked"


async def test_strangers_learn_nothing(store: Store) -> None:
    """An unknown stamp and a wrong secret are refused alike, and raise no alarm."""
    await enrol(store)
    assert await refused(store.enrol(stamp(9), SECRET, KEY, enrolment())) == "unauthorized"
    assert await refused(store.enrol(stamp(1), digest("guess"), digest("thief"), enrolment())) == "unauthorized"
    assert (await store.pilot(stamp(1))).alarm == ""


async def test_who_is_expected_is_seen_without_writing(store: Store, clock: Clock) -> None:
    """A secret that lets in now is told from one that does not, by its own pilot, its time and its end; an enrolment is
    another matter, and comes afterwards."""
    await submit_pilot(store, secret_ttl=60.0)
    assert await store.expects(stamp(1), SECRET)
    assert not await store.expects(stamp(1), digest("guess"))
    assert not await store.expects(stamp(2), SECRET)
    clock.forward(61)
    assert not await store.expects(stamp(1), SECRET)
    await store.renew_secret(stamp(1), digest("newer"), 60.0)
    assert [await store.expects(stamp(1), one) for one in (SECRET, digest("newer"))] == [False, True]
    await store.enrol(stamp(1), digest("newer"), KEY, enrolment())
    clock.forward(61)
    assert await store.expects(stamp(1), digest("newer")), "its answer may have been lost"


async def test_a_token_expects_as_many_as_it_lets_in(store: Store, clock: Clock) -> None:
    """Under any stamp that is not another's, until it has let in all, has ended or is revoked."""
    new = NewEnrolment(digest("token"), "here", "vacuum", ("atlas",), 1, 600.0, "oli")
    token = await store.open_enrolment(new)
    await submit_pilot(store)
    assert [await store.expects(stamp(number), new.hash) for number in (1, 2)] == [False, True]
    await store.admit(NewPilot(stamp(2), "here", "vacuum", ("atlas",), new.hash, 60.0, 600, None))
    assert [await store.expects(stamp(number), new.hash) for number in (2, 3)] == [True, False]
    other = await store.open_enrolment(replace(new, hash=digest("other")))
    assert await store.expects(stamp(3), digest("other"))
    clock.forward(601)
    assert not await store.expects(stamp(3), digest("other"))
    third = await store.open_enrolment(replace(new, hash=digest("third")))
    await store.revoke_enrolment(third.id, "oli")
    assert not await store.expects(stamp(3), digest("third"))
    assert (await store.enrolments())[-1].refused == token.refused == other.refused == 0


async def test_it_may_call_before_the_computing_element_answers(store: Store) -> None:
    """A pilot that is quicker than the answer to its submission enrols."""
    await store.plan_pilot(intent())
    epoch = await store.lead("directors", "this central", 60)
    assert epoch is not None
    assert await store.submitting(stamp(1), "directors", epoch)
    assert (await store.enrol(stamp(1), SECRET, KEY, enrolment())).state is PilotState.RUNNING


async def test_resume(store: Store, clock: Clock) -> None:
    """A pilot that starts anew has the next epoch, and its heartbeats are numbered from the beginning."""
    await enrol(store)
    clock.forward(30)
    row, ended = await store.resume(stamp(1), KEY, 1, "")
    assert (row.epoch, row.sequence, row.last_seen, ended) == (2, 0, clock.time, ())
    assert row.state is PilotState.RUNNING


async def test_resume_twice(store: Store) -> None:
    """The same epoch again gives the same answer: the reply was lost."""
    await enrol(store)
    first, _ = await store.resume(stamp(1), KEY, 1, "")
    again, ended = await store.resume(stamp(1), KEY, 1, "")
    assert (again, ended) == (first, ())


async def test_resume_with_an_old_epoch(store: Store) -> None:
    """Whoever comes back with an epoch that is long gone has been replaced."""
    await enrol(store)
    await store.resume(stamp(1), KEY, 1, "")
    await store.resume(stamp(1), KEY, 2, "")
    assert await refused(store.resume(stamp(1), KEY, 1, "")) == "superseded"
    assert await refused(store.resume(stamp(1), KEY, 9, "")) == "superseded"


async def test_resume_needs_the_key(store: Store) -> None:
    """Another key, an unknown stamp and a pilot that never enrolled are refused alike."""
    await enrol(store, 1)
    await submit_pilot(store, 2)
    assert await refused(store.resume(stamp(1), digest("thief"), 1, "")) == "unauthorized"
    assert await refused(store.resume(stamp(2), KEY, 0, "")) == "unauthorized"
    assert await refused(store.resume(stamp(9), KEY, 1, "")) == "unauthorized"


async def test_resume_on_another_machine(store: Store) -> None:
    """A pilot is bound to the instance it enrolled on: a copy of its files elsewhere does not go on in its name."""
    await submit_pilot(store)
    await store.enrol(stamp(1), SECRET, KEY, enrolment(instance="i-1"))
    assert await refused(store.resume(stamp(1), KEY, 1, "i-2")) == "revoked"
    assert (await store.resume(stamp(1), KEY, 1, "i-1"))[0].epoch == 2


async def test_resume_after_the_end(store: Store) -> None:
    """A pilot that was given up does not come back."""
    await enrol(store)
    await store.end_pilot(stamp(1), PilotState.LOST, PilotReason.GONE)
    assert await refused(store.resume(stamp(1), KEY, 1, "")) == "revoked"


async def test_resume_after_silence(store: Store, clock: Clock) -> None:
    """A silent pilot that resumes runs again, and drains when it was draining."""
    await enrol(store, 1)
    await enrol(store, 2)
    await store.drain(stamp(2))
    clock.forward(SILENT + 1)
    await store.sweep(SILENT)
    assert (await store.resume(stamp(1), KEY, 1, ""))[0].state is PilotState.RUNNING
    assert (await store.resume(stamp(2), digest("key 2"), 1, ""))[0].state is PilotState.DRAINING
