"""What is another community's answers as if it did not exist; what is another group's is seen, and not changed.

Everything of physics that can be named is asked for by people of biology, and once more under names that nobody has:
they must not be able to tell the two apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import pytest
import requests

from central.routes import TABLE
from central.serving.http import Route
from central.trust.rules import PEOPLE, Scope, Who
from pilot.looking import PeekReply
from pilot.people import MadeToken, MemberView
from pilot.protocol import attempt_stream
from pilot.states import Phase
from tests.integration.running_central import Person, RunningCentral
from tests.security.cast import NO_FILE, NO_JOB, NO_STAMP, Cast, filled, name_of, parts_of

#: Jobs before the one that is asked for, so that its number is as long as that of one that nobody has.
BEFORE = 776
SECRET = "a-name-that-biology-must-not-read"


@dataclass(frozen=True)
class Named:
    """Names of everything: of what physics has, or of what nobody has."""

    path: Mapping[str, object]
    query: Mapping[str, str]

    @property
    def body(self) -> bytes:
        """A message that fits every route: what one does not know it ignores."""
        return json.dumps(
            {
                "verb": "drain",
                "selection": {"ids": [self.path["job"]]},
                "share": 2.0,
                "scopes": ["read"],
                "reason": "because",
                **{key: value for key, value in self.query.items() if key not in ("queue", "owner")},
            }
        ).encode()


@pytest.fixture(scope="module")
def theirs(central: RunningCentral, cast: Cast) -> Named:
    """One of each thing in physics: a job that runs, with a log, a look and a file; people, and their secrets."""
    ann = central.person("ann")
    ann.submit({"command": ["true"], "name": SECRET, "priority": 0, "sweep": {"x": f"1..{BEFORE}"}})
    pilot, lease = cast.leased()
    pilot.report(lease, Phase.RUNNING)
    pilot.log(attempt_stream(lease.job, lease.attempt, "stdout"), 0, SECRET.encode())
    pilot.log("pilot", 0, SECRET.encode())
    peek = ann.say(f"/v1/jobs/{lease.job}/peeks", {"path": ""}, PeekReply).peek
    assert ann.put(f"/v1/credentials/{SECRET}", json={"kind": "text", "values": {"text": SECRET}}).ok
    number = ann.say("/v1/tokens", {"scopes": ["read"]}, MadeToken).made.number
    file = ann.upload("file", SECRET.encode())
    return Named(
        {
            "job": lease.job,
            "attempt": lease.attempt,
            "stamp": pilot.stamp,
            "stream": "stdout",
            "sha256": file.sha256,
            "verb": "kill",
            "name": "physics",
            "group": "muons",
            "user": "ann",
            "peek": peek,
            "number": number,
        },
        {"community": "physics", "group": "muons", "user": "ann", "owner": "ann", "queue": "local", "name": SECRET},
    )


@pytest.fixture(scope="module")
def nobodys(theirs: Named) -> Named:
    """The same names, each of nothing."""
    nothing = {"job": NO_JOB, "stamp": NO_STAMP, "sha256": NO_FILE, "number": NO_JOB, "peek": NO_JOB}
    nothing |= {"name": "nowhere", "group": "nobody", "user": "nobody"}  # type: ignore[dict-item]
    query = {"community": "nowhere", "group": "nobody", "user": "nobody", "owner": "nobody", "queue": "no-such"}
    return Named({**theirs.path, **nothing}, {**query, "name": "another-name"})


@pytest.fixture(scope="module", params=["member", "community-admin", "site-admin"])
def stranger(central: RunningCentral, request: pytest.FixtureRequest) -> Iterator[Person]:
    """Somebody of biology, in the lowest and in the highest role that there is in it; and the admin of another site."""
    role, oli = request.param, central.person("oli")
    zoe = {"user": f"zoe-{role}", "community": "biology", "group": "cells"}
    if role == "site-admin":
        assert oli.post("/v1/sites", json={"name": "there"}).status_code == 201
        zoe = {"user": f"zoe-{role}", "site": "there"}
    oli.say("/v1/members", {**zoe, "role": role}, MemberView)
    made = oli.say("/v1/tokens", {**zoe, "scopes": [scope.value for scope in Scope]}, MadeToken)
    person = Person(central.url, central.ca, made.token)
    yield person
    person.close()


def told(answer: requests.Response, named: Named) -> tuple[object, ...]:
    """All that an answer tells, with what was asked for blotted out."""
    text = answer.text
    for name in sorted({str(value) for value in (*named.path.values(), *named.query.values())}, key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "…", text)
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in ("date", "content-length")}
    return answer.status_code, text, headers


def asked(person: Person, route: Route[Any], named: Named, query: str = "", accept: str = "*/*") -> tuple[object, ...]:
    path = filled(route, **named.path)
    if query:
        path += ("&" if "?" in path else "?") + query
    answer = person.request(route.method, path, data=named.body, headers={"Accept": accept}, stream=True)
    try:
        return told(answer, named) if "event-stream" not in answer.headers.get("Content-Type", "") else ("followed",)
    finally:
        answer.close()


#: The parts of paths that name something; the others are the caller's own words.
IDS = {"job", "stamp", "sha256", "name", "group", "user", "number", "peek"}
#: Not among them: putting there what is the caller's own, which may have the name of somebody else's.
WITH_IDS = [
    route
    for route in TABLE
    if set(route.who) & set(PEOPLE)
    and parts_of(route) & (IDS | {"verb"})
    and not (route.method == "PUT" and route.path.startswith(("/v1/credentials/", "/v1/sandboxes/")))
]


@pytest.mark.parametrize("route", WITH_IDS, ids=name_of)
def test_another_communitys_looks_like_nothing(
    stranger: Person, theirs: Named, nobodys: Named, route: Route[Any]
) -> None:
    """Whoever names a job, pilot, log, file, queue, person or token of another community gets, letter for letter, the
    answer for one that does not exist: lists, reads, follows, kills, looks and explanations alike."""
    accepts = ("*/*", "text/event-stream") if route.method == "GET" else ("*/*",)
    for accept in accepts:
        assert asked(stranger, route, theirs, accept=accept) == asked(stranger, route, nobodys, accept=accept)


LISTS = [route for route in TABLE if route.method == "GET" and Who.MEMBER in route.who]


def queries() -> Iterator[Any]:
    """Every filter of every list by which a stranger could ask for what is physics's."""
    for route in TABLE:
        if route.method == "GET" and route.query is not None and set(route.who) & set(PEOPLE):
            for field in fields(route.query):
                if field.name in ("community", "group", "user", "owner", "queue", "name"):
                    yield pytest.param(route, field.name, id=f"{name_of(route)} {field.name}")


