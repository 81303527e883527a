"""Every message that a pilot or a payload sends: lost, repeated, out of order, forged.

Which there are, and what is good and late of each, is in `messages.py`; a route that no row is about fails here. Tokens
of payloads and tickets with any bit changed are in `test_forged_tokens.py`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from msgspec import structs

from central.routes import TABLE
from central.trust.seal import JobToken, Key, KeyRing, Ticket
from pilot import protocol
from pilot.errors import REFUSALS
from pilot.states import FINAL, JobState, Phase
from pilot.views import Selection, VerbReply, VerbRequest
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import RunningCentral
from tests.security import messages
from tests.security.cast import Cast, name_of
from tests.security.conftest import UNCOUNTED
from tests.security.forgeries import FORGERIES
from tests.security.kept import unchanged
from tests.security.messages import ROWS, Row
from tests.security.raw import asked
from tests.security.scenes import PROOFS, Proof, called, enrolled, leased

PROMPT = (str(Path(__file__).with_name("prompt_central.py")),)
#: Made anew for each answer: seals and signatures, what is left of a time, and whether a file was new.
ANEW = frozenset({"token", "job_token", "url", "headers", "server_time", "end_of_life", "stored"})
ELSEWHERE = KeyRing((Key("k1", b"another key, which is 32 bytes..", 1.0),))
UNFINISHED = tuple(state for state in JobState if state not in FINAL)


@pytest.fixture(scope="module")
def central(make_central: CentralMaker) -> RunningCentral:
    """One that writes down at once what pilots say, and takes nobody for silent."""
    return make_central(f'{UNCOUNTED}\nsilent_after = "1 h"', program=PROMPT)


@pytest.fixture(autouse=True)
def nothing_waits(central: RunningCentral) -> Iterator[None]:
    """No job is left for the next test's pilots."""
    yield
    central.person("oli").say("/v1/jobs/kill", VerbRequest(Selection(states=UNFINISHED)), VerbReply)


def plain(answer: requests.Response) -> object:
    """What is the same in every answer to one message."""
    if answer.headers.get("Content-Type") != "application/json":
        return answer.status_code, answer.content, answer.headers.get("Content-Length")
    return answer.status_code, _without(answer.json())


def _without(value: Any) -> object:
    if isinstance(value, Mapping):
        return {name: _without(inside) for name, inside in value.items() if name not in ANEW}
    return [_without(inside) for inside in value] if isinstance(value, list) else value


def type_of(answer: requests.Response) -> str:
    """The refusal that an answer is; empty: it is none."""
    return str(answer.json()["type"]) if answer.headers.get("Content-Type") == "application/problem+json" else ""


def refusal_of(answer: requests.Response, expected: Collection[str]) -> bool:
    """Whether an answer is one of these refusals, or none where none are. Those of HEAD have a status alone."""
    if answer.request.method == "HEAD" and expected:
        return answer.status_code in {REFUSALS[kind].status for kind in expected}
    return type_of(answer) in (expected or {""}) and (answer.ok or bool(expected))


def test_every_message_has_a_row() -> None:
    """Whatever pilots, payloads and bearers of tickets may ask for is in the table, and nothing else but enrolment."""
    named = {(name_of(route), PROOFS[who]) for route in TABLE for who in route.who if who in PROOFS}
    rows = [(row.route, row.proof) for row in ROWS]
    assert len(rows) == len(set(rows))
    assert set(rows) == named | {("POST /v1/pilots/{stamp}/enrol", Proof.SECRET)}


# -- lost, repeated, late ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_message_whose_answer_was_lost(central: RunningCentral, cast: Cast, row: Row) -> None:
    """The same again, under a newer signature where there is one: the same answer, and no effect but the first's."""
    scene = row.scene(central, cast)
    words = row.words(scene)
    first = scene.say(row.proof, words)
    assert type_of(first) == "", first.text
    again: list[requests.Response] = []
    unchanged(central, lambda: again.append(scene.say(row.proof, words)))
    assert plain(again[0]) == plain(first)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_message_that_comes_again_to_the_byte(central: RunningCentral, cast: Cast, row: Row) -> None:
    """What was signed is refused as replayed. What is not signed has the answer that it had, which its sender knew. In
    both cases nothing that is kept changes."""
    scene = row.scene(central, cast)
    words = row.words(scene)
    headers = scene.proved(row.proof, words)
    first = scene.send(words, headers)
    assert type_of(first) == "", first.text
    again: list[requests.Response] = []
    unchanged(central, lambda: again.extend(scene.send(words, headers) for _ in range(3)))
    assert {type_of(answer) for answer in again} == {"replayed" if row.proof is Proof.SIGNATURE else ""}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_message_that_comes_late(central: RunningCentral, cast: Cast, row: Row) -> None:
    """An older number, sequence, offset, phase or epoch than was heard is refused, or answered and without effect."""
    scene = row.scene(central, cast)
    late = row.late(scene)
    assert late

    def attack() -> None:
        for one in late:
            answer = (one.by or scene).say(row.proof, one.words)
            assert refusal_of(answer, one.refused), (one.what, answer.status_code, answer.text)
            if one.answer:
                said = answer.json()
                assert {name: said[name] for name in one.answer} == one.answer, one.what

    unchanged(central, attack)


