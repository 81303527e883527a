"""How often somebody may ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.configuration.settings import Service
from central.configuration.settings_file import InvalidSettings, read
from central.records import Identity
from central.serving import rates
from central.serving.rates import SPAN, Buckets, Rates
from central.trust.rules import PayloadCaller, PilotCaller, TicketCaller
from central.trust.seal import JobToken, PilotToken, Ticket
from pilot.errors import Refusal

ANN = Identity("ann", "physics", "muons", "member")
BEN = Identity("ben", "physics", "muons", "member")


def admitted(buckets: Buckets, caller: str, now: float, tries: int) -> int:
    return sum(not buckets.take(caller, now) for _ in range(tries))


def test_a_minutes_worth_may_come_at_once() -> None:
    """Who was quiet may send what a minute is worth; then as much as the rate says."""
    buckets = Buckets(10)
    assert admitted(buckets, "ann", 1000.0, 1000) == 600
    assert admitted(buckets, "ben", 1000.0, 5) == 5
    assert admitted(buckets, "ann", 1002.0, 1000) in (20, 21)


def test_the_wait_that_is_told_is_enough() -> None:
    """After the seconds that were told there is one again, and not before."""
    buckets = Buckets(1)
    admitted(buckets, "ann", 0.0, 100)
    wait = buckets.take("ann", 0.0)
    assert wait > 0
    assert buckets.empty("ann", wait / 2) > 0
    assert buckets.empty("ann", wait + 0.001) == 0
    assert buckets.take("ann", wait + 0.001) == 0


def test_unlimited_is_unlimited() -> None:
    """Nothing is counted where there is no limit."""
    assert admitted(Buckets("unlimited"), "ann", 0.0, 10_000) == 10_000


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=300))
def test_never_more_than_a_minute_and_the_rate(pauses: list[float]) -> None:
    """However requests are spread, in any time no more pass than a minute's worth and what the rate gives."""
    buckets, now, passed = Buckets(1), 0.0, 0
    for pause in pauses:
        now += pause
        passed += sum(not buckets.take("ann", now) for _ in range(3))
    assert passed <= SPAN + now + 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more callers than are kept, those seen first are forgotten."""
    monkeypatch.setattr(rates, "MAX_CALLERS", 100)
    buckets = Buckets(1)
    for number in range(10_000):
        buckets.take(number, 1.0)
    assert len(buckets._recent) + len(buckets._older) <= 200


def test_each_caller_has_a_bucket_of_its_own() -> None:
    """People by name and community, pilots by stamp, payloads by attempt; a pilot does not count for its payloads."""
    limits = Rates(Service(person_rate=1, pilot_rate=1), lambda: 5.0)
    pilot = PilotToken("a" * 32, 1, bytes(32), 0.0, 10.0)
    callers = (
        ANN,
        BEN,
        PilotCaller(pilot, aged=False),
        PayloadCaller(JobToken(1, 1, "a" * 32, "physics", 10.0)),
        PayloadCaller(JobToken(1, 2, "a" * 32, "physics", 10.0)),
        TicketCaller(Ticket("a" * 32)),
    )
    for caller in callers:
        for _ in range(60):
            limits.admit(caller)
    for caller in callers:
        with pytest.raises(Refusal) as caught:
            limits.admit(caller)
        assert caught.value.type == "too-many"
        assert caught.value.retry_after
        assert caught.value.expected == "1 requests a second"


def test_failures_close_the_door_to_strangers_of_that_address() -> None:
    """Refusals that say who one is not count; then they are `too-many`, and a stranger is not even looked at."""
    limits = Rates(Service(failure_rate=1), lambda: 5.0)
    for _ in range(60):
        limits.admit_stranger("there")
        assert limits.failed("there", Refusal("unauthorized", "no")).type == "unauthorized"
        assert limits.failed("there", Refusal("token-expired", "no")).type == "token-expired"
    assert limits.failed("there", Refusal("bad-signature", "no")).type == "too-many"
    with pytest.raises(Refusal):
        limits.admit_stranger("there")
    limits.admit_stranger("elsewhere")
    limits.admit(ANN)


def test_rates_are_settings() -> None:
    """Whole numbers, or unlimited; anything else is a mistake that is told with its place."""
    service = read('[central]\nperson_rate = 7\nfailure_rate = "unlimited"\nmax_connections = 1000').service
    assert (service.person_rate, service.pilot_rate, service.failure_rate) == (7, Service().pilot_rate, "unlimited")
    assert service.max_connections == 1000
    for wrong in ("person_rate = 0", 'pilot_rate = "many"', "failure_rate = 1.5", "max_connections = 1"):
        with pytest.raises(InvalidSettings, match=f"central.{wrong.split()[0]}"):
            read(f"[central]\n{wrong}")
