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
from central.several.gossip import Spent, pack, unpack
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


class Site:
    """An address that fails too often, and what becomes of pilots that enrol from there."""

    def __init__(self, failure_rate: int = 1) -> None:
        self.now = 5.0
        self.looks = 0
        self.limits = Rates(Service(failure_rate=failure_rate), lambda: self.now)
        for _ in range(60 * failure_rate):
            self.limits.failed("site", Refusal("unauthorized", "no"))

    def enrols(self, good: bool) -> str:
        """Empty: it is let through; else the type of the refusal."""

        async def look() -> bool:
            self.looks += 1
            return good

        try:
            self.limits.admit_enrolment("site", look).send(None)
        except StopIteration:
            return ""
        except Refusal as refusal:
            return refusal.type
        pytest.fail("it waits, and nothing here does")


def test_a_good_pilot_enrols_from_an_address_that_fails_too_often() -> None:
    """Whose secret lets it in goes its way, beside others from there that are not looked at any further."""
    site = Site()
    with pytest.raises(Refusal):
        site.limits.admit_stranger("site")
    assert [site.enrols(good) for good in (True, False, True)] == ["", "too-many", ""]


def test_where_nothing_fails_no_enrolment_is_looked_up_twice() -> None:
    """The store decides alone, and says why."""
    site = Site()
    site.now += 30
    assert (site.enrols(False), site.looks) == ("", 0)


def test_looks_have_a_bound_of_their_own() -> None:
    """Whoever tries one secret after another is looked at ten times as often as it may fail, and no more."""
    site = Site()
    for _ in range(500):
        assert site.enrols(False) == "too-many"
    assert (site.looks, site.enrols(True)) == (500, "")
    for _ in range(500):
        assert site.enrols(False) == "too-many"
    assert site.looks == pytest.approx(600, abs=1)
    assert site.enrols(True) == "too-many"


def spread(centrals: list[Rates], requests: int) -> int:
    """How many of one person's requests are answered that are sent to one central after another."""
    answered = 0
    for number in range(requests):
        try:
            centrals[number % len(centrals)].admit(ANN)
            answered += 1
        except Refusal as refusal:
            assert refusal.type == "too-many"
    return answered


def talk(centrals: list[Rates]) -> int:
    """Each tells the others; how many words that takes."""
    told = [one.told() for one in centrals]
    for number, one in enumerate(centrals):
        for other, words in enumerate(told):
            for word in words:
                if other != number:
                    one.hear(word)
    return sum(map(len, told))


def test_a_rate_holds_for_all_centrals_together() -> None:
    """Whoever spreads requests over four gets little more than at one, and nobody else is any the worse."""
    now = [1000.0]
    centrals = [Rates(Service(person_rate=80), lambda: now[0], alone=False) for _ in range(4)]
    answered = 0
    for _ in range(600):
        answered += spread(centrals, 320)
        talk(centrals)
        now[0] += 1.0
    assert 80 * 600 * 0.9 <= answered <= 80 * 600 * 1.5 + 80 * 60
    centrals[0].admit(BEN)


def test_who_is_within_the_rate_is_not_talked_of() -> None:
    """Nothing is told of those who take little, nor where nobody else is there, and nothing twice."""
    centrals = [Rates(Service(person_rate=80, failure_rate=80), lambda: 5.0, alone=False) for _ in range(2)]
    spread(centrals, 20)
    assert talk(centrals) == 0
    spread(centrals, 40)
    centrals[0].admit(PilotCaller(PilotToken("a" * 32, 1, bytes(32), 0.0, 10.0), aged=False))
    for _ in range(11):
        centrals[1].failed("there", Refusal("unauthorized", "no"))
    assert [word.kind for one in centrals for word in one.told()] == ["person", "person", "address"]
    assert talk(centrals) == 0
    alone = Rates(Service(person_rate=80), lambda: 5.0)
    assert (spread([alone], 60), alone.told()) == (60, [])


def test_what_is_told_is_understood() -> None:
    """Also after it was passed on, whatever kind of caller it is about; a word for a rate that is not known is none."""
    told, heard = (Rates(Service(pilot_rate=1, failure_rate=1), lambda: 5.0, alone=False) for _ in range(2))
    payload = PayloadCaller(JobToken(1, 2, "a" * 32, "physics", 10.0))
    ticket = TicketCaller(Ticket("a" * 32))
    for _ in range(60):
        told.admit(payload)
        told.admit(ticket)
        told.failed("there", Refusal("unauthorized", "no"))
    (message,) = pack("one", 5.0, [*told.told(), Spent("unheard of", ("x",), 5)])
    words = unpack(message)
    assert words is not None
    for word in words.words:
        assert isinstance(word, Spent)
        heard.hear(word)
    for caller in (payload, ticket):
        with pytest.raises(Refusal):
            heard.admit(caller)
    with pytest.raises(Refusal):
        heard.admit_stranger("there")
    heard.admit(PayloadCaller(JobToken(1, 1, "a" * 32, "physics", 10.0)))


def test_rates_are_settings() -> None:
    """Whole numbers, or unlimited; anything else is a mistake that is told with its place."""
    service = read('[central]\nperson_rate = 7\nfailure_rate = "unlimited"\nmax_connections = 1000').service
    assert (service.person_rate, service.pilot_rate, service.failure_rate) == (7, Service().pilot_rate, "unlimited")
    assert service.max_connections == 1000
    for wrong in ("person_rate = 0", 'pilot_rate = "many"', "failure_rate = 1.5", "max_connections = 1"):
        with pytest.raises(InvalidSettings, match=f"central.{wrong.split()[0]}"):
            read(f"[central]\n{wrong}")