def test_what_was_captured_before_a_restart_is_not_taken_after_it(central: RunningCentral, cast: Cast) -> None:
    """A central that starts anew remembers no request that it has heard: what was signed before is refused with the
    time, and who signs anew is heard."""
    scene = leased(central, cast)
    words = scene.of_pilot("renew", protocol.RenewRequest(1))
    scene.pilot.skew = -20.0
    captured = scene.proved(Proof.SIGNATURE, words)
    assert type_of(scene.send(words, captured)) == ""
    central.kill()
    central.start()
    answer = scene.send(words, captured)
    assert (type_of(answer), answer.json()["server_time"] > 0) == ("clock-skew", True)
    scene.pilot.skew = 0.0
    assert type_of(scene.say(Proof.SIGNATURE, words)) == ""


# -- forged -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("row", [row for row in ROWS if row.proof is Proof.SIGNATURE], ids=str)
def test_a_signed_message_that_is_forged(central: RunningCentral, cast: Cast, row: Row) -> None:
    """With another key, for another's stamp or attempt, changed anywhere, unsigned, signed twice, or at another time:
    all is refused, nothing that is kept changes, and the message itself is as good as before."""
    scene, thief = row.scene(central, cast), enrolled(central, cast).pilot
    words = row.words(scene)

    def attack() -> None:
        for what, (forge, refused) in FORGERIES.items():
            forged = forge(scene, thief, words)
            status, told = asked(central, forged.words.method, forged.words.path, forged.words.body, forged.lines)
            assert told in refused, (what, status, told)

    unchanged(central, attack)
    assert type_of(scene.say(row.proof, words)) == ""


def test_a_pilot_that_names_what_another_holds(central: RunningCentral, cast: Cast) -> None:
    """Under its own name, signed as it should be, a pilot gives back no other pilot's lease, reports of no other's
    attempt, and asks for no other's credentials."""
    scene, thief = leased(central, cast), enrolled(central, cast)
    thief.leases = scene.leases
    said = (
        thief.report(Phase.RUNNING),
        messages.giving_back(thief),
        thief.of_pilot("credentials", messages.newer(thief)),
    )

    def attack() -> None:
        for words in said:
            assert type_of(thief.say(Proof.SIGNATURE, words)) == "not-yours", words.path

    unchanged(central, attack)


@pytest.mark.parametrize("row", [row for row in ROWS if row.proof is Proof.JOB], ids=str)
def test_a_payloads_message_that_is_forged(central: RunningCentral, cast: Cast, row: Row) -> None:
    """With the token of another attempt, one that has aged, one that was sealed elsewhere, or none: all is refused, and
    nothing that is kept changes. Storing a file with another's token stores it for that one."""
    scene, other = row.scene(central, cast), leased(central, cast)
    words, lease = row.words(scene), scene.lease
    aged = JobToken(lease.job, lease.attempt, scene.pilot.stamp, lease.community, time.time() - 1)
    tokens = {
        "aged": f"Job {cast.ring.seal(aged)}",
        "sealed elsewhere": f"Job {ELSEWHERE.seal(structs.replace(aged, expires=time.time() + 60))}",
        "as a pilot's": f"Pilot {lease.job_token}",
        "as a person's": f"Bearer {lease.job_token}",
        "twice": f"Job {lease.job_token}, Job {lease.job_token}",
    }
    if "attempts" in row.route:
        tokens["of another attempt"] = f"Job {other.lease.job_token}"

    def attack() -> None:
        for what, authorization in tokens.items():
            answer = scene.send(words, {"Authorization": authorization})
            assert refusal_of(answer, ["unauthorized", "forbidden"]), (what, answer.text)
        assert refusal_of(scene.send(words, {}), ["unauthorized"])

    unchanged(central, attack)
    assert type_of(scene.say(row.proof, words)) == ""


def test_an_enrolment_that_is_forged(central: RunningCentral, cast: Cast) -> None:
    """The secret for another stamp, another secret, another key after the first: all are refused. Only the last, which
    somebody must have stolen the secret for, leaves a trace: the alarm."""
    scene, other = called(central, cast), called(central, cast)
    assert scene.say(Proof.SECRET, messages.enrolment(scene)).ok
    own = replace(messages.enrolment(scene), path=f"/v1/pilots/{other.pilot.stamp}/enrol")
    nowhere = replace(own, path=f"/v1/pilots/{'0' * 32}/enrol")
    other.pilot.secret = "guessed"
    guessed = messages.enrolment(other)

    def attack() -> None:
        for words in (own, nowhere, guessed):
            assert type_of(other.send(words, {})) == "unauthorized"

    unchanged(central, attack)
    stolen = messages.enrolment(scene, key=b"t" * 32)
    unchanged(central, lambda: type_of(scene.send(stolen, {})) == "secret-used", own={"pilots"})
    assert central.person("oli").get(f"/v1/pilots/{scene.pilot.stamp}").json()["pilot"]["alarm"]


def test_a_ticket_that_is_forged(central: RunningCentral, cast: Cast) -> None:
    """A ticket of another pilot, one that was sealed elsewhere, and none open no boot log."""
    scene, other = called(central, cast), called(central, cast)
    words = scene.log("boot", 0, b"forged")
    good = Ticket(scene.pilot.stamp)
    tries = {
        "forbidden": f"Ticket {cast.ring.seal(Ticket(other.pilot.stamp))}",
        "unauthorized": f"Ticket {ELSEWHERE.seal(good)}",
        "bad-signature": f"Pilot {central.pilot().token}",
    }

    def attack() -> None:
        for refused, authorization in tries.items():
            assert type_of(scene.send(words, {"Authorization": authorization})) == refused
        assert type_of(scene.send(words, {})) == "unauthorized"

    unchanged(central, attack)
