"""The admin of a site at what is not theirs: other sites, people's jobs, what payloads print, and other roles.

kim is the admin of the site `here`, where a pilot runs a job of ann's. Another pilot is at the site `yonder`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from central.routes import TABLE
from central.serving.http import Route
from central.trust.rules import Scope, Who
from pilot.looking import PeekReply
from pilot.protocol import Lease, attempt_stream
from pilot.states import OrderVerb, Phase
from tests.integration.running_central import Person, RunningCentral
from tests.integration.wire_pilot import SignedPilot
from tests.security.cast import NO_FILE, NO_JOB, NO_STAMP, Cast, filled, name_of

SECRET = "a-name-that-no-site-must-read"
FAR = 'name = "{name}"\nsite = "{site}"\nkind = "external"\n'


@dataclass(frozen=True)
class Scene:
    """What is at both sites."""

    here: SignedPilot
    there: SignedPilot
    lease: Lease  # of the pilot that is here
    peek: int
    file: str  # SHA-256 of an input of that job

    def names(self) -> dict[str, object]:
        """Of everything that is at kim's own site, for paths."""
        lease, stream = self.lease, attempt_stream(self.lease.job, self.lease.attempt, "stdout")
        job = {"job": lease.job, "attempt": lease.attempt, "peek": self.peek, "sha256": self.file, "stream": stream}
        return {**job, "stamp": self.here.stamp, "name": SECRET, "user": "ann"}


@pytest.fixture(scope="module")
def scene(central: RunningCentral, cast: Cast) -> Scene:
    ann, oli = central.person("ann"), central.person("oli")
    assert oli.post("/v1/sites", json={"name": "yonder"}).status_code == 201
    for name, site in (("far", "yonder"), ("moved", "yonder"), ("moved", "here")):
        assert oli.post("/v1/queues", json={"text": FAR.format(name=name, site=site)}).status_code == 201
    file = ann.upload("file", SECRET.encode()).sha256
    ann.submit_one(name=SECRET, command=[SECRET], environment={"X": SECRET})
    here, there = central.pilot(), central.pilot(site="yonder", queue="far")
    lease = here.match().leases[0]
    here.report(lease, Phase.RUNNING)
    stream = attempt_stream(lease.job, lease.attempt, "stdout")
    for name in ("pilot", "boot", "step-1-discover"):
        here.log(name, 0, f"the {name} of here".encode())
        there.log(name, 0, b"the log of there")
    here.log(stream, 0, SECRET.encode())
    peek = ann.say(f"/v1/jobs/{lease.job}/peeks", {"path": ""}, PeekReply).peek
    assert ann.put(f"/v1/credentials/{SECRET}", json={"kind": "text", "values": {"text": SECRET}}).ok
    cast.let_in_kim()
    return Scene(here, there, lease, peek, file)


@pytest.fixture(scope="module")
def kim(central: RunningCentral, cast: Cast, scene: Scene) -> Iterator[Person]:
    with Person(central.url, central.ca, None) as person:
        person.headers.update(cast.as_kim())
        yield person


def said(answer: requests.Response, *names: object) -> tuple[int, str]:
    """What an answer tells, without what was asked for."""
    text = answer.text
    for name in names:
        text = re.sub(rf"(?<![\w-]){re.escape(str(name))}(?![\w-])", "…", text)
    return answer.status_code, text


# -- another site


#: What is asked of the pilot at the other site, and of its queue, and in a message that would be good at the own one.
AT_PILOTS = [
    ("GET", "/v1/pilots/{stamp}", None),
    ("GET", "/v1/pilots/{stamp}/logs/pilot", None),
    ("GET", "/v1/pilots/{stamp}/logs/step-1-discover", None),
    ("GET", "/v1/pilots/{stamp}/logs/pilot/search?grep=log", None),
    ("GET", "/v1/queues/shared/tests/{stamp}", None),
    ("POST", "/v1/pilots/{stamp}/orders", {"verb": "drain"}),
    ("POST", "/v1/pilots/{stamp}/orders", {"verb": "halt", "argument": "0"}),
]
AT_QUEUES = [
    ("GET", "/v1/queues/{name}", None),
    ("GET", "/v1/queues/{name}/explain", None),
    ("GET", "/v1/queues/{name}/history", None),
    ("POST", "/v1/queues/{name}/check", None),
    ("POST", "/v1/queues/{name}/pause", {"reason": "mine"}),
    ("POST", "/v1/queues/{name}/resume", {}),
    ("POST", "/v1/queues/{name}/test", {}),
]