@pytest.mark.parametrize(("route", "field"), list(queries()))
def test_a_filter_opens_nothing(stranger: Person, theirs: Named, nobodys: Named, route: Route[Any], field: str) -> None:
    """A list that is asked for what is another community's has no more in it than one asked for what nobody has."""
    of_theirs = asked(stranger, route, theirs, f"{field}={theirs.query[field]}")
    assert of_theirs == asked(stranger, route, nobodys, f"{field}={nobodys.query[field]}")


@pytest.mark.parametrize("route", [route for route in LISTS if not parts_of(route) & IDS], ids=name_of)
def test_no_list_tells_of_another_community(stranger: Person, theirs: Named, route: Route[Any]) -> None:
    """Nothing of a job, a pilot, a person or a secret of physics is in any list that biology reads."""
    answer = stranger.request("GET", filled(route), stream=True)
    try:
        text = "" if "event-stream" in answer.headers.get("Content-Type", "") else answer.text
    finally:
        answer.close()
    for word in (SECRET, str(theirs.path["stamp"]), str(theirs.path["sha256"]), '"ann"', '"muons"', '"local"'):
        assert word not in text


FORGED = {
    "X-Community": "physics",
    "X-Pilotage-Community": "physics",
    "Community": "physics",
    "X-Remote-User": "ann",
    "X-Forwarded-User": "ann",
    "Remote-User": "oli",
    "Forwarded": "for=127.0.0.1;by=ann",
    "X-Forwarded-For": "127.0.0.1",
    "X-HTTP-Method-Override": "DELETE",
    "X-Original-URL": "/v1/jobs",
    "Cookie": "community=physics; user=oli; role=operator",
}


