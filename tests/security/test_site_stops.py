"""The admin of a site who would undo what an operator says at the same moment, or start one machine after another.

kim is the admin of the site `here`; oli is an operator.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import requests

from central.store.port import Store
from pilot.states import PilotReason, PilotState
from tests.integration.running_central import Person, RunningCentral, cloud_queue
from tests.security.cast import Cast

TRY = "/v1/queues/cloud/test"
BAN, UNBAN = "/v1/sites/here/ban", "/v1/sites/here/unban"


@pytest.fixture(scope="module")
def kim(central: RunningCentral, cast: Cast) -> Iterator[Person]:
    assert (
        central.person("oli").post("/v1/queues", json={"text": cloud_queue("cloud"), "force": True}).status_code == 201
    )
    cast.let_in_kim()
    with Person(central.url, central.ca, None) as person:
        person.headers.update(cast.as_kim())
        yield person


@pytest.fixture
def oli(central: RunningCentral, kim: Person) -> Iterator[Person]:
    """An operator; what was stopped, and the pilots that were sent, are over afterwards."""
    oli = central.person("oli")
    yield oli
    oli.post(UNBAN, json={})
    oli.post("/v1/queues/cloud/resume", json={})

    async def end_all(store: Store) -> None:
        for row in await store.live_pilots("cloud"):
            await store.end_pilot(row.stamp, PilotState.CANCELLED, PilotReason.CANCELLED)

    central.store(end_all)


def refusal(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]


def test_one_pilot_at_a_time_tries_a_queue(kim: Person, oli: Person) -> None:
    """Whoever asks for another is told which one lives, and what to do."""
    first = oli.post(TRY, json={}).json()["stamp"]
    for person in (kim, oli):
        status, detail = refusal(person.post(TRY, json={}))
        assert status == 409
        assert first in detail
        assert "Wait for its end, or halt it" in detail
    assert [pilot["stamp"] for pilot in kim.get("/v1/pilots?queue=cloud").json()["pilots"]] == [first]


def test_of_many_requests_at_once_one_sends_a_pilot(central: RunningCentral, cast: Cast, oli: Person) -> None:
    """Also of one person's, by connections of their own."""
    headers = cast.as_kim()

    def ask(_: int) -> int:
        with Person(central.url, central.ca, None) as person:
            return person.post(TRY, json={}, headers=headers).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(ask, range(8))) == [201] + [409] * 7


@pytest.mark.parametrize("stop", [BAN, "/v1/queues/cloud/pause"])
def test_nothing_is_tried_while_an_operator_has_stopped_it(kim: Person, oli: Person, stop: str) -> None:
    """No pilot of a site's admin is sent then; the operator's is."""
    assert oli.post(stop, json={"reason": "all machines break"}).ok
    status, detail = refusal(kim.post(TRY, json={}))
    assert status == 403
    assert "by oli, who is no admin of here" in detail
    assert kim.get("/v1/pilots?queue=cloud&states=planned").json()["pilots"] == []
    assert oli.post(TRY, json={}).status_code == 201


def test_what_kim_has_stopped_kim_may_try(kim: Person, oli: Person) -> None:
    """To see whether it works again."""
    assert kim.post(BAN, json={"reason": "power cut"}).ok
    assert kim.post(TRY, json={}).status_code == 201


def test_an_operators_ban_stays_whenever_it_comes(
    central: RunningCentral, cast: Cast, kim: Person, oli: Person
) -> None:
    """However fast an admin of the site bans and unbans meanwhile: once the operator has the answer, it holds."""
    headers, over = cast.as_kim(), Event()

    def race() -> list[int]:
        found = []
        with Person(central.url, central.ca, None) as person:
            while not over.is_set():
                found.append(person.post(UNBAN, json={}, headers=headers).status_code)
                ban = {"reason": "mine", "seconds": 1}
                found.append(person.post(BAN, json=ban, headers=headers).status_code)
        return found

    with ThreadPoolExecutor(4) as threads:
        races = [threads.submit(race) for _ in range(4)]
        try:
            for _ in range(10):
                assert oli.post(BAN, json={"reason": "all jobs fail there"}).ok
                for _ in range(5):
                    (site,) = kim.get("/v1/sites").json()["sites"]
                    assert (site["banned"] or {}).get("who") == "oli"
                    assert kim.post(UNBAN, json={}).status_code == 403
                assert oli.post(UNBAN, json={}).ok
        finally:
            over.set()
    assert {code for one in races for code in one.result()} <= {200, 403, 409}