@pytest.mark.parametrize(("method", "path", "message"), AT_PILOTS)
@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
def test_a_pilot_elsewhere_is_none(
    kim: Person, scene: Scene, method: str, path: str, message: object, accept: str
) -> None:
    """Whatever is asked of it: the answer is, letter for letter, that of a stamp which nobody has."""
    answers = []
    for stamp in (scene.there.stamp, NO_STAMP):
        answer = kim.request(method, path.format(stamp=stamp), json=message, headers={"Accept": accept})
        answers.append(said(answer, stamp))
    assert answers[0] == answers[1]
    assert answers[0][0] in (404, 409)


@pytest.mark.parametrize(("method", "path", "message"), AT_QUEUES)
def test_a_queue_elsewhere_is_none(kim: Person, method: str, path: str, message: object) -> None:
    """Nor is its name among those that are told."""
    answers = [said(kim.request(method, path.format(name=name), json=message), name) for name in ("far", "fog")]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert "far" not in answers[1][1]


def test_a_site_elsewhere_is_none(kim: Person) -> None:
    """It is neither banned nor unbanned."""
    for verb, message in (("ban", {"reason": "mine"}), ("unban", {})):
        answers = [said(kim.post(f"/v1/sites/{name}/{verb}", json=message), name) for name in ("yonder", "nowhere")]
        assert answers[0] == answers[1]
        assert answers[0][0] == 404


LISTS = [route for route in TABLE if route.method == "GET" and Who.SITE_ADMIN in route.who and "{" not in route.path]


@pytest.mark.parametrize("route", LISTS, ids=name_of)
@pytest.mark.parametrize("query", ["", "site=yonder", "queue=far", "community=physics", "by=site&by=queue", "user=oli"])
def test_no_list_tells_of_another_site(
    central: RunningCentral, kim: Person, scene: Scene, route: Route[Any], query: str
) -> None:
    """Whatever is asked for, also in headers that claim a site: no pilot, queue or person of another is told of."""
    before = central.person("oli").post("/v1/enrolments", json={"queue": "far", "pilots": 1, "seconds": 60})
    assert before.status_code == 201
    text = kim.get(f"{route.path}?{query}", headers={"X-Site": "yonder", "Site": "yonder"}).text
    for word in (scene.there.stamp, '"far"', '"yonder"', '"oli"', '"ann"', SECRET):
        assert word not in text.replace('"who":"oli"', "")  # who made the own token


def test_what_is_at_the_own_site_is_all_there(kim: Person, scene: Scene) -> None:
    """Its queues and pilots, of whatever community; of a queue that came from elsewhere what was said since then."""
    assert [site["name"] for site in kim.get("/v1/sites").json()["sites"]] == ["here"]
    assert {queue["name"] for queue in kim.get("/v1/queues").json()["queues"]} == {"local", "shared", "moved"}
    assert {pilot["stamp"] for pilot in kim.get("/v1/pilots").json()["pilots"]} == {scene.here.stamp}
    assert kim.get("/v1/pilots", params={"queue": "far"}).json()["pilots"] == []
    versions = kim.get("/v1/queues/moved/history").json()["versions"]
    assert [version["number"] for version in versions] == [2]
    assert kim.get("/v1/whoami").json()["site"] == "here"


# -- jobs


FOR_OTHERS = [route for route in TABLE if Who.ANYBODY not in route.who and Who.SITE_ADMIN not in route.who]