@pytest.mark.parametrize("route", LISTS, ids=name_of)
def test_a_forged_header_opens_nothing(stranger: Person, theirs: Named, route: Route[Any]) -> None:
    """No header but Authorization says who somebody is: with those that claim to be of physics every refusal is the
    same as without, and no list has anything of physics in it."""
    plain, forged = (
        stranger.request("GET", filled(route, **theirs.path), headers=headers, stream=True) for headers in ({}, FORGED)
    )
    try:
        assert forged.status_code == plain.status_code
        if plain.headers.get("Content-Type") == "application/problem+json":
            assert forged.text == plain.text
        elif "event-stream" not in plain.headers.get("Content-Type", ""):
            assert SECRET not in forged.text
            assert str(theirs.path["stamp"]) not in forged.text
    finally:
        plain.close()
        forged.close()


def test_a_forged_owner_is_not_taken(central: RunningCentral, stranger: Person) -> None:
    """A job that says whose it is, and of what community, is refused: that is known from who brings it."""
    for field, value in (("owner", "ann"), ("community", "physics"), ("group", "muons"), ("user", "oli")):
        answer = stranger.post("/v1/jobs", json={"jobs": [{"command": ["true"], field: value}]})
        if answer.status_code == 201:
            job = central.person("oli").job(answer.json()["jobs"][0]["first"])
            assert (job.community, job.group) == ("biology", "cells")
        else:
            assert answer.json()["type"] in ("invalid", "forbidden")


@pytest.mark.parametrize("verb", ["kill", "hold", "release", "reschedule", "priority"])
@pytest.mark.parametrize("who", ["eve", "ben"])
def test_another_members_job_is_not_changed(central: RunningCentral, theirs: Named, verb: str, who: str) -> None:
    """Of another group or of the own one: a member changes nobody else's job, by its number, owner, group or name."""
    job = int(str(theirs.path["job"]))
    before = central.person("ann").job(job)
    for selection in ({"ids": [job]}, {"owner": "ann", "ids": [job]}, {"group": "muons", "ids": [job]}):
        body = {"selection": selection, "priority": 1, "reason": "mine"}
        answer = central.person(who).post(f"/v1/jobs/{verb}", json=body)
        assert [result["changed"] for result in answer.json()["results"]] == [False]
    assert central.person("ann").job(job) == before


def test_an_admin_of_another_group_changes_nothing(central: RunningCentral) -> None:
    """A group-admin of muons neither kills nor looks into a job of tau, whose member it is none of."""
    job = central.person("eve").submit_one()
    gus = central.person("gus")
    answer = gus.post("/v1/jobs/kill", json={"selection": {"ids": [job]}})
    assert [result["changed"] for result in answer.json()["results"]] == [False]
    assert gus.post(f"/v1/jobs/{job}/peeks", json={"path": ""}).status_code == 403
    assert gus.post("/v1/members", json={"user": "gus", "group": "tau", "role": "member"}).status_code in (403, 404)


def test_another_members_job_is_not_looked_into(central: RunningCentral, theirs: Named) -> None:
    """What a job has in its directory is for its owner and those who may kill it, and so is the answer."""
    job, attempt, peek = (theirs.path[name] for name in ("job", "attempt", "peek"))
    for who in ("eve", "ben"):
        person = central.person(who)
        assert person.post(f"/v1/jobs/{job}/peeks", json={"path": ""}).status_code == 403
        assert person.get(f"/v1/jobs/{job}/peeks/{attempt}/{peek}?wait=0").status_code == 403
