"""What people ask of waste, and what pilots may say of it: ledgers over the wire of a real central."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pilot import protocol
from pilot.protocol import Booking, HeartbeatReply, Ledger
from pilot.states import Cause, Outcome, Phase, PilotReason, PilotState
from pilot.use import WastePage
from tests.integration.running_central import RunningCentral, until
from tests.integration.test_api_jobs import refused
from tests.integration.wire_pilot import SignedPilot

SECOND = 1_000_000
LEDGER = Ledger(2, 30 * SECOND, (Booking(Cause.BOOT, 8 * SECOND), Booking(Cause.GOOD, 52 * SECOND, "physics")))


@pytest.fixture
def pilot(central: RunningCentral) -> Iterator[SignedPilot]:
    pilot = central.pilot()
    yield pilot
    pilot.bye()


def tell(pilot: SignedPilot, ledger: Ledger) -> HeartbeatReply:
    pilot.sequence += 1
    request = protocol.HeartbeatRequest(pilot.epoch, pilot.sequence, PilotState.RUNNING, ledger=ledger)
    return pilot.post(f"{pilot.url}/v1/pilots/{pilot.stamp}/heartbeat", request, HeartbeatReply)


def page(central: RunningCentral, name: str, query: str = "by=site,community") -> WastePage:
    return central.person(name).read(f"/v1/waste?{query}", WastePage)


def booked(central: RunningCentral) -> dict[str, int]:
    rows = page(central, "oli", "by=").rows
    return rows[0].booked if rows else {}


def test_a_ledger_counts_while_its_pilot_lives_and_afterwards(central: RunningCentral, pilot: SignedPilot) -> None:
    """What a heartbeat brings is seen by the community and by operators, not by others; the goodbye completes it."""
    tell(pilot, LEDGER)
    until(lambda: page(central, "ann").rows, "the ledger to be written")
    (row,) = page(central, "ann").rows
    assert (row.keys, row.pilots) == (("here", "physics"), 1)
    assert row.booked == {"boot": 8 * SECOND, "payload-good": 52 * SECOND}
    assert page(central, "oli").rows == (row,)
    assert page(central, "ann", "by=pilot").rows[0].keys == (pilot.stamp,)
    assert page(central, "dan").rows == ()
    whole = Ledger(2, 31 * SECOND, (*LEDGER.bookings, Booking(Cause.DRAIN, 2 * SECOND)))
    goodbye = protocol.GoodbyeRequest(PilotReason.IDLE, ledger=whole)
    pilot.post(f"{pilot.url}/v1/pilots/{pilot.stamp}/bye", goodbye, protocol.Accepted)
    assert sum(booked(central).values()) == 2 * 31 * SECOND


@pytest.mark.parametrize(
    "ledger",
    [
        Ledger(2, 30 * SECOND, (Booking(Cause.GOOD, 61 * SECOND, "physics"),)),
        Ledger(2, 30 * SECOND, (Booking(Cause.GOOD, 60 * SECOND, "biology"),)),
        Ledger(-2, -30 * SECOND, (Booking(Cause.GOOD, 60 * SECOND),)),
        Ledger(1, 10**7 * SECOND, (Booking(Cause.GOOD, 10**7 * SECOND),)),
        Ledger(10**6, SECOND, (Booking(Cause.GOOD, 10**6 * SECOND),)),
    ],
)
def test_a_ledger_that_cannot_be_spoils_no_sum(central: RunningCentral, pilot: SignedPilot, ledger: Ledger) -> None:
    """A pilot whose ledger breaks the law, books to others or says too much is heard as before; its ledger is not."""
    before = booked(central)
    assert tell(pilot, ledger).sequence == pilot.sequence
    pilot.post(
        f"{pilot.url}/v1/pilots/{pilot.stamp}/bye",
        protocol.GoodbyeRequest(PilotReason.IDLE, ledger=ledger),
        protocol.Accepted,
    )
    assert booked(central) == before


def test_an_older_pilot_says_goodbye_without_one(central: RunningCentral) -> None:
    """The goodbye of a pilot that keeps no ledger, with an empty one, is accepted."""
    pilot = central.pilot()
    body = b'{"reason": "idle", "ledger": {}}'
    reply = pilot.send("POST", f"{pilot.url}/v1/pilots/{pilot.stamp}/bye", body)
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize(
    ("query", "where"), [("by=owner", "by"), ("since=5&until=4", "since"), ("since=nan", "since"), ("span=1", "span")]
)
def test_a_wrong_question_is_refused(central: RunningCentral, query: str, where: str) -> None:
    """What makes no sense says which part of it."""
    found = refused(lambda: page(central, "ann", query))
    assert (found.type, found.problems[0].where) == ("invalid", where)


def test_an_end_has_a_code(central: RunningCentral, pilot: SignedPilot) -> None:
    """Attempts tell the code of their end, worked out by the central or said by the pilot; so does explain."""
    ann = central.person("ann")
    codes = []
    for fields in (
        {"outcome": Outcome.PAYLOAD_ERROR, "exit_code": 3},
        {"outcome": Outcome.LIMIT_EXCEEDED, "limit": "memory"},
        {"outcome": Outcome.INPUT_ERROR, "code": "files.input-changed"},
        {"outcome": Outcome.SUCCESS, "exit_code": 0},
    ):
        job = ann.submit_one()
        (lease,) = [lease for lease in pilot.match(most=100).leases if lease.job == job]
        pilot.report(lease, Phase.ENDED, **fields)
        codes.append(ann.attempts(job)[-1].code)
    assert codes == ["payload.exit-code", "limit.memory", "files.input-changed", ""]