@pytest.mark.parametrize("route", FOR_OTHERS, ids=name_of)
def test_what_is_not_theirs_is_refused_whatever_it_names(kim: Person, scene: Scene, route: Route[Any]) -> None:
    """Jobs, files, secrets, events, people: the same refusal for what is there and for what is not."""
    nothing = {"job": NO_JOB, "stamp": NO_STAMP, "sha256": NO_FILE, "name": "nothing", "peek": NO_JOB}
    answers = [
        said(kim.request(route.method, filled(route, **names), json={"selection": {"owner": "ann"}}))
        for names in (scene.names(), {**scene.names(), **nothing})
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 403


def test_nothing_of_a_job_is_in_what_is_told_of_its_pilot(kim: Person, scene: Scene) -> None:
    """That it is there, its phase and its cores; neither its name, command, environment, owner nor what it printed."""
    answer = kim.get(f"/v1/pilots/{scene.here.stamp}")
    for word in (SECRET, '"ann"', '"muons"'):
        assert word not in answer.text
    found = answer.json()
    (lease,) = found["leases"]
    told = {name: lease[name] for name in ("job", "attempt", "phase")}
    assert told == {"job": scene.lease.job, "attempt": scene.lease.attempt, "phase": "running"}
    assert (lease["history"], lease["log_sizes"], lease["message"], lease["started"]) == ([], {}, "", 0.0)
    assert set(found["streams"]) == {"boot", "pilot", "step-1-discover"}


@pytest.mark.parametrize("name", ["stdout", "stderr", "peek1"])
def test_what_a_payload_prints_is_no_stream_of_its_pilot(kim: Person, scene: Scene, name: str) -> None:
    """Neither read, nor followed, nor searched; whether it is there or not looks the same."""
    stream = attempt_stream(scene.lease.job, scene.lease.attempt, name)
    base = f"/v1/pilots/{scene.here.stamp}/logs"
    for accept in ("*/*", "text/event-stream"):
        for rest in ("", "/search?grep=x"):
            answers = [
                said(kim.get(f"{base}/{one}{rest}", headers={"Accept": accept}), one)
                for one in (stream, attempt_stream(NO_JOB, 1, name), "job-", "anything")
            ]
            assert {answer[0] for answer in answers} == {404}
            assert len(set(answers)) == 1


def test_what_a_pilot_itself_says_is_read(kim: Person, scene: Scene) -> None:
    """Whole, and by a search."""
    base = f"/v1/pilots/{scene.here.stamp}/logs"
    for name in ("pilot", "boot", "step-1-discover"):
        assert kim.get(f"{base}/{name}").text == f"the {name} of here"
        assert kim.get(f"{base}/{name}/search?grep=of+here").json()["lines"]


# -- orders and stops


@pytest.mark.parametrize("verb", sorted(set(OrderVerb) - {OrderVerb.DRAIN, OrderVerb.HALT}))
def test_a_pilot_is_ended_and_nothing_else(kim: Person, scene: Scene, verb: OrderVerb) -> None:
    """No order but those that end it."""
    answer = kim.post(f"/v1/pilots/{scene.here.stamp}/orders", json={"verb": verb, "argument": "1"})
    assert answer.status_code in (400, 403, 422)
    assert answer.json()["type"] in ("invalid", "forbidden")


def test_what_an_operator_stopped_stays_so(central: RunningCentral, kim: Person) -> None:
    """Neither lifted, nor replaced by something that ends sooner; what an admin of the site has stopped is theirs."""
    oli = central.person("oli")
    assert oli.post("/v1/sites/here/ban", json={"reason": "all jobs fail there"}).ok
    for verb, message in (("unban", {}), ("ban", {"reason": "mine", "seconds": 1})):
        refused = kim.post(f"/v1/sites/here/{verb}", json=message)
        assert refused.status_code == 403
        assert "by oli" in refused.json()["detail"]
    assert oli.post("/v1/sites/here/unban", json={}).ok
    for verb, message in (("ban", {"reason": "power cut"}), ("ban", {"reason": "longer"}), ("unban", {})):
        assert kim.post(f"/v1/sites/here/{verb}", json=message).ok
    lines = oli.get("/v1/audit", params={"who": "kim"}).json()["lines"]
    done = [line["what"] for line in lines if line["what"].startswith("site.")]
    assert done == ["site.unban", "site.ban", "site.ban"]


# -- other roles


def test_a_token_is_for_the_own_site_alone(cast: Cast, kim: Person) -> None:
    """Whatever a site's admin asks for: no other site, group, user or role; one of the own site is made."""
    for asked in (
        {"site": "yonder"},
        {"site": "nowhere"},
        {"community": "physics"},
        {"community": "physics", "group": "muons"},
        {"group": "muons"},
        {"user": "ann"},
        {"user": "oli"},
        {"site": "here", "community": "physics"},
        {"role": "operator"},
        {"role": "member"},
        {"site": "here", "role": "operator"},
    ):
        answer = kim.post("/v1/tokens", json={"scopes": ["read"], **asked})
        assert answer.status_code in (400, 403, 404, 422), asked
    made = kim.post("/v1/tokens", json={"scopes": ["read"]}).json()["made"]
    assert (made["user"], made["site"], made["role"], made["community"]) == ("kim", "here", "site-admin", "")
    reader = cast.as_kim(Scope.READ)
    for path, message in (("/v1/tokens", {"scopes": ["read"]}), ("/v1/sites/here/ban", {"reason": "mine"})):
        assert cast.http.post(path, json=message, headers=reader).status_code == 403


def test_of_people_a_sites_admin_sees_themself(central: RunningCentral, kim: Person) -> None:
    """In the lists of members and tokens; somebody else's token is none, whosever it is."""
    members = kim.get("/v1/members", params={"all": True}).json()["members"]
    assert [(one["user"], one["site"]) for one in members] == [("kim", "here")]
    assert {one["user"] for one in kim.get("/v1/tokens", params={"all": True}).json()["tokens"]} == {"kim"}
    theirs = central.person("ann").post("/v1/tokens", json={"scopes": ["read"]}).json()["made"]["number"]
    answers = [said(kim.delete(f"/v1/tokens/{number}"), number) for number in (theirs, NO_JOB)]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


@pytest.mark.parametrize("who", ["ann", "gus", "cam", "kim"])
def test_nobody_but_an_operator_makes_one(central: RunningCentral, kim: Person, who: str) -> None:
    """No member of whatever role becomes the admin of a site, or makes a token for one; nor does one make another."""
    person = kim if who == "kim" else central.person(who)
    for message in (
        {"user": who, "site": "here"},
        {"user": "eve", "site": "here", "role": "site-admin"},
        {"user": who, "role": "site-admin"},
        {"user": who, "role": "site-admin", "community": "physics", "group": "muons"},
        {"user": who, "site": "here", "community": "physics", "group": "muons", "role": "member"},
    ):
        for path in ("/v1/members", "/v1/members/role"):
            assert person.post(path, json=message).status_code in (400, 403, 422), (path, message)
    assert person.post("/v1/members/revoke", json={"user": "kim", "site": "here"}).status_code == 403
    for asked in ({"site": "yonder"}, {"site": "here", "user": "eve"}, {"role": "site-admin", "community": "physics"}):
        answer = person.post("/v1/tokens", json={"scopes": ["read"], **asked})
        assert answer.status_code in (400, 403, 404, 422), asked
    if who != "kim":
        assert person.post("/v1/tokens", json={"scopes": ["read"], "site": "here"}).status_code == 404
        assert person.post("/v1/tokens", json={"scopes": ["read"], "role": "site-admin"}).status_code == 403
        assert person.post("/v1/sites/here/ban", json={"reason": "mine"}).status_code == 403
        assert person.get("/v1/enrolments").status_code == 403


def test_one_site_is_not_the_other(central: RunningCentral, cast: Cast, scene: Scene, kim: Person) -> None:
    """Somebody who runs both has a token for each, which sees its own alone and makes none for the other; whom an
    operator lets go of at one goes on at the other."""
    cast.let_in_kim("yonder")
    at_other = cast.as_kim(site="yonder")
    for headers, stamp in ((at_other, scene.there.stamp), ({}, scene.here.stamp)):
        pilots = kim.get("/v1/pilots", headers=headers).json()["pilots"]
        assert [pilot["stamp"] for pilot in pilots] == [stamp]
    assert kim.post("/v1/tokens", json={"scopes": ["read"], "site": "yonder"}).status_code == 404
    gone = central.person("oli").post("/v1/members/revoke", json={"user": "kim", "site": "yonder"}).json()
    assert [one["site"] for one in gone["members"]] == ["yonder"]
    assert kim.get("/v1/pilots", headers=at_other).status_code == 401
    assert kim.get("/v1/pilots").status_code == 200


def test_a_site_that_has_an_admin_is_not_removed(central: RunningCentral, cast: Cast) -> None:
    """Or whoever adds a site of that name would have an admin who was let into another."""
    oli = central.person("oli")
    assert oli.post("/v1/sites", json={"name": "old"}).status_code == 201
    cast.let_in_kim("old")
    refused = oli.delete("/v1/sites/old")
    assert (refused.status_code, "has admins: kim" in refused.json()["detail"]) == (409, True)
    assert oli.post("/v1/members/revoke", json={"user": "kim", "site": "old"}).ok
    assert oli.delete("/v1/sites/old").ok


def test_a_log_that_is_followed_ends_with_the_token(cast: Cast, kim: Person, scene: Scene) -> None:
    """Whoever is let go of hears no more of it."""
    own = cast.as_kim()
    number = kim.get("/v1/whoami", headers=own).json()["token"]
    path = f"/v1/pilots/{scene.here.stamp}/logs/pilot"
    with kim.get(path, headers={**own, "Accept": "text/event-stream"}, stream=True, timeout=60) as following:
        lines = following.iter_lines()
        assert next(line for line in lines if line.startswith(b"data:"))
        assert kim.delete(f"/v1/tokens/{number}", headers=own).ok
        for _ in lines:
            pass  # it comes to an end
